"""What the router makes of a copy that `channels dlq redrive` wrote: whose claim it may take, how it is booked, how it fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from services.router.audit import audit
from services.router.context import Context
from services.router.decide import decide
from services.router.facts import Candidate, Opened, taken_from
from services.router.sorting import sort_out
from shared.domain.enums import ItemOutcome, WebhookEvent
from shared.domain.items import AnyItem, PoisonItem
from shared.domain.outcomes import Ending
from shared.domain.records import AuditRecorded, DeadLetter, RawPosition, Redrive
from tests.unit.services.router.builders import (
    ARRIVAL_MS,
    CONNECTOR,
    EPOCH,
    KnownAccounts,
    account,
    message,
    no_facts,
    opened,
)

CONTEXT = Context(
    epoch=EPOCH, raw_topic="raw", now_ms=5, schema_version="1", seal=lambda one: b"sealed", sync_due=lambda connector, refs: False
)
HOUR_MS = ARRIVAL_MS - ARRIVAL_MS % 3_600_000


def poison(path: str = "/m/0", reason: str = "no_id") -> PoisonItem:
    return PoisonItem(path=path, evento=WebhookEvent.MESSAGE_IN, account_refs=(), dedup_key="", reason=reason, fragment=b"{}")


def copy(offset: int, *items: AnyItem, item: str = "/m/0", attempt: int = 2, reason: str = "unknown_account") -> Opened:
    """A copy of the record at offset 3, whose item failed there, then at 4, and so on."""
    origin = RawPosition(epoch=EPOCH, partition=0, offset=3, item=item)
    plain = opened(offset, *items, copy_of=replace(origin, offset=1 + attempt))
    redrive = Redrive(
        origin=origin,
        attempt=attempt,
        tries=tuple(range(3, 2 + attempt)),
        reason=reason,
        account_id=None,
        first_arrival_at_ms=ARRIVAL_MS,
    )
    assert plain.record is not None
    return replace(plain, record=replace(plain.record, redrive=redrive, only_item=item or None))


def letters(candidates: list[Candidate]) -> list[DeadLetter]:
    events = [publish.event for publish in decide(candidates, no_facts(), CONTEXT)]
    return [event for event in events if isinstance(event, DeadLetter)]


def books(candidates: list[Candidate]) -> dict[tuple[str | None, str, str], int]:
    found: Counter[tuple[str | None, str, str]] = Counter()
    for publish in audit(candidates, {0: (0, 100)}, EPOCH, 0):
        assert isinstance(publish.event, AuditRecorded)
        for row in publish.event.counts:
            assert (row.connector_id, row.hour_ms) == (CONNECTOR, HOUR_MS)
            found[row.account_id, row.outcome.value, row.reason] += row.count
    return dict(found)


def test_a_copy_may_take_the_claim_of_any_try_before_it():
    (one,) = sort_out([copy(9, message(), attempt=3)], KnownAccounts(account()))
    assert taken_from(one.opened) == f"{EPOCH}/0/3//m/0\n{EPOCH}/0/4//m/0"


def test_a_copy_of_a_record_stands_for_each_of_its_items():
    whole = copy(9, message(), message("wamid.2", path="/m/1"), item="")
    assert [taken_from(one.opened) for one in sort_out([whole], KnownAccounts(account()))] == [
        f"{EPOCH}/0/3//m/0",
        f"{EPOCH}/0/3//m/1",
    ]


def test_an_item_that_fails_again_keeps_its_origin_and_counts_its_tries():
    candidates = sort_out([opened(3, message())], KnownAccounts())
    (first,) = letters(candidates)
    assert (first.attempt, first.tries, first.origin.offset) == (1, (), 3)
    candidates = sort_out([copy(9, message(), attempt=3)], KnownAccounts())
    (third,) = letters(candidates)
    assert third.origin == first.origin
    assert third.tries == (3, 4, 9)
    assert (third.attempt, third.reason, third.first_arrival_at_ms) == (3, "unknown_account", first.first_arrival_at_ms)


def test_what_fails_as_a_whole_still_names_the_item_that_was_meant():
    (letter,) = letters(sort_out([copy(9, poison("", "redelivery_item_missing"))], KnownAccounts()))
    assert (letter.origin.item, letter.reason) == ("/m/0", "redelivery_item_missing")


def test_the_items_of_a_record_fail_under_their_own_names():
    whole = copy(9, poison("/m/0"), poison("/m/1"), item="")
    assert [letter.origin.item for letter in letters(sort_out([whole], KnownAccounts()))] == ["/m/0", "/m/1"]


def test_a_redriven_item_leaves_the_dead_letters_of_the_books():
    (one,) = sort_out([copy(9, message())], KnownAccounts(account()))
    one.ending = Ending(outcome=ItemOutcome.EMITTED, reason="org_unit")
    assert books([one]) == {
        (None, "dead_lettered", "unknown_account"): -1,
        (account().account_id, "emitted", "org_unit"): 1,
    }


def test_one_that_fails_again_for_the_same_reason_changes_no_book():
    assert books(sort_out([copy(9, message())], KnownAccounts())) == {}


def test_a_record_leaves_them_once_and_comes_back_as_its_items():
    whole = copy(9, poison("/m/0"), poison("/m/1"), poison("/m/2"), item="", reason="own_exception")
    assert books(sort_out([whole], KnownAccounts())) == {
        (None, "dead_lettered", "own_exception"): -1,
        (None, "dead_lettered", "no_id"): 3,
    }


def test_each_copy_of_one_letter_balances_by_itself():
    first, second = sort_out([copy(9, message()), copy(10, message())], KnownAccounts(account()))
    first.ending = Ending(outcome=ItemOutcome.EMITTED, reason="org_unit")
    second.ending = Ending(outcome=ItemOutcome.DUPLICATE, reason="claimed_before")
    assert sum(books([first, second]).values()) == 0
