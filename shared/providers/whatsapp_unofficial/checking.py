"""Health of a session, asked in the connector's dialect, and how the answers are graded (providers.md 2.1 to 2.3).

Sources: Evolution `instance.controller.ts` (2.3.6), https://waha.devlike.pro/docs/how-to/sessions/,
https://developer.z-api.io/instance/status
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from shared.domain.enums import ErrorClass, HealthStatus
from shared.providers.calling import CallContext, ProviderAnswer, ProviderCall, TransportFault, json_object
from shared.providers.checking import Checking, Graded
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text, phone_digits
from shared.providers.phones import canonical_phone
from shared.providers.whatsapp_unofficial.servers import (
    dialect_of,
    fault_of,
    instance_name,
    instance_of,
    server_call,
    zapi_path,
)

_FAULTY = 300  # HTTP status from which on an answer tells nothing
_PASSED, _WARNING, _FAILED = HealthStatus.PASSED, HealthStatus.WARNING, HealthStatus.FAILED
_UNREACHABLE = frozenset({ErrorClass.RETRYABLE, ErrorClass.UNKNOWN_OUTCOME, ErrorClass.RATE_LIMITED})

# state -> grade, cause, what a person has to do
_EVOLUTION_STATES: Mapping[str, tuple[HealthStatus, str, str | None]] = {
    "open": (_PASSED, "connected", None),
    "connecting": (_WARNING, "connecting", None),
    "close": (_FAILED, "disconnected", "pair_device"),
    "refused": (_FAILED, "pairing_refused", "pair_device"),
}
_WAHA_STATES: Mapping[str, tuple[HealthStatus, str, str | None]] = {
    "WORKING": (_PASSED, "connected", None),
    "STARTING": (_WARNING, "connecting", None),
    "SCAN_QR_CODE": (_FAILED, "pairing_needed", "pair_device"),
    "PASSKEY_REQUIRED": (_FAILED, "pairing_needed", "pair_device"),
    "PASSKEY_CONFIRMATION_REQUIRED": (_FAILED, "pairing_needed", "pair_device"),
    "FAILED": (_FAILED, "session_failed", "restart_session"),
    "STOPPED": (_FAILED, "session_stopped", "start_session"),
}


def build_checks(context: CallContext) -> tuple[ProviderCall, ...]:
    """The session with the number that is linked, and the webhook where that is another question: WAHA tells both at once, Z-API
    nobody."""
    if dialect_of(context) != "evolution":
        return (session_call(context),)
    webhook = server_call("webhook", "GET", context, f"webhook/find/{instance_of(context)}", idempotent=True)
    return session_call(context), webhook


def session_call(context: CallContext) -> ProviderCall:
    """The session with the number that is linked. The answer of Evolution holds the instance's token."""
    path = {
        "evolution": lambda: f"instance/fetchInstances?{urlencode({'instanceName': instance_name(context)})}",
        "waha": lambda: f"api/sessions/{instance_of(context)}",
        "zapi": lambda: zapi_path(context, "status"),
    }[dialect_of(context)]()
    return server_call("session", "GET", context, path, idempotent=True)


def grade(answers: Mapping[str, ProviderAnswer], context: CallContext) -> tuple[Graded, ...]:
    """The state of the session, whether the linked number is the account's, and whether the server posts to us."""
    for step, answer in answers.items():
        dialect, _, check = step.partition("_")
        if check == "session" and dialect in _GRADES:
            faulty = _faulty(answer)
            if faulty is not None:
                return (faulty,)
            posting = answer if dialect == "waha" else answers.get(f"{dialect}_webhook")
            return (*_GRADES[dialect](document_of(answer), context), *_webhook(dialect, posting, context))
    return ()


