"""When a token is renewed, what a failure means, and when people are told. Pure: facts and the time in, plans out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.domain.enums import ConnectorStatus, ErrorClass, RenewalState, RenewalTask, TokenKind
from shared.domain.renewals import ConnectorTokens, Job, Notice, RenewalPlan, Standing, TokenFacts
from shared.providers.calling import Fault
from shared.providers.contract import Provider

_EARLIEST, _LATEST = 0.5, 0.7  # of its life
_KINDS = frozenset(kind.value for kind in TokenKind)
_OLD = "old_"  # before the name of a credential: the one that was replaced
_ADVICE = {
    "consent_again": "sign in at the provider again and add the new tokens",
    "fix_client": "correct id and secret of the client, then `channels tokens renew`",
    "renew_token": "make a new token at the provider and add it",
    "add_credential": "add the credential, then `channels tokens renew`",
    "fix_config": "correct the address in the connector's config, then `channels tokens renew`",
    "fix_settings": "complete the connector's config, then `channels tokens renew`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The figures behind the rules; seconds throughout. `thresholds` from the largest to the smallest."""

    margin: int = 300  # a token is renewed with that much left
    lead: int = 30  # for finding the row, the call, and storing its answer
    overlap: int = 3_600  # how long a token that was replaced stays usable
    thresholds: tuple[int, ...] = (604_800, 86_400, 3_600, 300)
    first_backoff: int = 30
    longest_backoff: int = 3_600
    test_every: int = 21_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Postpone:
    """Try again at `due_ms`. `unknown`: nobody knows what became of this call."""

    due_ms: int
    cause: str
    outcome: str  # for the counter: transient, rate_limited, unknown
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Never try again by itself: a person must do `action`."""

    cause: str
    action: str
    outcome: str  # consent_needed, expired, unknown, refused


Failure = Postpone | Stop


def due_ms(token_id: str, issued_ms: int, ends_ms: int, policy: Policy) -> int:
    """When a token is renewed: at 50 to 70 % of its life, each at a point of its own, and with the margin left.

    A life that is not much longer than the margin keeps half of itself, so that such a token is not renewed all the time.
    """
    life = max(ends_ms - issued_ms, 0)
    share = _EARLIEST + (_LATEST - _EARLIEST) * _spread(token_id)
    left = min((policy.margin + policy.lead) * 1000, round(life * 0.6))
    return min(issued_ms + round(life * share), ends_ms - left)


def first_notice(ends_ms: int, renewed_ms: int | None, now_ms: int, policy: Policy) -> Notice | None:
    """The first threshold to be told of; None if there is none. `renewed_ms`: until then its renewal needs no mention."""
    passed = [seconds for seconds in _live(ends_ms, renewed_ms, policy) if ends_ms - seconds * 1000 <= now_ms]
    return next_notice(ends_ms, renewed_ms, None if not passed else min(passed) + 1, policy)


def next_notice(ends_ms: int, renewed_ms: int | None, told_seconds: int | None, policy: Policy) -> Notice | None:
    """The largest threshold below the one that was told last (None: nothing was told)."""
    for seconds in _live(ends_ms, renewed_ms, policy):
        if told_seconds is None or seconds < told_seconds:
            return Notice(at_ms=ends_ms - seconds * 1000, threshold_seconds=seconds)
    return None


def telling(ends_ms: int, threshold_seconds: int, now_ms: int, policy: Policy) -> tuple[int, Notice | None]:
    """The threshold that a notice is told for now (of several that have passed the smallest), and the notice after it."""
    passed = [seconds for seconds in policy.thresholds if seconds <= threshold_seconds and ends_ms - seconds * 1000 <= now_ms]
    told = min(passed, default=threshold_seconds)
    return told, next_notice(ends_ms, None, told, policy)


def _live(ends_ms: int, renewed_ms: int | None, policy: Policy) -> list[int]:
    return [seconds for seconds in policy.thresholds if renewed_ms is None or ends_ms - seconds * 1000 > renewed_ms]


def plan_connector(
    connector: ConnectorTokens, provider: Provider, standing: Mapping[str, Standing], now_ms: int, policy: Policy
) -> list[RenewalPlan]:
    """Rows that are missing, or were made for something else. One that is being called, or is to go, stays as it is."""
    plans = (_plan(connector, provider, token, now_ms, policy) for token in connector.tokens)
    return [plan for plan in plans if not _stands(plan, standing.get(plan.token_id))]


def _stands(plan: RenewalPlan, now: Standing | None) -> bool:
    if now is None:
        return False
    if now.task is RenewalTask.RETIRE or now.state is RenewalState.CALLING:
        return True
    return (now.task, now.service, now.planned_for_ms) == (plan.task, plan.service, plan.planned_for_ms)


def _plan(connector: ConnectorTokens, provider: Provider, token: TokenFacts, now_ms: int, policy: Policy) -> RenewalPlan:
    renewing = provider.renewing
    if connector.status is ConnectorStatus.ARCHIVED or not is_newest(token, connector.tokens):
        return RenewalPlan(token_id=token.token_id, task=RenewalTask.NONE, planned_for_ms=token.expires_ms)
    service = None if renewing is None else renewing.service(connector.settings)
    if renewing is not None and service is not None:
        if token.kind is renewing.kind and token.expires_ms is not None:
            source = source_of(token, renewing.spends, connector.tokens)
            if source is not None:
                return plan_renewal(token, service, policy)
        elif token.kind is renewing.spends is not renewing.kind and not _serves_one(token, renewing.kind, connector.tokens):
            return _plan_first(token, service, now_ms)  # a person gave a refresh token alone: fetch what it opens
    if token.expires_ms is not None:
        return plan_watch(token, now_ms, policy)
    if token.kind is provider.required_token and provider.checking is not None:
        return plan_test(token, service or provider.tipo.value, now_ms, policy)
    return RenewalPlan(token_id=token.token_id, task=RenewalTask.NONE)


def plan_renewal(token: TokenFacts, service: str, policy: Policy) -> RenewalPlan:
    """A token that ends, of a kind that is renewed."""
    ends = token.expires_ms or 0
    due = due_ms(token.token_id, token.created_ms, ends, policy)
    return RenewalPlan(
        token_id=token.token_id,
        task=RenewalTask.RENEW,
        service=service,
        planned_for_ms=token.expires_ms,
        due_ms=due,
        ends_ms=ends,
        notice=first_notice(ends, due, token.created_ms, policy),
    )


def _plan_first(token: TokenFacts, service: str, now_ms: int) -> RenewalPlan:
    return RenewalPlan(
        token_id=token.token_id,
        task=RenewalTask.RENEW,
        service=service,
        planned_for_ms=token.expires_ms,
        due_ms=now_ms,
        ends_ms=now_ms,  # nothing works before: it goes first
    )


def plan_watch(token: TokenFacts, now_ms: int, policy: Policy) -> RenewalPlan:
    """A token that ends, and that nothing of ours renews."""
    ends = token.expires_ms
    notice = None if ends is None else first_notice(ends, None, now_ms, policy)
    task = RenewalTask.NONE if ends is None else RenewalTask.WATCH
    return RenewalPlan(token_id=token.token_id, task=task, planned_for_ms=ends, ends_ms=ends, notice=notice)


def plan_test(token: TokenFacts, service: str, now_ms: int, policy: Policy) -> RenewalPlan:
    """A key without an end: tried on a schedule, each token at a point of its own."""
    due = now_ms + round(policy.test_every * 1000 * (0.9 + 0.2 * _spread(f"{token.token_id}/{now_ms}")))
    return RenewalPlan(token_id=token.token_id, task=RenewalTask.TEST, service=service, due_ms=due)


def plan_retirement(token: TokenFacts, service: str, now_ms: int, policy: Policy) -> RenewalPlan:
    """A token that was replaced: usable for its overlap, then it goes."""
    return RenewalPlan(
        token_id=token.token_id,
        task=RenewalTask.RETIRE,
        service=service,
        planned_for_ms=token.expires_ms,
        due_ms=now_ms + policy.overlap * 1000,
    )


def source_of(token: TokenFacts, spends: TokenKind, tokens: Iterable[TokenFacts]) -> TokenFacts | None:
    """What is shown to renew this token: itself, or the newest of the spent kind for its account, else for all accounts."""
    return token if token.kind is spends else _newest_for(spends, token.account, tuple(tokens))


def credential_ids(names: Iterable[str], token: TokenFacts, tokens: tuple[TokenFacts, ...]) -> dict[str, str] | str:
    """Name of a credential → the token that holds it; the name of the first one that there is not.

    `old_<kind>` is the token itself, and then `<kind>` the one that replaced it. A kind's name is the token itself, or the
    newest of that kind for its account. Any other name is that of a secret (metadata `name`, or the config that it was
    pasted into), or the only secret that there is.
    """
    wanted, found = list(names), {}
    replaced = f"{_OLD}{token.kind.value}" in wanted
    for name in wanted:
        if name == f"{_OLD}{token.kind.value}" or (name == token.kind.value and not replaced):
            holder: TokenFacts | None = token
        elif name in _KINDS:
            holder = _newest_for(TokenKind(name), token.account, tokens)
        else:
            holder = _secret(name, tokens)
        if holder is None or (replaced and name == token.kind.value and holder is token):
            return name
        found[name] = holder.token_id
    return found


def _newest_for(kind: TokenKind, account: str | None, tokens: tuple[TokenFacts, ...]) -> TokenFacts | None:
    for whose in (account, None):
        found = _newest(one for one in tokens if one.kind is kind and one.account == whose)
        if found is not None:
            return found
    return None


def _secret(name: str, tokens: tuple[TokenFacts, ...]) -> TokenFacts | None:
    secrets = [one for one in tokens if one.kind is TokenKind.SECRET]
    named = _newest(one for one in secrets if one.name == name)
    return named or (secrets[0] if len(secrets) == 1 and secrets[0].name is None else None)


def before_call(job: Job, token: TokenFacts, *, spends: TokenKind, idempotent: bool, now_ms: int) -> Stop | None:
    """Why a renewal must not even be asked for."""
    if token.kind is spends and token.expires_ms is not None and token.expires_ms <= now_ms:
        return Stop(cause="token_expired", action="renew_token", outcome="expired")
    if job.unknown_calls > 1 and not idempotent:
        return Stop(cause="outcome_unknown", action="consent_again", outcome="unknown")
    return None


def after_fault(fault: Fault, job: Job, *, idempotent: bool, now_ms: int, policy: Policy) -> Failure:
    """What follows from a call that brought nothing new.

    A call that may have used up its one-time token is made once more, and then never again.
    """
    code = fault.code or fault.error_class.value
    match fault.error_class:
        case ErrorClass.RATE_LIMITED:
            told = 0.0 if fault.retry_after_seconds is None else fault.retry_after_seconds * (1 + 0.1 * _spread(job.token_id))
            due = now_ms + max(round(told * 1000), _backoff_ms(job, now_ms, policy))
            return Postpone(due_ms=due, cause=code, outcome="rate_limited")
        case ErrorClass.RETRYABLE:
            wait = max(round((fault.retry_after_seconds or 0) * 1000), _backoff_ms(job, now_ms, policy))
            return Postpone(due_ms=now_ms + wait, cause=code, outcome="transient")
        case ErrorClass.UNKNOWN_OUTCOME if idempotent or job.unknown_calls == 0:
            due = now_ms + _backoff_ms(job, now_ms, policy)
            return Postpone(due_ms=due, cause=code, outcome="unknown", unknown=not idempotent)
        case ErrorClass.UNKNOWN_OUTCOME:
            return Stop(cause="outcome_unknown", action="consent_again", outcome="unknown")
        case ErrorClass.AUTH:
            return Stop(cause=code, action=fault.action or "consent_again", outcome="consent_needed")
        case _:
            return Stop(cause=code, action=fault.action or "renew_token", outcome="refused")


def after_our_own_fault(cause: str, job: Job, now_ms: int, policy: Policy) -> Postpone:
    """The credential could not be opened now (the key service is away, or refuses)."""
    return Postpone(due_ms=now_ms + _backoff_ms(job, now_ms, policy), cause=cause, outcome="transient")


def advice(stop: Stop) -> str:
    """The cause that the connector's status carries: what happened, and what a person does about it."""
    return f"token not renewed ({stop.cause}): {_ADVICE.get(stop.action, stop.action)}"


