"""Health of a mailbox: sign in over IMAP and SMTP, and grade what came back (providers.md 4.5).

Both are asked up to the login and a `NOOP`, no mail is sent. An answer's status is SMTP's, for IMAP as well: 250 all worked,
535 the login was refused, 504 no fitting mechanism is offered, 4xx later. Its body is the server's last line; header
`capabilities` lists what it can.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.enums import ErrorClass, HealthStatus
from shared.providers.calling import CallContext, ProviderAnswer, ProviderCall, TransportFault
from shared.providers.checking import Checking, Graded
from shared.providers.email.sending import fault_of, login, smtp_call

_UNREACHABLE = frozenset({ErrorClass.RETRYABLE, ErrorClass.UNKNOWN_OUTCOME, ErrorClass.RATE_LIMITED})
_NO_MECHANISM = 504


def build_checks(context: CallContext) -> tuple[ProviderCall, ...]:
    """IMAP and SMTP, each where its host is set; a connector of webhooks alone has nothing to ask."""
    settings = {**context.settings, **context.account_config}
    calls = []
    host = settings.get("imap_host")
    if isinstance(host, str):
        implicit = settings.get("imap_tls") in (None, "implicit")
        calls.append(
            ProviderCall(
                step="imap",
                method="IMAP",
                url=f"{'imaps' if implicit else 'imap'}://{host}:{settings.get('imap_port') or (993 if implicit else 143)}",
                headers=(
                    ("auth", str(settings.get("auth") or "password")),
                    ("folder", str(settings.get("folder") or "INBOX")),
                    *((("tls", "none"),) if settings.get("imap_tls") == "none" else ()),
                ),
                placements=(login(context, settings),),
                idempotent=True,
            )
        )
    if settings.get("smtp_host"):
        calls.append(smtp_call("smtp", context, None, idempotent=True))
    return tuple(calls)


def grade(answers: Mapping[str, ProviderAnswer], context: CallContext) -> tuple[Graded, ...]:  # noqa: ARG001 - the contract's signature
    """One result for each server that was asked."""
    return tuple(_graded(step, answers[step]) for step in ("imap", "smtp") if step in answers)


def _graded(step: str, answer: ProviderAnswer) -> Graded:
    fault = fault_of(answer)
    if fault is None:
        able = "" if isinstance(answer, TransportFault) else answer.headers.get("capabilities", "").upper()
        if step == "imap" and able and "IDLE" not in able.split():
            return Graded(check=step, status=HealthStatus.WARNING, cause="no_idle")
        return Graded(check=step, status=HealthStatus.PASSED, cause="ok")
    if isinstance(answer, TransportFault):
        return _unanswered(step, answer)
    if answer.status == _NO_MECHANISM:
        return Graded(check=step, status=HealthStatus.FAILED, cause="mechanism_missing", action="fix_config")
    if fault.error_class in _UNREACHABLE:
        return Graded(check=step, status=None, cause="unreachable", detail=fault.code)
    return Graded(check=step, status=HealthStatus.FAILED, cause=fault.error_class.value, action=fault.action, detail=fault.code)


def _unanswered(step: str, fault: TransportFault) -> Graded:
    if fault.kind == "tls" and fault.detail == "starttls_missing":
        return Graded(check=step, status=HealthStatus.FAILED, cause="starttls_missing", action="fix_config")
    if fault.kind == "tls":
        return Graded(check=step, status=HealthStatus.FAILED, cause="tls", action="check_certificate", detail=fault.detail)
    if fault.kind == "refused":
        return Graded(
            check=step, status=HealthStatus.FAILED, cause="address_refused", action="allow_address", detail=fault.detail
        )
    return Graded(check=step, status=None, cause="unreachable", detail=fault.kind)


CHECKING = Checking(build=build_checks, grade=grade)