def _webhook(dialect: str, answer: ProviderAnswer | None, context: CallContext) -> tuple[Graded, ...]:
    """A server may have a webhook of its own for all instances, so an instance without one is only warned about."""
    if answer is None or isinstance(answer, TransportFault) or answer.status >= _FAULTY:
        return ()
    document = json_object(answer.body)
    if dialect == "waha":
        config = document.get("config")
        listed = config.get("webhooks") if isinstance(config, dict) else None
        if not isinstance(listed, list):
            return ()
        urls = [one.get("url") for one in listed if isinstance(one, dict)]
    else:
        urls = [document.get("url")] if document.get("enabled") is True else []
    known = [url for url in urls if isinstance(url, str) and url]
    if not known:
        return (Graded(check="webhook", status=_WARNING, cause="webhook_missing", action="set_up_webhook"),)
    if not any(f"/webhooks/{context.connector_id}" in url for url in known):
        return (Graded(check="webhook", status=_FAILED, cause="subscription_mismatch", action="set_up_webhook"),)
    return (Graded(check="webhook", status=_PASSED, cause="subscribed"),)


def _faulty(answer: ProviderAnswer) -> Graded | None:
    fault = fault_of(answer)
    if fault is None:
        return None
    if fault.error_class in _UNREACHABLE:
        return Graded(check="session", status=None, cause="unreachable", detail=fault.code)
    cause = (
        "instance_unknown" if fault.code == "404" else "credential_refused" if fault.error_class is ErrorClass.AUTH else "refused"
    )
    return Graded(check="session", status=_FAILED, cause=cause, action=fault.action, detail=fault.code)


def document_of(answer: ProviderAnswer) -> dict[str, Any]:
    """The JSON object of an answer; of a list (Evolution's) its first element."""
    if isinstance(answer, TransportFault):
        return {}
    body = answer.body.strip()
    if body.startswith(b"[") and body.endswith(b"]"):
        listed = json_object(b'{"listed":' + body + b"}").get("listed")
        return listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    return json_object(body)


def _session(
    state: tuple[HealthStatus, str, str | None], told: object, number: object, context: CallContext
) -> tuple[Graded, ...]:
    status, cause, action = state
    detail = clean_text(told, MAX_CODE_CHARACTERS) if isinstance(told, str) else None
    session = Graded(check="session", status=status, cause=cause, action=action, detail=detail)
    linked = phone_digits(number.partition("@")[0].partition(":")[0]) if isinstance(number, str) else None
    own = phone_digits(context.identidade)
    if status is not _PASSED or linked is None or own is None:
        return (session,)
    same = canonical_phone(linked) == canonical_phone(own)
    other = Graded(
        check="number",
        status=_PASSED if same else _FAILED,
        cause="number_same" if same else "number_other",
        action=None if same else "pair_device",
    )
    return session, other


def _evolution(document: dict[str, Any], context: CallContext) -> tuple[Graded, ...]:
    told = document.get("connectionStatus")
    state = _EVOLUTION_STATES.get(told) if isinstance(told, str) else None
    if state is None and not document:
        return (Graded(check="session", status=_FAILED, cause="instance_unknown", action="check_instance"),)
    reason = document.get("disconnectionReasonCode")
    detail = f"{told}:{reason}" if isinstance(reason, int) and told != "open" else told
    return _session(state or (_FAILED, "state_unknown", "pair_device"), detail, document.get("ownerJid"), context)


def _waha(document: dict[str, Any], context: CallContext) -> tuple[Graded, ...]:
    told, me = document.get("status"), document.get("me")
    state = _WAHA_STATES.get(told) if isinstance(told, str) else None
    number = me.get("id") if isinstance(me, dict) else None
    return _session(state or (_FAILED, "state_unknown", "check_instance"), told, number, context)


def _zapi(document: dict[str, Any], context: CallContext) -> tuple[Graded, ...]:
    """`error` says "You are already connected." where all is well, so only the two flags count."""
    if document.get("connected") is True:
        phone_online = document.get("smartphoneConnected") is not False
        state = (_PASSED, "connected", None) if phone_online else (_WARNING, "phone_offline", "check_phone")
    else:
        state = (_FAILED, "disconnected", "pair_device")
    return _session(state, None, None, context)


_GRADES: Mapping[str, Callable[[dict[str, Any], CallContext], tuple[Graded, ...]]] = {
    "evolution": _evolution,
    "waha": _waha,
    "zapi": _zapi,
}

CHECKING = Checking(build=build_checks, grade=grade)
