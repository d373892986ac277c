"""The posting engine: what is due, what becomes of an answer, and the ledger of everything posted and answered.

It does no input or output and knows no clock but the virtual one: whoever drives it posts what `due` gives and hands each
answer to `answered`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from services.simulator.clock import VirtualClock
from services.simulator.schedules import SCHEDULES, Again, Tried
from services.simulator.wire import Answer, Post

Outcome = Literal["waiting", "delivered", "dropped", "disabled"]


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One webhook on its way. `make` signs a fresh request for an attempt (its argument: the present moment).

    Deliveries of one `lane` go one after another, each only after the one before is over; an empty lane is free.
    """

    number: int
    stand_in: str
    account: str
    make: Callable[[int], Post]
    label: str
    lane: str = ""
    made_ms: int
    due_ms: int
    expires_ms: int | None = None
    attempts: int = 0
    gone_since_ms: int | None = None
    outcome: Outcome = "waiting"
    in_flight: bool = False
    challenged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One attempt: what was posted when, and what came back. `outcome` is the delivery's after this attempt."""

    delivery: int
    stand_in: str
    account: str
    label: str
    attempt: int
    at_ms: int
    url: str
    body_bytes: int
    status: int | None
    late: bool
    outcome: Outcome
    next_in_seconds: float | None = None
    executed: str = ""  # Telegram: the method in our answer's body, which it carried out blindly


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request that is to be posted now."""

    delivery: Delivery
    post: Post


@dataclass(slots=True)
class Engine:
    """All deliveries of all stand-ins. The same seed and the same answers give the same posts."""

    clock: VirtualClock
    chance: random.Random
    ledger: list[LedgerLine] = field(default_factory=list)
    _waiting: list[Delivery] = field(default_factory=list)
    _made: int = 0

    def add(
        self,
        *,
        stand_in: str,
        account: str,
        make: Callable[[int], Post],
        label: str,
        lane: str = "",
        delay_seconds: float = 0.0,
        expires_ms: int | None = None,
    ) -> Delivery:
        """Put one webhook on its way."""
        self._made += 1
        now_ms = self.clock.now_ms
        delivery = Delivery(
            number=self._made,
            stand_in=stand_in,
            account=account,
            make=make,
            label=label,
            lane=f"{stand_in}/{account}/{lane}" if lane else "",
            made_ms=now_ms,
            due_ms=now_ms + round(delay_seconds * 1000),
            expires_ms=expires_ms,
        )
        self._waiting.append(delivery)
        return delivery

    def next_moment_ms(self) -> int | None:
        """When something is due next; None if nothing waits."""
        return min((one.due_ms for one in self._heads()), default=None)

    def due(self) -> list[Attempt]:
        """Everything that is to be posted now; each is in flight until `answered`."""
        ready = sorted(
            (one for one in self._heads() if one.due_ms <= self.clock.now_ms), key=lambda one: (one.due_ms, one.number)
        )
        for delivery in ready:
            delivery.in_flight = True
        return [Attempt(delivery=one, post=self._post_of(one)) for one in ready]

    def answered(self, attempt: Attempt, answer: Answer) -> None:
        """Write the answer down and decide what the provider does next."""
        delivery, now_ms = attempt.delivery, self.clock.now_ms
        schedule = SCHEDULES[delivery.stand_in]
        late = answer.seconds > schedule.timeout_seconds
        counted = Answer(status=None) if late else answer
        delivery.attempts += 1
        delivery.in_flight = False
        delivery.gone_since_ms = (delivery.gone_since_ms or now_ms) if counted.status == 410 else None
        tried = Tried(
            attempts=delivery.attempts,
            age_seconds=(now_ms - delivery.made_ms) / 1000,
            expires_in_seconds=None if delivery.expires_ms is None else (delivery.expires_ms - now_ms) / 1000,
            gone_for_seconds=0.0 if delivery.gone_since_ms is None else (now_ms - delivery.gone_since_ms) / 1000,
        )
        step = schedule.next_step(counted, tried, self.chance)
        if self._is_challenge(attempt, counted):
            delivery.challenged, step = True, Again(after_seconds=0.0)
        if isinstance(step, Again):
            delivery.due_ms = now_ms + round(step.after_seconds * 1000)
        else:
            delivery.outcome = step.outcome
            self._waiting.remove(delivery)
        self._write(attempt, counted, late, step.after_seconds if isinstance(step, Again) else None)

    def _post_of(self, delivery: Delivery) -> Post:
        post = delivery.make(self.clock.now_ms)
        if delivery.challenged or not SCHEDULES[delivery.stand_in].waits_for_challenge:
            return post
        return replace(post, headers=tuple(header for header in post.headers if header[0] != "Authorization"))

    def _is_challenge(self, attempt: Attempt, answer: Answer) -> bool:
        return answer.status == 401 and "www-authenticate" in answer.headers and self.withholds(attempt)

    def withholds(self, attempt: Attempt) -> bool:
        """The sender has a credential that it did not show in this attempt, because nobody has asked for it yet."""
        delivery = attempt.delivery
        if delivery.challenged or not SCHEDULES[delivery.stand_in].waits_for_challenge:
            return False
        return attempt.post != delivery.make(self.clock.now_ms)

    def drop_account(self, stand_in: str, account: str) -> None:
        """Forget what waits for one account, as when its webhook is deleted."""
        self._waiting = [one for one in self._waiting if (one.stand_in, one.account) != (stand_in, account)]

    def waiting(self, stand_in: str, account: str) -> list[Delivery]:
        """What is not over yet for one account."""
        return [one for one in self._waiting if (one.stand_in, one.account) == (stand_in, account)]

    def _heads(self) -> list[Delivery]:
        blocked: set[str] = set()
        found = []
        for delivery in self._waiting:
            if delivery.lane and delivery.lane in blocked:
                continue
            blocked.add(delivery.lane)
            if not delivery.in_flight:
                found.append(delivery)
        return found

    def _write(self, attempt: Attempt, answer: Answer, late: bool, next_in_seconds: float | None) -> None:
        delivery = attempt.delivery
        self.ledger.append(
            LedgerLine(
                delivery=delivery.number,
                stand_in=delivery.stand_in,
                account=delivery.account,
                label=delivery.label,
                attempt=delivery.attempts,
                at_ms=self.clock.now_ms,
                url=attempt.post.url,
                body_bytes=len(attempt.post.body),
                status=answer.status,
                late=late,
                outcome=delivery.outcome,
                next_in_seconds=next_in_seconds,
                executed=_method_in(answer.body) if delivery.stand_in == "telegram" else "",
            )
        )


def _method_in(body: bytes) -> str:
    """The Bot API's method of a webhook's answer (https://core.telegram.org/bots/api#making-requests-when-getting-updates)."""
    try:
        found = json.loads(body or b"null")
    except ValueError:
        return ""
    return str(found.get("method", "")) if isinstance(found, dict) else ""
