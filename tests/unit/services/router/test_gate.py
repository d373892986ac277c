"""The gate, reason by reason and answer by answer; whole histories are in tests/unit/model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.router.audit import audit
from services.router.facts import Candidate, Facts, MessageRow, Opened, Owner
from services.router.gate import Gated
from services.router.keys import message_key
from shared.domain.enums import DeliveryStatus, Direction, HeldState, HoldReason, ItemOutcome, MessageKind, WebhookEvent
from shared.domain.holding import HeldRow, Waiting
from shared.domain.items import Content, Edit, MessageItem, PoisonItem
from shared.domain.outcomes import Ending
from shared.domain.records import AuditRecorded, RawPosition
from shared.domain.snapshots import AccountSnapshot
from tests.unit.services.router.builders import (
    ARRIVAL_MS,
    CONNECTOR,
    EPOCH,
    FLOW,
    LIMITS,
    UNIT,
    account,
    candidate,
    gated,
    message,
    no_facts,
    opened,
    own,
    receipt,
)

R = HoldReason
WITH_FLOW = account(intake_flow_id=FLOW, intake_flow_usable=True)
NO_UNIT = account(intake_flow_id=FLOW, intake_flow_usable=True, org_unit_id=None)
EXPIRY_MS = LIMITS.expiry(ARRIVAL_MS)
REQUEST = {
    "rule": "intake_flow",
    "reason": "flow_configured",
    "org_unit_id": None,
    "intake_flow_id": FLOW,
    "account_snapshot_version": 3,
    "labels": [],
}


def key(name: str) -> str:
    return message_key(account().account_id, None, name)


def edit(name: str, target: str = "wamid.1", path: str = "/m/0") -> MessageItem:
    content = Content(text="!", edit=Edit(target_provider_message_id=target, kind=MessageKind.TEXT))
    return replace(message(name, path=path), content=content)


def facts(*candidates: Candidate, known: tuple[str, ...] = ()) -> Facts:
    """All of one person; `known` are messages told of before this batch."""
    found = no_facts()
    own(found, *candidates)
    conversation = f"{account().account_id}:contact-1"
    found.conversations[CONNECTOR, conversation] = "conversation-1"
    for one in candidates:
        if isinstance(one.item, MessageItem):
            one.contact_id, one.conversation_key = "contact-1", conversation
            name = one.item.provider_message_id
            found.messages[CONNECTOR, key(name)] = MessageRow(f"id-{name}", "conversation-1")
            found.brought[CONNECTOR, key(name)] = one.order
    for name in known:
        found.messages[CONNECTOR, key(name)] = MessageRow(f"id-{name}", "conversation-1")
        found.brought.pop((CONNECTOR, key(name)), None)
    return found


def row(reason: R, *, seq: int = 1, offset: int = 1, item: str = "/m/0", **changes: Any) -> HeldRow:
    values: dict[str, Any] = {
        "id": f"row-{seq}",
        "seq": seq,
        "connector_id": CONNECTOR,
        "account_id": account().account_id,
        "conversation_id": "conversation-1" if reason in (R.INTAKE, R.QUEUED, R.PAUSED, R.FLOW_UNUSABLE) else None,
        "target": key("wamid.1") if reason in (R.TARGET_UNKNOWN, R.BEHIND_TARGET) else None,
        "request_id": None,
        "position": (EPOCH, 0, offset, item),
        "reason": reason,
        "attempt": 1,
        "decision": None,
        "state": HeldState.SENT,
        "first_arrival_ms": ARRIVAL_MS,
        "expires_ms": EXPIRY_MS,
    }
    return HeldRow(**(values | changes))


def hold(found: Facts, *rows: HeldRow) -> None:
    found.held |= {one.position: one for one in rows}


def copy(offset: int, item: Any, of: int = 1, who: AccountSnapshot | None = None) -> Candidate:
    return candidate(opened(offset, item, copy_of=RawPosition(epoch=EPOCH, partition=0, offset=of, item="/m/0")), who=who)


def plain(offset: int, item: Any, who: AccountSnapshot | None = None) -> Candidate:
    return candidate(opened(offset, item), who=who)


def only_wait(result: Gated) -> Waiting:
    """What the only row says that waits now."""
    waits = [one.waiting for one in result.holds] + [one.waiting for one in result.settlements]
    (wait,) = [one for one in waits if one is not None]
    return wait


@pytest.mark.req(67)
@pytest.mark.parametrize(
    ("who", "after_ms", "reason", "due_after_ms"),
    [
        (NO_UNIT, 0, R.INTAKE, 120_000),
        (replace(NO_UNIT, intake_deadline_seconds=5), 0, R.INTAKE, 5_000),
        (replace(NO_UNIT, intake_flow_usable=False), 0, R.FLOW_UNUSABLE, 30_000),
        (replace(NO_UNIT, pause_cause="operator"), 0, R.PAUSED, 30_000),
        (replace(NO_UNIT, pause_cause="operator"), 110_000, R.PAUSED, 120_000),  # not beyond its deadline
        (NO_UNIT, LIMITS.retention_ms - 86_400_000 - 1_000, R.INTAKE, LIMITS.retention_ms - 86_400_000),  # nor beyond its expiry
    ],
)
def test_why_a_message_waits_and_until_when(who, after_ms, reason, due_after_ms):
    one = plain(3, message(), who)
    wait = only_wait(gated([one], facts(one), ARRIVAL_MS + after_ms))
    assert (wait.reason, wait.due_ms - ARRIVAL_MS) == (reason, due_after_ms)
    assert (wait.conversation_id, wait.request_id, wait.target) == ("conversation-1", "id-wamid.1", None)
    assert one.ending is not None
    assert one.ending.outcome is ItemOutcome.HELD
    assert (one.asks is not None) is (reason is R.INTAKE)


@pytest.mark.parametrize(
    ("who", "rule", "reason"),
    [
        (replace(NO_UNIT, intake_flow_usable=False), "unrouted", "flow_unusable"),
        (replace(NO_UNIT, pause_cause="operator"), "unrouted", "route_paused"),
        (replace(WITH_FLOW, pause_cause="operator"), "org_unit", "route_paused"),
    ],
)
def test_a_route_that_stays_shut_is_given_up_at_the_deadline(who, rule, reason):
    one = plain(3, message(), who)
    assert gated([one], facts(one), ARRIVAL_MS + 120_000).holds == []
    assert one.decision is not None
    assert (one.decision.rule, one.decision.reason) == (rule, reason)


@pytest.mark.parametrize(
    ("who", "rule", "reason"), [(WITH_FLOW, "org_unit", "account_default"), (NO_UNIT, "intake_flow", "echo")]
)
def test_an_echo_asks_no_flow(who, rule, reason):
    one = plain(3, replace(message(), direction=Direction.ECHO), who)
    assert gated([one], facts(one)).holds == []
    assert one.decision is not None
    assert (one.decision.rule, one.decision.reason) == (rule, reason)


@pytest.mark.req(67)
@pytest.mark.parametrize(
    ("answer", "now_ms", "end"),
    [
        (
            {"outcome": "route", "org_unit_id": "unit-2", "labels": ["vip"]},
            ARRIVAL_MS,
            ("org_unit", "flow_routed", "unit-2", 3, ("vip",)),
        ),
        ({"outcome": "route", "org_unit_id": "unit-2"}, EXPIRY_MS, ("org_unit", "flow_routed", "unit-2", 3, ())),
        (None, ARRIVAL_MS, ("org_unit", "intake_deadline", UNIT, 7, ())),
        (None, EXPIRY_MS, ("org_unit", "expired", UNIT, 7, ())),
    ],
)
def test_what_the_flow_said_decides_else_the_deadline(answer, now_ms, end):
    one = copy(9, message(), who=WITH_FLOW)
    found = facts(one)
    hold(found, row(R.INTAKE, decision={"request": REQUEST} | ({} if answer is None else {"answer": answer})))
    result = gated([one], found, now_ms)
    said = one.decision
    assert said is not None
    assert (said.rule, said.reason, said.org_unit_id, said.account_snapshot_version, said.labels) == end
    (settled,) = result.settlements
    assert (settled.waiting, settled.position) == (None, (EPOCH, 0, 9, "/m/0"))
    assert result.conversations == {"conversation-1"}


@pytest.mark.parametrize(("outcome", "reason"), [("handled", "handled"), ("drop", "dropped")])
def test_what_the_flow_settles_comes_out_nowhere(outcome, reason):
    one = copy(9, message(), who=WITH_FLOW)
    found = facts(one)
    hold(found, row(R.INTAKE, decision={"answer": {"outcome": outcome}}))
    (settled,) = gated([one], found).settlements
    assert one.ending == Ending(outcome=ItemOutcome.SETTLED_BY_FLOW, reason=reason)
    assert (settled.decision or {})["outcome"]["ending"] == ["settled_by_flow", reason]


def test_later_items_queue_behind_one_that_waits():
    first, second = plain(3, message("a"), WITH_FLOW), plain(4, message("b"), WITH_FLOW)
    result = gated([first, second], facts(first, second))
    assert [one.waiting.reason for one in result.holds] == [R.INTAKE, R.QUEUED]
    assert (result.holds[1].waiting.due_ms, second.asks) == (EXPIRY_MS, None)


@pytest.mark.parametrize(
    ("stands", "blocked"),
    [
        (row(R.INTAKE, offset=1), True),
        (row(R.INTAKE, offset=5), False),  # a later item of the same batch, tried before
        (row(R.INTAKE, offset=5, attempt=2), False),  # a later copy of the same batch, tried before
        (row(R.INTAKE, offset=3, item="/m/1"), False),  # a later item of the same record
        (row(R.INTAKE, offset=3, item="/gone"), True),
        (replace(row(R.INTAKE), position=("another-epoch", 0, 9, "/m/0")), True),
        (row(R.INTAKE, state=HeldState.DONE), False),
        (row(R.TARGET_UNKNOWN), False),
    ],
)
def test_who_stands_before_an_item_that_arrives(stands, blocked):
    record = opened(3, message("a"), message("b", path="/m/1"))
    first, second = candidate(record, 0), candidate(record, 1)
    found = facts(first, second)
    hold(found, stands)
    gated([first, second], found)
    assert (first.ending is not None) is blocked


@pytest.mark.parametrize(("mine", "other", "blocked"), [(5, 1, True), (1, 5, False)])
def test_copies_queue_by_the_place_of_their_row(mine, other, blocked):
    one = copy(9, message())
    found = facts(one)
    hold(found, row(R.QUEUED, seq=mine), row(R.QUEUED, seq=other, offset=2))
    result = gated([one], found)
    assert (one.decision is None) is blocked
    assert [settled.waiting is not None for settled in result.settlements] == [blocked]


def test_what_expires_comes_out_whoever_waits_before_it():
    one = copy(9, edit("e"))
    found = facts(one)
    hold(found, row(R.QUEUED, seq=5), row(R.INTAKE, offset=2))
    gated([one], found, EXPIRY_MS)
    assert (one.decision.reason if one.decision else None, one.orphan_reason) == ("expired", "target_unknown")
    fresh = plain(3, message())
    gated([fresh], facts(fresh), EXPIRY_MS)
    assert fresh.decision is not None
    assert fresh.decision.reason == "expired"


@pytest.mark.req(64)
@pytest.mark.parametrize("item", [edit("e"), receipt(DeliveryStatus.READ, path="/m/0")])
def test_what_is_about_an_unknown_message_waits_longer_each_time_then_is_an_orphan(item):
    for attempt, pause_ms in ((0, 2_000), (1, 10_000), (2, 60_000), (3, 60_000)):
        one = copy(9, item) if attempt else plain(9, item)
        found = facts(one)
        if attempt:
            hold(found, row(R.TARGET_UNKNOWN, attempt=attempt))
        wait = only_wait(gated([one], found))
        assert (wait.reason, wait.target, wait.due_ms - ARRIVAL_MS) == (R.TARGET_UNKNOWN, key("wamid.1"), pause_ms)
    one = copy(9, item)
    found = facts(one)
    hold(found, row(R.TARGET_UNKNOWN, attempt=4, decision={"last_look": True}))
    result = gated([one], found, ARRIVAL_MS + 600_000)
    assert (one.ending, one.orphan_reason) == (None, "target_unknown")
    assert result.targets == {(CONNECTOR, key("wamid.1"))}


@pytest.mark.parametrize("held", [False, True], ids=["it arrived", "its copy"])
def test_a_record_from_before_the_deadline_that_is_read_after_it_looks_once_more(held):
    """The router was away: the message may lie right behind the record. The copy lies behind everything that had arrived."""
    one = copy(9, edit("e")) if held else plain(9, edit("e"))
    found = facts(one)
    if held:
        hold(found, row(R.TARGET_UNKNOWN, attempt=2))
    wait = only_wait(gated([one], found, ARRIVAL_MS + 700_000))
    assert (wait.reason, wait.due_ms, wait.decision) == (R.TARGET_UNKNOWN, ARRIVAL_MS + 700_000, {"last_look": True})


def test_what_is_about_one_message_stays_in_order():
    first, second = plain(3, receipt(DeliveryStatus.SENT)), plain(4, receipt(DeliveryStatus.READ, path="/s/1"))
    result = gated([first, second], facts(first, second))
    assert [one.waiting.reason for one in result.holds] == [R.TARGET_UNKNOWN, R.BEHIND_TARGET]
    later = plain(9, receipt(DeliveryStatus.PLAYED))
    found = facts(later, known=("wamid.1",))
    hold(found, row(R.TARGET_UNKNOWN))
    assert only_wait(gated([later], found)).reason is R.BEHIND_TARGET


def test_a_message_wakes_those_that_wait_for_it_also_in_its_own_batch():
    early, target = plain(3, receipt(DeliveryStatus.SENT)), plain(4, message())
    result = gated([early, target], facts(early, target))
    assert result.targets == {(CONNECTOR, key("wamid.1"))}
    target = plain(9, message())
    found = facts(target)
    hold(found, row(R.TARGET_UNKNOWN))
    assert gated([target], found).targets == {(CONNECTOR, key("wamid.1"))}


def test_callback_data_makes_the_message_known():
    known = "01900000-0000-7000-8000-000000000001"
    one = plain(3, receipt(DeliveryStatus.SENT, callback_data=known))
    found = facts(one)
    found.known_message_ids[CONNECTOR, known] = MessageRow(known, None)
    assert gated([one], found).holds == []


def test_an_edit_that_let_others_pass_goes_to_the_back_of_the_queue():
    one, other = copy(9, edit("e")), copy(10, message("b"), of=2)
    found = facts(one, other, known=("wamid.1",))
    hold(found, row(R.TARGET_UNKNOWN), row(R.QUEUED, seq=4, offset=2), row(R.QUEUED, seq=5, offset=3))
    result = gated([one, other], found)
    wait = only_wait(result)
    assert (wait.reason, wait.at_the_back) == (R.QUEUED, True)
    assert other.decision is not None  # the edit stands behind it now, though its row is the older one
    assert result.targets == {(CONNECTOR, key("wamid.1"))}


@pytest.mark.parametrize(
    "behind",
    [
        row(R.QUEUED, seq=4, offset=2, request_id="id-wamid.1"),  # its own message
        row(R.QUEUED, seq=4, offset=2, target=key("wamid.1")),  # an older edit, which has waited for the message
    ],
)
def test_an_edit_at_the_head_steps_back_behind_its_message_and_older_edits(behind):
    one = copy(9, edit("e"))
    found = facts(one, known=("wamid.1",))
    hold(found, row(R.QUEUED), behind)
    result = gated([one], found)
    assert only_wait(result).at_the_back
    assert result.conversations == {"conversation-1"}


def test_an_edit_steps_back_behind_a_message_that_this_batch_holds():
    target, one = plain(8, message(), NO_UNIT), copy(9, edit("e"))
    found = facts(target, one)
    hold(found, row(R.QUEUED))
    found.held[EPOCH, 0, 1, "/m/0"] = replace(found.held[EPOCH, 0, 1, "/m/0"], seq=1)
    gated([target, one], found)
    assert (target.ending is not None, one.ending is not None) == (True, True)


def test_an_orphan_remembers_it_while_its_flow_is_asked():
    one = copy(9, edit("e"), who=NO_UNIT)
    found = facts(one)
    hold(found, row(R.TARGET_UNKNOWN, decision={"last_look": True}))
    wait = only_wait(gated([one], found, ARRIVAL_MS + 600_000))
    assert wait.reason is R.INTAKE
    back = copy(9, edit("e"), who=NO_UNIT)
    found = facts(back, known=("wamid.1",))  # it has come meanwhile, and stands behind
    hold(found, row(R.INTAKE, decision=wait.decision))
    gated([back], found)
    assert back.orphan_reason == "target_unknown"


@pytest.mark.parametrize("of", [None, 1])
def test_a_batch_tried_again_obeys_the_row_at_its_own_place(of):
    one = plain(9, message(), account()) if of is None else copy(9, message())
    found = facts(one)
    hold(found, row(R.INTAKE, offset=9, decision={"request": REQUEST}))
    result = gated([one], found)
    assert one.ending is not None
    assert one.ending.outcome is ItemOutcome.HELD
    assert (one.asks.intake_flow_id if one.asks else None) == FLOW
    assert (result.holds, result.settlements) == ([], [])


def test_a_batch_tried_again_asks_nobody_about_what_is_refused_by_now():
    one = plain(9, message())
    found = facts(one)
    one.claim_key, one.ending = None, Ending(outcome=ItemOutcome.REJECTED, reason="account_inactive")
    hold(found, row(R.INTAKE, offset=9, decision={"request": REQUEST}))
    gated([one], found)
    assert one.ending.outcome is ItemOutcome.HELD
    assert one.asks is None


@pytest.mark.parametrize(
    ("outcome", "ending", "orphan"),
    [
        ({"decision": REQUEST, "ending": None, "orphan_reason": "target_unknown"}, None, "target_unknown"),
        (
            {"decision": None, "ending": ["settled_by_flow", "handled"], "orphan_reason": None},
            Ending(outcome=ItemOutcome.SETTLED_BY_FLOW, reason="handled"),
            None,
        ),
    ],
)
def test_what_its_copy_decided_stands(outcome, ending, orphan):
    one = copy(9, message(), who=NO_UNIT)
    found = facts(one)
    hold(found, row(R.INTAKE, offset=9, state=HeldState.DONE, decision={"outcome": outcome}))
    result = gated([one], found)
    assert (one.ending, one.orphan_reason) == (ending, orphan)
    assert (one.decision is None) is (outcome["decision"] is None)
    assert (result.holds, result.settlements) == ([], [])


@pytest.mark.parametrize("state", [None, HeldState.DONE])
def test_a_second_copy_changes_nothing(state):
    one = copy(9, message(), who=NO_UNIT)
    found = facts(one)
    if state is not None:
        hold(found, row(R.INTAKE, state=state))
    result = gated([one], found)
    assert (one.ending.reason if one.ending else None, one.unbooked) == ("second_copy", True)
    assert (result.holds, result.settlements, result.breaches) == ([], [], [])


def test_a_copy_beaten_by_another_of_its_batch_leaves_the_row_to_be_sent_again():
    one = copy(9, message())
    one.ending = Ending(outcome=ItemOutcome.DUPLICATE, reason="same_batch")
    found = facts(one)
    hold(found, row(R.QUEUED))
    assert gated([one], found).settlements == []
    assert one.unbooked


def test_a_copy_that_lost_its_claim_is_a_breach():
    one = copy(9, message())
    found = facts(one)
    assert one.claim_key is not None
    found.owners[one.claim_key] = Owner(EPOCH, 0, 4, "/m/0")
    hold(found, row(R.QUEUED))
    result = gated([one], found)
    assert result.breaches == [one]
    (settled,) = result.settlements  # else it is sent again for ever, and nothing behind it comes out
    assert settled.waiting is None
    assert result.conversations == {"conversation-1"}
    assert books(one) == {("held", ""): -1, ("dead_lettered", "claim_lost"): 1}


def test_an_item_of_somebody_else_is_left_alone():
    one = plain(9, message(), NO_UNIT)
    found = facts(one)
    assert one.claim_key is not None
    found.owners[one.claim_key] = Owner(EPOCH, 0, 4, "/m/0")
    assert gated([one], found).holds == []
    assert (one.ending, one.decision) == (None, None)


def unreadable(offset: int) -> Candidate:
    """The copy of an item whose raw record is gone."""
    item = PoisonItem(path="", evento=WebhookEvent.MESSAGE_IN, account_refs=(), dedup_key="", reason="body_missing", fragment=b"")
    record: Opened = opened(offset, item, copy_of=RawPosition(epoch=EPOCH, partition=0, offset=1, item="/m/0"))
    return Candidate(opened=record, index=0, item=item, ending=Ending(outcome=ItemOutcome.DEAD_LETTERED, reason="body_missing"))


def test_a_copy_that_cannot_be_read_ends_its_row():
    one = unreadable(9)
    found = no_facts()
    hold(found, row(R.QUEUED))
    (settled,) = gated([one], found).settlements
    assert (settled.waiting, settled.position) == (None, (EPOCH, 0, 9, "/m/0"))
    assert books(one) == {("held", ""): -1, ("dead_lettered", "body_missing"): 1}


def books(*candidates: Candidate) -> dict[tuple[str, str], int]:
    (publish,) = audit(candidates, {0: (0, 100)}, EPOCH, 0)
    assert isinstance(publish.event, AuditRecorded)
    return {(line.outcome.value, line.reason): line.count for line in publish.event.counts}


def test_the_books_of_what_is_held():
    first = plain(1, message(), NO_UNIT)
    gated([first], facts(first))
    assert books(first) == {("held", ""): 1}
    again = copy(9, message(), who=replace(NO_UNIT, pause_cause="operator"))
    found = facts(again)
    hold(found, row(R.QUEUED))
    gated([again], found)
    assert books(again) == {}
    ended = copy(9, message())
    found = facts(ended)
    hold(found, row(R.PAUSED))
    gated([ended], found)
    ended.ending = Ending(outcome=ItemOutcome.EMITTED, reason="org_unit")
    assert books(ended) == {("held", ""): -1, ("emitted", "org_unit"): 1}
    second = copy(9, message())
    gated([second], facts(second))
    assert books(second) == {}


@pytest.mark.req(67)
@pytest.mark.parametrize(
    ("turn_after_ms", "due_after_ms"),
    [(1_000, 120_000), (115_000, 125_000), (300_000, 310_000)],  # its own time from its arrival on, and never less than 10 s
)
def test_a_message_that_queued_does_not_wait_for_its_flow_anew(turn_after_ms: int, due_after_ms: int) -> None:
    one = copy(9, message("wamid.1"), who=WITH_FLOW)
    found = facts(one)
    hold(found, row(R.QUEUED))
    wait = only_wait(gated([one], found, ARRIVAL_MS + turn_after_ms))
    assert (wait.reason, wait.due_ms - ARRIVAL_MS) == (R.INTAKE, due_after_ms)
