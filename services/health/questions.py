"""Which calls a check makes, and what their answers and our own data come to. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from services.health.decide import Finding, Policy
from shared.adapters.health_rows import SubjectRow
from shared.domain.enums import HealthStatus
from shared.domain.errors import InvalidInput
from shared.management.call_credentials import TokenRow, holder, names_placed
from shared.providers.calling import CallContext, Credentials, ProviderAnswer, ProviderCall
from shared.providers.contract import Provider

_HOURS, _DAYS = 24, 14
_LEAST_DAYS = 3  # of data before anything is called usual


def context_of(subject: SubjectRow, now_ms: int) -> CallContext:
    """For whom the calls are built."""
    return CallContext(
        connector_id=subject.connector_id,
        account_id=subject.account_id,
        identidade=subject.identidade,
        settings=subject.config,
        account_config=subject.account_config,
        now_ms=now_ms,
        project=subject.project,
    )


def calls_of(provider: Provider, subject: SubjectRow, context: CallContext) -> tuple[ProviderCall, ...] | Finding:
    """The calls about this subject: those about the connector as a whole, or the others. A Finding where none can be built."""
    checking = provider.checking
    if checking is None:
        return ()
    whole = subject.account_id is None
    if whole and not checking.connector_steps:
        return ()
    try:
        calls = checking.build(context)
    except InvalidInput as error:
        if whole and subject.identidade is None:
            return ()  # no account yet, and the provider asks through one
        return Finding(check="settings", status=HealthStatus.FAILED, cause=error.reason, action="fix_config")
    return tuple(call for call in calls if (call.step in checking.connector_steps) is whole)


def findings_of(
    provider: Provider, subject: SubjectRow, context: CallContext, answers: Mapping[str, ProviderAnswer]
) -> tuple[Finding, ...]:
    """What the provider's answers come to. `detail` is left out where it is, or holds, anything but a code of the provider's."""
    checking = provider.checking
    if checking is None or (not answers and (subject.account_id is not None or not checking.connector_checks)):
        return ()
    whole = subject.account_id is None
    graded = checking.grade(answers, context)
    return tuple(
        Finding(check=one.check, status=one.status, cause=one.cause, action=one.action, detail=one.detail)
        for one in graded
        if (one.check in checking.connector_checks) is whole
    )


def without_secrets(finding: Finding, credentials: Credentials) -> Finding:
    """The finding without a detail that repeats a credential."""
    detail = finding.detail
    if detail is None or not any(value and value in detail for value in credentials.values()):
        return finding
    return Finding(check=finding.check, status=finding.status, cause=finding.cause, action=finding.action)


def needed(
    calls: Sequence[ProviderCall], tokens: Sequence[TokenRow], identidade: str | None, now_ms: int
) -> dict[str, str] | Finding:
    """Name of each credential that the calls place → the token that holds it; a Finding where one is missing or has expired."""
    found: dict[str, str] = {}
    for name in sorted(names_placed(calls)):
        row = holder(name, tokens, identidade)
        if row is None:
            return _credential("credential_missing", "add_credential", name)
        if row.expires_ms is not None and row.expires_ms <= now_ms:
            return _credential("credential_expired", "renew_token", name)
        found[name] = row.token_id
    return found


def _credential(cause: str, action: str, name: str) -> Finding:
    return Finding(check="credential", status=HealthStatus.FAILED, cause=cause, action=action, detail=name)


def silence(days: Mapping[dt.date, Sequence[int]], policy: Policy, now_ms: int) -> Finding | None:
    """Nothing came in for `silence_hours` whole hours in which, on other days, at least `silence_expected` items do.

    `days`: items per hour (UTC) of each day. None where too little is known of the account, or silence is not asked for.
    """
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    window = [
        now.replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=back) for back in range(policy.silence_hours + 1)
    ]
    known = [day for day in days if now.date() - dt.timedelta(days=_DAYS) <= day < window[-1].date()]
    if not policy.silence_hours or len(known) < _LEAST_DAYS:
        return None
    came = sum(_items(days, hour.date(), hour.hour) for hour in window)
    first = min(known)
    length = (window[-1].date() - first).days  # a day without a row is a day without items
    usual = sum(days[day][hour.hour] for day in known for hour in window[1:]) / length
    if came == 0 and usual >= policy.silence_expected:
        return Finding(check="traffic", status=HealthStatus.WARNING, cause="silent", action="check_traffic")
    return Finding(check="traffic", status=HealthStatus.PASSED, cause="traffic_usual")


def _items(days: Mapping[dt.date, Sequence[int]], day: dt.date, hour: int) -> int:
    return days[day][hour] if day in days else 0
