"""The eight cases of the owner's list for the stack that renews tokens, each at the rules and at the loop around them.

The database's half of the same is in `tests/integration/services/token_rotator`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from services.token_rotator.app import Rhythm, Rotator, RotatorParts
from services.token_rotator.decide import Policy, Postpone, Stop, advice, first_notice, next_notice, telling
from services.token_rotator.orders import Impossible, Order
from services.token_rotator.schedule import Schedule, Taken
from shared.domain.enums import RenewalTask, TokenKind
from shared.domain.errors import Unavailable
from shared.domain.renewals import DueNotice, Job
from shared.management.renewed_tokens import RenewedTokens
from shared.providers.calling import PlacedCall, ProviderAnswer, ProviderResponse, TransportFault
from shared.runtime.metrics import TokenRotatorMetrics
from tests.token_provider import AtOnce, MovedClock, reply
from tests.unit.services.token_rotator.builders import (
    ACCESS,
    APP,
    CLIENT,
    DAY,
    HOUR,
    LONG,
    NOW,
    REFRESH,
    mailbox,
    meta,
    order,
    ready,
)

pytestmark = pytest.mark.req(79)

POLICY = Policy()
HELD = {"refresh_token": "OLD-REFRESH", "client_secret": "CLIENT", "access_token": "OLD-ACCESS", "app_secret": "APP"}
MAILBOX = mailbox("microsoft", ACCESS, REFRESH, CLIENT)
AWAY = Unavailable("PostgreSQL: gone")


class Book:
    """A schedule on paper: hands out what the test puts in, and keeps what is written. `away`: writes that fail first."""

    def __init__(self) -> None:
        self.due: list[Order] = []
        self.stored: list[RenewedTokens] = []
        self.postponed: list[tuple[Job, Postpone]] = []
        self.stops: list[tuple[Order, Stop]] = []
        self.notices: list[DueNotice] = []
        self.taken_by_another: set[str] = set()
        self.away = 0

    def plan_new(self) -> int:
        return 0

    def plan_next_page(self) -> tuple[int, bool]:
        return 0, True

    def stopped(self) -> int:
        return len(self.stops)

    def tell(self) -> list[DueNotice]:
        told, self.notices = self.notices, []
        return told

    def take(self, room: int, *, abandoned: bool) -> Taken:
        due, self.due = self.due, []
        return Taken(ready=[(one, HELD) for one in due])

    def store(self, renewed: Sequence[RenewedTokens]) -> set[str]:
        self._answer()
        kept = [one for one in renewed if one.job.token_id not in self.taken_by_another]
        self.stored += kept
        return {one.job.token_id for one in kept}

    def postpone(self, jobs: Sequence[tuple[Job, Postpone]], *, fresh: bool = False) -> None:
        self._answer()
        self.postponed += jobs

    def stop(self, order: Order, how: Stop) -> bool:
        self._answer()
        self.stops.append((order, how))
        return True

    def _answer(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise AWAY


class Stack:
    """A rotator over a book, and a provider that says what the test wants."""

    def __init__(self, *answers: ProviderAnswer) -> None:
        self.book, self.clock, self.registry = Book(), MovedClock(NOW), CollectorRegistry()
        self.answers = list(answers)
        self.calls: list[PlacedCall] = []
        parts = RotatorParts(
            schedule=cast(Schedule, self.book),
            caller=self,
            clock=self.clock,
            executor=AtOnce(),
            metrics=TokenRotatorMetrics(self.registry),
            policy=POLICY,
            rhythm=Rhythm(),
            calls=4,
        )
        self.rotator = Rotator(parts)

    def call(self, placed: PlacedCall, service: str) -> ProviderAnswer:
        self.calls.append(placed)
        return self.answers.pop(0)

    def renew(self, due: Order) -> None:
        self.book.due.append(due)
        while self.rotator.turn():
            pass

    def count(self, outcome: str) -> float:
        labels = {"service": "google", "outcome": outcome}
        return self.registry.get_sample_value("channels_token_rotator_renewals_total", labels) or 0


def granted(**more: Any) -> ProviderResponse:
    return reply(200, {"access_token": "NEW-ACCESS", "expires_in": 3_600, **more})


def test_success() -> None:
    stack = Stack(granted())
    stack.renew(ready(MAILBOX, ACCESS))
    ((stored),) = stack.book.stored
    (new,) = stored.new
    assert (new.kind, new.value, new.created_at is not None) == (TokenKind.ACCESS_TOKEN, "NEW-ACCESS", True)
    assert new.expires_at is not None
    assert new.expires_at.timestamp() * 1000 == NOW + HOUR
    plans = {plan.token_id: plan for plan in stored.plans}
    assert plans[str(new.id)].task is RenewalTask.RENEW
    assert plans["access"].task is RenewalTask.RETIRE
    assert plans["access"].due_ms == NOW + POLICY.overlap * 1000  # usable until then
    assert plans["refresh"].task is RenewalTask.NONE  # kept: the provider gave no other
    assert stack.count("renewed") == 1
    assert len(stack.calls) == 1


def test_rotated_refresh_token() -> None:
    stack = Stack(granted(refresh_token="NEW-REFRESH"))
    stack.renew(ready(MAILBOX, ACCESS))
    (stored,) = stack.book.stored  # both in one piece: they are stored in one transaction or not at all
    assert [(new.kind, new.value) for new in stored.new] == [
        (TokenKind.ACCESS_TOKEN, "NEW-ACCESS"),
        (TokenKind.REFRESH_TOKEN, "NEW-REFRESH"),
    ]
    assert {plan.task for plan in stored.plans if plan.token_id in ("access", "refresh")} == {RenewalTask.RETIRE}
    assert "NEW-" not in repr(stored)


def test_rotated_refresh_token_is_kept_while_the_database_is_away() -> None:
    stack = Stack(granted(refresh_token="NEW-REFRESH"))
    stack.book.due.append(ready(MAILBOX, ACCESS))
    stack.book.away = 3
    stack.rotator.turn()
    for _ in range(3):
        with pytest.raises(Unavailable):
            stack.rotator.turn()
        assert stack.registry.get_sample_value("channels_token_rotator_unstored_results") == 1
    stack.rotator.turn()
    assert len(stack.calls) == 1  # nobody was asked again
    assert len(stack.book.stored) == 1


def test_invalid_grant() -> None:
    stack = Stack(reply(400, {"error": "invalid_grant", "error_description": "AADSTS700082"}))
    stack.renew(ready(MAILBOX, ACCESS))
    ((_, stop),) = stack.book.stops
    assert stop == Stop(cause="invalid_grant", action="consent_again", outcome="consent_needed")
    assert stack.book.postponed == []
    assert stack.count("consent_needed") == 1


@pytest.mark.parametrize(("after", "seconds"), [("600", 600), ("0", 15), (None, 15)])
def test_429(after: str | None, seconds: int) -> None:
    headers = {} if after is None else {"retry_after": after}
    stack = Stack(reply(429, {"error": "temporarily_unavailable"}, NOW, **headers))
    stack.renew(ready(MAILBOX, ACCESS))
    ((_, how),) = stack.book.postponed
    assert (how.outcome, how.unknown) == ("rate_limited", False)
    assert seconds <= (how.due_ms - NOW) / 1000 <= max(seconds * 1.1, 30)
    assert stack.book.stops == []


def test_expired() -> None:
    # Meta renews nothing that has ended: nobody is asked, a person is called.
    late = NOW + 60 * DAY
    built = order(meta(LONG, APP), LONG, now=late)
    assert isinstance(built, Impossible)
    assert built.failure == Stop(cause="token_expired", action="renew_token", outcome="expired")
    assert isinstance(order(meta(LONG, APP), LONG, now=late - 1), Order)
    # An access token of a mailbox may well have ended: its refresh token is what counts.
    assert isinstance(order(MAILBOX, ACCESS, now=NOW + 2 * HOUR), Order)


def test_race() -> None:
    # Another process has stored its result for this token: ours counts for nothing, and is not tried again.
    stack = Stack(granted(refresh_token="NEW-REFRESH"))
    stack.book.taken_by_another.add("access")
    stack.renew(ready(MAILBOX, ACCESS))
    assert stack.book.stored == []
    assert (stack.count("renewed"), stack.count("dropped")) == (0, 1)
    assert len(stack.calls) == 1


def test_race_with_a_crash_one_try_and_then_a_person() -> None:
    lost = TransportFault(kind="timeout", may_have_left=True)
    stack = Stack(lost, lost)
    stack.renew(ready(MAILBOX, ACCESS))
    ((_, how),) = stack.book.postponed
    assert (how.outcome, how.unknown) == ("unknown", True)
    stack.renew(ready(MAILBOX, ACCESS, unknown_calls=1))
    ((_, stop),) = stack.book.stops
    assert stop.cause == "outcome_unknown"
    # killed twice between intent and result: nobody asks a third time
    built = order(MAILBOX, ACCESS, unknown_calls=2)
    assert isinstance(built, Impossible)
    assert built.failure.action == "consent_again"
    # a call that does no harm twice is simply made again
    stack = Stack(lost)
    stack.renew(ready(mailbox("google", ACCESS, REFRESH, CLIENT), ACCESS, unknown_calls=5))
    ((_, how),) = stack.book.postponed
    assert not how.unknown


def test_fallback() -> None:
    # While renewals fail the old token stays in use, and tries come closer as its end comes near.
    waits = []
    for attempt, left in ((1, HOUR), (4, HOUR), (4, 300_000), (9, 20_000)):
        stack = Stack(reply(503, {"error": "temporarily_unavailable"}))
        due = ready(MAILBOX, ACCESS, attempt=attempt, ends_ms=NOW + left)
        stack.renew(due)
        ((_, how),) = stack.book.postponed
        waits.append((how.due_ms - NOW) / 1000)
        assert stack.book.stored == []
    assert 15 <= waits[0] <= 30
    assert 120 <= waits[1] <= 240
    assert 37 <= waits[2] <= 75
    assert waits[3] <= 10
    # In the end a person, with cause and action; the connector's status takes its accounts to their fallbacks.
    stop = Stop(cause="invalid_client", action="fix_client", outcome="consent_needed")
    assert advice(stop) == "token not renewed (invalid_client): correct id and secret of the client, then `channels tokens renew`"


@pytest.mark.req(69)
def test_notice() -> None:
    ends, due = NOW + 60 * DAY, NOW + 36 * DAY
    told = []
    notice = first_notice(ends, due, NOW, POLICY)
    while notice is not None:
        threshold, notice_after = telling(ends, notice.threshold_seconds, notice.at_ms, POLICY)
        told.append((threshold, (ends - notice.at_ms) // 1000))
        notice = notice_after
    assert told == [(604_800, 604_800), (86_400, 86_400), (3_600, 3_600), (300, 300)]
    # A threshold before the renewal says nothing; several that passed unseen are told as one, the smallest.
    assert first_notice(NOW + HOUR, NOW + HOUR // 2, NOW, POLICY) == next_notice(NOW + HOUR, None, 3_600, POLICY)
    assert telling(ends, 604_800, ends - 2 * HOUR, POLICY) == (86_400, next_notice(ends, None, 86_400, POLICY))
    late = first_notice(ends, None, ends - HOUR, POLICY)
    assert late is not None
    assert late.threshold_seconds == 3_600


def test_nothing_of_a_credential_is_in_what_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    stack = Stack(granted(refresh_token="NEW-REFRESH"), reply(400, {"error": "invalid_grant"}), reply(500, {}))
    for _ in range(3):
        stack.renew(ready(MAILBOX, ACCESS))
    shown = capsys.readouterr()
    assert "renewal_done" in shown.out + shown.err
    for value in ("NEW-ACCESS", "NEW-REFRESH", *HELD.values()):
        assert value not in shown.out + shown.err
