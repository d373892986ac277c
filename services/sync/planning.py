"""What is to be registered, with which secrets, and what answers come to. Pure: facts and the time come in, values go out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.domain.enums import ConnectorStatus, ConnectorType, ErrorClass, SecretUse, WebhookEvent, WebhookStatus
from shared.domain.snapshots import WrappedDataKey
from shared.domain.syncing import MISMATCH, SyncOutcome, SyncResult
from shared.providers.calling import CallContext, Fault, ProviderAnswer, TransportFault
from shared.providers.contract import ReceivingSecret
from shared.providers.setting_up import SetupState

_FOREVER_MS = 1 << 62
_PASSING = frozenset({ErrorClass.RETRYABLE, ErrorClass.UNKNOWN_OUTCOME})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The figures behind the rules; seconds. After `mismatch_attempts` in vain a person is asked."""

    first_backoff: float = 5.0
    longest_backoff: float = 3_600.0
    mismatch_attempts: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFacts:
    """One class of events."""

    id: str
    evento: WebhookEvent
    url: str
    status: WebhookStatus
    segredo: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """An account that is turned on."""

    id: str
    identidade: str
    config: Mapping[str, Any]
    webhook_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The rows behind one job, of one instant. `rotations`: use → id of the secret that is to take the place of the others."""

    tenant_id: str
    connector_id: str
    tipo: ConnectorType
    status: ConnectorStatus
    project: str | None
    config: Mapping[str, Any]
    version: int
    webhooks: tuple[WebhookFacts, ...]
    accounts: tuple[AccountFacts, ...]
    ingest_keys: tuple[WrappedDataKey, ...]
    rotations: Mapping[str, str]


def callback_url(facts: Facts, account_id: str | None) -> str | None:
    """Where the provider is to post: an account's own address, else that of the class `message_in`, else of the oldest active
    class. None: there is nothing to register."""
    active = [one for one in facts.webhooks if one.status is WebhookStatus.ACTIVE]
    if not active or facts.status is ConnectorStatus.ARCHIVED:
        return None
    if account_id is not None:
        account = next((one for one in facts.accounts if one.id == account_id), None)
        if account is None:
            return None
        if account.webhook_url:
            return account.webhook_url
    return next((one.url for one in active if one.evento is WebhookEvent.MESSAGE_IN), active[0].url)


def context_of(facts: Facts, account: AccountFacts | None, now_ms: int) -> CallContext:
    """For whom the calls are built."""
    return CallContext(
        connector_id=facts.connector_id,
        account_id=None if account is None else account.id,
        identidade=None if account is None else account.identidade,
        settings=facts.config,
        account_config={} if account is None else account.config,
        now_ms=now_ms,
        project=facts.project,
    )


def wanted_secrets(
    known: Sequence[ReceivingSecret], rotations: Mapping[str, str], now_ms: int
) -> dict[SecretUse, ReceivingSecret]:
    """The secret of each use that the provider should have: the one that a rotation brings, else the longest-lived of those
    that hold now, the newest of several. `known`: the secrets of all rows in the order of the rows."""
    found: dict[SecretUse, ReceivingSecret] = {}
    for use in SecretUse:
        first: dict[bytes, ReceivingSecret] = {}
        for one in known:
            if one.use is use and _holds(one, now_ms):
                first.setdefault(one.value, one)  # by the id that it has in the first row
        live = list(first.values())
        rotated = next((one for one in live if one.id == rotations.get(use.value)), None)
        if rotated is not None:
            found[use] = rotated
        elif live:
            found[use] = max(enumerate(live), key=lambda pair: (_end_ms(pair[1]), pair[0]))[1]
    return found


def next_beginning(known: Sequence[ReceivingSecret], uses: Collection[SecretUse], now_ms: int) -> int | None:
    """When the next secret of these uses begins to hold; None where none will. What is over before it begins never holds."""
    begins = [
        one.not_before_ms
        for one in known
        if one.use in uses and one.not_before_ms is not None and one.not_before_ms < _end_ms(one)
    ]
    return min((at_ms for at_ms in begins if at_ms > now_ms), default=None)


def _holds(secret: ReceivingSecret, now_ms: int) -> bool:
    return (secret.not_before_ms is None or secret.not_before_ms <= now_ms) and now_ms < _end_ms(secret)


def _end_ms(secret: ReceivingSecret) -> int:
    return _FOREVER_MS if secret.not_after_ms is None else secret.not_after_ms


def is_registered(state: SetupState, *, url: str, secret: str | None, known_url: str | None, known_secret: str | None) -> bool:
    """Whether nothing needs to be registered: the provider has our address and events, and got this very secret from us.

    What a provider tells nobody (its secret, at Z-API its address) is as we left it, unless somebody says otherwise.
    """
    return state.complete and known_url == url and (known_secret or None) == secret


def failure_of(
    state: SetupState, answers: Collection[ProviderAnswer], attempt: int, policy: Policy, now_ms: int, chance: float
) -> SyncResult | None:
    """What follows from calls that did not all work, or that left something missing; None if all is well."""
    guarded = next((one for one in answers if isinstance(one, TransportFault) and one.kind == "refused"), None)
    if guarded is not None and not guarded.may_have_left:
        return _told(state, outcome=SyncOutcome.REFUSED, cause="egress_refused", action="fix_config")
    if state.fault is not None:
        return _told(state, **_of_fault(state.fault, attempt, policy, now_ms, chance))
    if state.missing:
        again = attempt < policy.mismatch_attempts
        due_ms = backoff_ms(attempt, policy, now_ms, chance) if again else None
        action = "see_by_hand" if state.by_hand else "set_up_webhook"
        return _told(state, outcome=SyncOutcome.MISMATCH, cause=MISMATCH, action=action, due_ms=due_ms)
    return None


def _of_fault(fault: Fault, attempt: int, policy: Policy, now_ms: int, chance: float) -> dict[str, Any]:
    due_ms = backoff_ms(attempt, policy, now_ms, chance)
    if fault.error_class is ErrorClass.RATE_LIMITED:
        told_ms = now_ms + round((fault.retry_after_seconds or 0.0) * 1000 * (1.0 + 0.1 * chance))
        return {"outcome": SyncOutcome.RATE_LIMITED, "cause": "rate_limited", "action": None, "due_ms": max(due_ms, told_ms)}
    if fault.error_class in _PASSING:
        cause = fault.code if fault.code in ("tls", "timeout", "connect") else fault.error_class.value
        return {"outcome": SyncOutcome.TRANSIENT, "cause": cause, "action": fault.action, "due_ms": due_ms}
    auth = fault.error_class is ErrorClass.AUTH
    action = fault.action or ("renew_token" if auth else "fix_config")
    return {"outcome": SyncOutcome.REFUSED, "cause": "auth" if auth else fault.error_class.value, "action": action}


def _told(state: SetupState, **result: Any) -> SyncResult:
    return SyncResult(missing=state.missing, by_hand=state.by_hand, **result)


def transient(cause: str, attempt: int, policy: Policy, now_ms: int, chance: float) -> SyncResult:
    """Something of ours that passes."""
    return SyncResult(outcome=SyncOutcome.TRANSIENT, cause=cause, due_ms=backoff_ms(attempt, policy, now_ms, chance))


def backoff_ms(attempt: int, policy: Policy, now_ms: int, chance: float) -> int:
    """When to try again after so many attempts; `chance` (0 to 1) spreads those who failed together."""
    longest = min(policy.first_backoff * 2.0 ** min(attempt - 1, 30), policy.longest_backoff)
    return now_ms + round(longest * 1000 * (0.75 + 0.25 * chance))
