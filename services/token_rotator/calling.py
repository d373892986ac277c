"""Carries out one order: its calls one after the other, and what their answers mean. Runs in a thread of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.token_rotator.decide import Failure, Policy, Postpone, plan_test
from services.token_rotator.orders import Order, context_of, read_renewal
from shared.adapters.clock import Clock
from shared.domain.enums import RenewalTask
from shared.domain.errors import InvalidInput, Unavailable
from shared.management.renewed_tokens import RenewedTokens
from shared.providers.calling import Credentials, PlacedCall, ProviderAnswer, TransportFault, placed
from shared.providers.checking import Graded, overall

_PASSED = "passed"


class Caller(Protocol):
    """Makes calls; safe for threads."""

    def call(self, placed: PlacedCall, service: str) -> ProviderAnswer:
        """The answer, or why there is none. Blocks within the call's own time limit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A replaced token may go: the provider was told, or cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """How a key that cannot be renewed fared. `grade`: passed, warning, failed, unknown."""

    grade: str
    cause: str | None
    due_ms: int


Outcome = RenewedTokens | Failure | Retired | Tested


@dataclass(frozen=True, slots=True)
class Result:
    """An order and what came of it; kept until it is stored."""

    order: Order
    outcome: Outcome


def carry_out(order: Order, credentials: Credentials, caller: Caller, clock: Clock, policy: Policy) -> Result:
    """Blocks for the calls. Never raises for what a provider answers."""
    task = order.job.task
    if task is RenewalTask.RENEW:
        return Result(order, _renew(order, credentials, caller, clock, policy))
    answers = {call.step: _answer(order, placed(call, credentials), caller) for call in order.calls}
    if task is RenewalTask.RETIRE:
        return Result(order, Retired())  # whatever was answered: at its own end it is worth nothing any more
    return Result(order, _tested(order, answers, clock.now_ms(), policy))


def _renew(order: Order, credentials: Credentials, caller: Caller, clock: Clock, policy: Policy) -> Outcome:
    assert order.provider.renewing is not None  # noqa: S101  only such a provider has renewals
    try:
        ready = placed(order.calls[0], credentials)
    except InvalidInput as error:  # a credential without the form that its place needs
        return Postpone(due_ms=clock.now_ms() + policy.longest_backoff * 1000, cause=error.reason, outcome="transient")
    asked_ms = clock.now_ms()
    answer = _answer(order, ready, caller)
    outcome = order.provider.renewing.read(answer)
    return read_renewal(order, outcome, asked_ms=asked_ms, now_ms=clock.now_ms(), policy=policy)


def _answer(order: Order, ready: PlacedCall, caller: Caller) -> ProviderAnswer:
    try:
        return caller.call(ready, order.job.service)
    except Unavailable:  # the client hangs, or is closed under the call: nobody knows what has left
        return TransportFault(kind="lost", may_have_left=True)


def _tested(order: Order, answers: Mapping[str, ProviderAnswer], now_ms: int, policy: Policy) -> Tested:
    checking = order.provider.checking
    context = context_of(order.connector, order.token, now_ms)
    grades: tuple[Graded, ...] = () if checking is None or not answers else checking.grade(answers, context)
    worst = overall(grades)
    cause = next((one.cause for one in grades if one.status is worst and one.cause != "ok"), None)
    due_ms = plan_test(order.token, order.job.service, now_ms, policy).due_ms or now_ms
    grade = "unknown" if worst is None else worst.value
    return Tested(grade=grade, cause=None if grade == _PASSED else cause, due_ms=due_ms)
