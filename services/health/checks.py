"""Runs checks: facts and credentials in a few statements for many, their calls at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.health.activity import Activity
from services.health.credentials import Credentials
from services.health.decide import Finding, Policy, worst
from services.health.policies import Policies
from services.health.questions import (
    calls_of,
    context_of,
    findings_of,
    needed,
    silence,
    without_secrets,
)
from services.health.writing import Outcome
from shared.adapters.clock import Clock
from shared.adapters.health_rows import SubjectRow
from shared.domain.enums import HealthStatus
from shared.management.call_credentials import TokenRow
from shared.providers import provider_of
from shared.providers.calling import CallContext, PlacedCall, ProviderAnswer, ProviderCall, TransportFault, placed

_SECONDS = 30.0  # for a whole check, below the lease


class Caller(Protocol):
    """Makes one call."""

    async def call(self, placed: PlacedCall, provider: str) -> ProviderAnswer:
        """The answer, or why there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A check whose calls can go out, or whose finding is known without any. `credentials`: name → value."""

    subject: SubjectRow
    policy: Policy
    context: CallContext
    calls: tuple[ProviderCall, ...]
    credentials: Mapping[str, str]
    known: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckParts:
    """What checks work with."""

    credentials: Credentials
    activity: Activity
    policies: Policies
    caller: Caller
    clock: Clock


class Checks:
    """`prepare` blocks and belongs in a thread; `run` is one check."""

    def __init__(self, parts: CheckParts) -> None:
        self._parts = parts
        self._log = structlog.get_logger()

    def prepare(self, subjects: Sequence[SubjectRow]) -> list[Ready]:
        """Build the calls of all, and open what they place. Raises Unavailable, KeyRefused."""
        now_ms = self._parts.clock.now_ms()
        tokens = self._parts.credentials.known({one.connector_id for one in subjects})
        days = self._parts.activity.days([one.subject_id for one in subjects if one.account_id is not None], now_ms)
        drafts = [(one, *self._draft(one, tokens[one.connector_id], now_ms)) for one in subjects]
        values = self._parts.credentials.open({token for *_, needs in drafts for token in needs.values()}, now_ms)
        ready = []
        for subject, policy, context, calls, amiss, needs in drafts:
            quiet = silence(days.get(subject.subject_id, {}), policy, now_ms) if subject.account_id is not None else None
            closed = not values.keys() >= set(needs.values())
            shut = Finding(check="credential", status=None, cause="credential_closed") if closed else None
            known = (*amiss, *(one for one in (quiet, shut) if one is not None))
            credentials = {} if closed else {name: values[token] for name, token in needs.items()}
            ready.append(
                Ready(
                    subject=subject,
                    policy=policy,
                    context=context,
                    calls=() if closed else calls,
                    credentials=credentials,
                    known=known,
                )
            )
        return ready

    def _draft(
        self, subject: SubjectRow, tokens: Sequence[TokenRow], now_ms: int
    ) -> tuple[Policy, CallContext, tuple[ProviderCall, ...], tuple[Finding, ...], dict[str, str]]:
        policy, context = self._parts.policies.of(subject), context_of(subject, now_ms)
        calls = calls_of(provider_of(subject.tipo), subject, context)
        if isinstance(calls, Finding):
            return policy, context, (), (calls,), {}
        needs = needed(calls, tokens, subject.identidade, now_ms)
        if isinstance(needs, Finding):
            return policy, context, (), (needs,), {}
        return policy, context, calls, (), needs

    async def run(self, ready: Ready) -> Outcome:
        """Ask, grade; never raises for what is asked or answered. An error of ours is a check that nobody could tell."""
        at_ms, began = self._parts.clock.now_ms(), time.monotonic()
        try:
            findings = (*await self._ask(ready), *ready.known)
        except Exception as error:
            self._log.error("check_broke", subject_id=ready.subject.subject_id, error=type(error).__name__)
            findings = (Finding(check="check", status=None, cause="internal_error"),)
        return Outcome(
            subject=ready.subject,
            finding=without_secrets(worst(findings), ready.credentials),
            policy=ready.policy,
            at_ms=at_ms,
            duration_ms=round((time.monotonic() - began) * 1000),
        )

    async def _ask(self, ready: Ready) -> tuple[Finding, ...]:
        if not ready.calls and any(one.status is not HealthStatus.PASSED for one in ready.known):
            return ()
        answers: dict[str, ProviderAnswer] = {}

        async def ask(call: ProviderCall) -> None:
            answers[call.step] = TransportFault(kind="timeout", may_have_left=True)
            answers[call.step] = await self._parts.caller.call(placed(call, ready.credentials), ready.subject.tipo.value)

        try:
            async with asyncio.timeout(_SECONDS), asyncio.TaskGroup() as group:
                for call in ready.calls:
                    group.create_task(ask(call))
        except TimeoutError:
            pass  # those without an answer count as timed out
        return findings_of(provider_of(ready.subject.tipo), ready.subject, ready.context, answers)
