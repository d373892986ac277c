"""From a row that is due to the calls that are made for it, and from an answer to what is stored. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.token_rotator.decide import (
    Failure,
    Policy,
    Stop,
    after_fault,
    before_call,
    credential_ids,
    plan_renewal,
    plan_retirement,
    plan_test,
    plan_watch,
    source_of,
)
from shared.adapters.clock import new_uuid7
from shared.adapters.renewal_rows import moment
from shared.domain.enums import ErrorClass, RenewalTask
from shared.domain.errors import InvalidInput
from shared.domain.renewals import ConnectorTokens, Job, RenewalPlan, TokenFacts
from shared.management.lifting import refuse_secrets
from shared.management.renewed_tokens import RenewedTokens
from shared.management.tokens import NewToken
from shared.providers.calling import CallContext, Fault, ProviderCall
from shared.providers.contract import Provider
from shared.providers.renewing import FreshToken, NotRenewed, Renewed

_MAX_SCOPES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job with its calls. `needs`: name of a credential → the token that holds it."""

    job: Job
    connector: ConnectorTokens
    token: TokenFacts
    provider: Provider
    calls: tuple[ProviderCall, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Impossible:
    """A job that leads to no call: nothing could be built for it, or nothing may be asked any more."""

    order: Order
    failure: Stop


def context_of(connector: ConnectorTokens, token: TokenFacts, now_ms: int) -> CallContext:
    """For whom the calls are built."""
    return CallContext(
        connector_id=connector.connector_id,
        account_id=None,
        identidade=token.account,
        settings=connector.settings,
        account_config={},
        now_ms=now_ms,
    )


def build_order(job: Job, connector: ConnectorTokens, token: TokenFacts, provider: Provider, now_ms: int) -> Order | Impossible:
    """The calls for a job. A token that is to go needs none where the provider cannot end it."""
    order = Order(job=job, connector=connector, token=token, provider=provider)
    context = context_of(connector, token, now_ms)
    try:
        calls = _calls(job, provider, context)
    except InvalidInput as error:
        calls = ()
        if job.task is not RenewalTask.RETIRE:
            return Impossible(order, Stop(cause=error.reason, action="fix_settings", outcome="refused"))
    if job.task is RenewalTask.RENEW and provider.renewing is not None:
        idempotent = calls[0].idempotent
        stop = before_call(job, token, spends=provider.renewing.spends, idempotent=idempotent, now_ms=now_ms)
        if stop is not None:
            return Impossible(order, stop)
    names = {placement.credential for call in calls for placement in call.placements}
    needs = credential_ids(sorted(names), token, connector.tokens)
    if isinstance(needs, str):
        if job.task is RenewalTask.RETIRE:
            return order
        return Impossible(order, Stop(cause=f"credential_missing:{needs}", action="add_credential", outcome="refused"))
    return Order(job=job, connector=connector, token=token, provider=provider, calls=calls, needs=needs)


def _calls(job: Job, provider: Provider, context: CallContext) -> tuple[ProviderCall, ...]:
    renewing = provider.renewing
    if job.task is RenewalTask.RENEW:
        if renewing is None:
            raise InvalidInput("this provider renews nothing", reason="not_renewable")
        return (renewing.build(context),)
    if job.task is RenewalTask.RETIRE:
        return () if renewing is None or renewing.build_revoke is None else (renewing.build_revoke(context),)
    if provider.checking is None:
        return ()
    return tuple(call for call in provider.checking.build(context) if call.url.startswith(("https://", "http://")))


def read_renewal(
    order: Order, outcome: Renewed | NotRenewed, *, asked_ms: int, now_ms: int, policy: Policy
) -> RenewedTokens | Failure:
    """What is stored of a renewal's answer, or what follows from its failure. Lives count from when it was asked."""
    if isinstance(outcome, Renewed):
        if all(_usable(fresh) for fresh in outcome.tokens):
            return _renewed(order, outcome.tokens, asked_ms=asked_ms, now_ms=now_ms, policy=policy)
        outcome = NotRenewed(fault=Fault(error_class=ErrorClass.UNKNOWN_OUTCOME, code="token_unusable"))
    return after_fault(outcome.fault, order.job, idempotent=order.calls[0].idempotent, now_ms=now_ms, policy=policy)


def _usable(fresh: FreshToken) -> bool:
    return bool(fresh.value.strip()) and fresh.value.isprintable()


def _renewed(order: Order, fresh: tuple[FreshToken, ...], *, asked_ms: int, now_ms: int, policy: Policy) -> RenewedTokens:
    assert order.provider.renewing is not None  # noqa: S101  only such a job gets here
    head, job = order.token, order.job
    given = [(one, _facts(one, head, asked_ms)) for one in fresh]
    kinds = {one.kind for one in fresh}
    plans = [_plan_fresh(order, facts, now_ms, policy) for _, facts in given]
    source = source_of(head, order.provider.renewing.spends, order.connector.tokens)
    for old in {one.token_id: one for one in (head, source) if one is not None}.values():
        if old.kind in kinds:
            plans.append(plan_retirement(old, job.service, now_ms, policy))
        else:
            plans.append(plan_watch(old, now_ms, policy))
    return RenewedTokens(
        job=job,
        tenant_id=order.connector.tenant_id,
        new=tuple(_new(one, facts, head) for one, facts in given),
        plans=tuple(plans),
    )


def _facts(fresh: FreshToken, head: TokenFacts, asked_ms: int) -> TokenFacts:
    lives = fresh.expires_in_seconds
    return TokenFacts(
        token_id=new_uuid7(),
        kind=fresh.kind,
        created_ms=asked_ms,
        expires_ms=None if lives is None else asked_ms + lives * 1000,
        account=head.account,
    )


def _plan_fresh(order: Order, facts: TokenFacts, now_ms: int, policy: Policy) -> RenewalPlan:
    provider = order.provider
    if provider.renewing is not None and facts.kind is provider.renewing.kind:
        if facts.expires_ms is not None:
            return plan_renewal(facts, order.job.service, policy)
        if facts.kind is provider.required_token and provider.checking is not None:
            return plan_test(facts, order.job.service, now_ms, policy)
    return plan_watch(facts, now_ms, policy)


def _new(fresh: FreshToken, facts: TokenFacts, head: TokenFacts) -> NewToken:
    return NewToken(
        id=facts.token_id,
        kind=fresh.kind,
        value=fresh.value,
        expires_at=None if facts.expires_ms is None else moment(facts.expires_ms),
        created_at=moment(facts.created_ms),
        metadata=_notes(fresh, head),
    )


def _notes(fresh: FreshToken, head: TokenFacts) -> dict[str, object]:
    """What was noted of the old one goes on; scopes are what the provider says now."""
    notes = dict(head.notes) if fresh.kind is head.kind else {}
    if head.account is not None:
        notes["account"] = head.account
    scopes = [scope for scope in fresh.scopes[:_MAX_SCOPES] if scope.isprintable()]
    if scopes:
        try:
            refuse_secrets(scopes, "/metadata/scopes")
            notes["scopes"] = scopes
        except InvalidInput:  # a provider that answers with something else there must not cost the token
            pass
    return notes