def _backoff_ms(job: Job, now_ms: int, policy: Policy) -> int:
    """Longer each time; shorter again the nearer the end comes."""
    seconds = min(policy.first_backoff * 2.0 ** min(job.attempt - 1, 20), policy.longest_backoff)
    left = 0.0 if job.ends_ms is None else (job.ends_ms - now_ms) / 1000
    if left > 0:
        seconds = min(seconds, max(left / 4, policy.first_backoff / 3))
    return round(1000 * seconds * (0.5 + 0.5 * _spread(f"{job.token_id}/{job.attempt}")))


def is_newest(token: TokenFacts, tokens: Iterable[TokenFacts]) -> bool:
    """Is there none of its kind, account and name that came after it?"""
    return _newest_like(token, tokens) is token


def _serves_one(source: TokenFacts, kind: TokenKind, tokens: tuple[TokenFacts, ...]) -> bool:
    return any(source_of(token, source.kind, tokens) is source for token in tokens if token.kind is kind)


def _newest_like(token: TokenFacts, tokens: Iterable[TokenFacts]) -> TokenFacts | None:
    place = (token.kind, token.account, token.name)
    return _newest(one for one in tokens if (one.kind, one.account, one.name) == place)


def _newest(tokens: Iterable[TokenFacts]) -> TokenFacts | None:
    return max(tokens, key=lambda token: (token.created_ms, token.token_id), default=None)


def _spread(text: str) -> float:
    """0 to 1, the same for the same text in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
