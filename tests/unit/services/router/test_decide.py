from __future__ import annotations

import pytest

from services.router.audit import audit
from services.router.context import Context
from services.router.decide import decide
from services.router.facts import Candidate, Facts, MessageRow, Owner, ReceiptRow
from services.router.keys import message_key
from services.router.people import News
from services.router.sorting import sort_out
from shared.domain.enums import AliasKind, DeliveryStatus, ItemOutcome
from shared.domain.items import Alias
from shared.domain.records import AuditRecorded, ContactUpdated, DeadLetter, DeliveryUpdated, IntakeRequested, MessageReceived
from shared.domain.topics import Topic
from tests.unit.services.router.builders import (
    ARRIVAL_MS,
    CONNECTOR,
    EPOCH,
    FLOW,
    LIMITS,
    UNIT,
    KnownAccounts,
    account,
    candidate,
    message,
    no_facts,
    opened,
    own,
    person_changed,
    receipt,
    settle,
)

S = DeliveryStatus


def context(sync_due=lambda connector_id, refs: True, now_ms=ARRIVAL_MS) -> Context:
    return Context(epoch=EPOCH, raw_topic="raw", now_ms=now_ms, schema_version="1", seal=lambda one: b"sealed", sync_due=sync_due)


def facts_for(one: Candidate) -> Facts:
    facts = no_facts()
    who = one.account
    assert who is not None
    one.contact_id, one.conversation_key = "contact-1", f"{who.account_id}:contact-1"
    facts.contacts[CONNECTOR, "phone:5511900000009"] = "contact-1"
    facts.conversations[CONNECTOR, f"{who.account_id}:contact-1"] = "conversation-1"
    facts.messages[CONNECTOR, message_key(who.account_id, None, "wamid.1")] = MessageRow("message-1", "conversation-1")
    own(facts, one)
    return facts


@pytest.mark.req(1)
@pytest.mark.parametrize(
    ("changes", "topic", "rule", "reason"),
    [
        ({}, Topic.MESSAGE_RECEIVED, "org_unit", "account_default"),
        ({"intake_flow_id": FLOW, "intake_flow_usable": True}, Topic.INTAKE_REQUESTED, "intake_flow", "flow_configured"),
        ({"intake_flow_id": FLOW}, Topic.MESSAGE_RECEIVED, "org_unit", "flow_unusable"),
        (
            {"intake_flow_id": FLOW, "intake_flow_usable": True, "pause_cause": "health"},
            Topic.MESSAGE_RECEIVED,
            "org_unit",
            "route_paused",
        ),
        ({"org_unit_id": None}, Topic.MESSAGE_RECEIVED, "unrouted", "no_route"),
    ],
)
def test_a_message_names_one_target_and_says_why(changes, topic, rule, reason):
    one = candidate(opened(3, message()), who=account(**changes))
    (publish,) = settle([one], facts_for(one), context())
    event = publish.event
    assert isinstance(event, MessageReceived | IntakeRequested)
    assert publish.topic is topic
    assert publish.key == "conversation-1"
    assert publish.event_id == event.message.message_id == "message-1"
    assert (event.decision.rule, event.decision.reason) == (rule, reason)
    assert event.decision.account_snapshot_version == 7
    targets = [event.decision.org_unit_id, event.decision.intake_flow_id]
    expected = {"org_unit": [UNIT, None], "intake_flow": [None, FLOW], "unrouted": [None, None]}
    assert targets == expected[rule]
    assert event.message.raw.offset == 3
    assert one.ending is not None
    assert one.ending.outcome is (ItemOutcome.HELD if topic is Topic.INTAKE_REQUESTED else ItemOutcome.EMITTED)


ROUTES: tuple[dict[str, object], ...] = (
    {},
    {"intake_flow_id": FLOW, "intake_flow_usable": True},
    {"intake_flow_id": FLOW},
    {"intake_flow_id": FLOW, "intake_flow_usable": True, "pause_cause": "health"},
    {"intake_flow_id": FLOW, "intake_flow_usable": True, "org_unit_id": None},
    {"org_unit_id": None},
)


@pytest.mark.req(1, 3, 91)
def test_of_ten_thousand_messages_to_six_accounts_each_names_exactly_one_target():
    accounts = [account(number, **changes) for number, changes in enumerate(ROUTES, 1)]
    records = [
        opened(offset, message(f"wamid.{offset}", number=offset % 6 + 1, phone=f"551190000{offset:04}"))
        for offset in range(10_000)
    ]
    candidates = sort_out(records, KnownAccounts(*accounts))
    facts = no_facts()
    own(facts, *candidates)
    for one in candidates:
        assert one.account is not None
        number = f"{one.opened.offset}"
        one.contact_id, one.conversation_key = number, f"{one.account.account_id}:{number}"
        facts.conversations[CONNECTOR, one.conversation_key] = number
        key = message_key(one.account.account_id, None, f"wamid.{number}")
        facts.messages[CONNECTOR, key] = MessageRow(number, number)
    published = settle(candidates, facts, context())
    assert [publish.event_id for publish in published] == [f"{offset}" for offset in range(10_000)]
    unrouted = 0
    for publish in published:
        event = publish.event
        assert isinstance(event, MessageReceived | IntakeRequested)
        targets = [one for one in (event.decision.org_unit_id, event.decision.intake_flow_id) if one is not None]
        asked = event.message.account_id in (accounts[1].account_id, accounts[4].account_id)
        assert targets == ([FLOW] if asked else [] if event.message.account_id == accounts[5].account_id else [UNIT])
        unrouted += not targets
        assert event.decision.reason == "no_route" or targets
    assert unrouted == 1_666


def test_an_item_claimed_elsewhere_is_a_duplicate_and_emits_nothing():
    one = candidate(opened(3, message()))
    facts = facts_for(one)
    assert one.claim_key is not None
    facts.owners[one.claim_key] = Owner(EPOCH, 0, 2, "/m/0")
    assert settle([one], facts, context()) == []
    assert one.ending is not None
    assert one.ending.outcome is ItemOutcome.DUPLICATE


def test_a_replay_of_the_same_position_emits_the_same_event():
    def emitted():
        one = candidate(opened(3, message()))
        return settle([one], facts_for(one), context())

    assert emitted() == emitted()


def receipts_for(*rows: tuple[DeliveryStatus, int]) -> list[ReceiptRow]:
    return [ReceiptRow(status, Owner(EPOCH, 0, offset, "/s/0")) for status, offset in rows]


@pytest.mark.parametrize(
    ("status", "rows", "outcome"),
    [
        (S.DELIVERED, [(S.DELIVERED, 9)], "emitted"),
        (S.DELIVERED, [(S.DELIVERED, 9), (S.READ, 8)], "superseded"),  # read came first
        (S.DELIVERED, [(S.DELIVERED, 9), (S.READ, 10)], "emitted"),  # replay: read is later in the topic
        (S.DELIVERED, [(S.DELIVERED, 4)], "superseded"),  # the same state, told before
        (S.FAILED, [(S.FAILED, 9), (S.DELIVERED, 3)], "superseded"),  # a late failure is no regression
        (S.FAILED, [(S.FAILED, 9), (S.SENT, 3)], "emitted"),
        (S.DELIVERED, [(S.DELIVERED, 9), (S.FAILED, 3)], "emitted"),  # another device got it after all
        (S.PLAYED, [(S.PLAYED, 9), (S.READ, 3)], "emitted"),
    ],
)
def test_receipts_only_move_forward(status, rows, outcome):
    one = candidate(opened(9, receipt(status)))
    facts = facts_for(one)
    facts.receipts["message-1", ""] = receipts_for(*rows)
    publishes = settle([one], facts, context())
    assert one.ending is not None
    assert one.ending.outcome.value == outcome
    assert len(publishes) == (1 if outcome == "emitted" else 0)
    if publishes:
        assert isinstance(publishes[0].event, DeliveryUpdated)
        assert publishes[0].event.message_id == "message-1"
        assert publishes[0].key == "conversation-1"


def test_two_receipts_in_one_record_are_ordered_by_their_place():
    record = opened(9, receipt(S.READ, path="/s/2"), receipt(S.DELIVERED, path="/s/10"))
    first, second = candidate(record, 0), candidate(record, 1)
    facts = facts_for(first)
    own(facts, second)
    facts.receipts["message-1", ""] = [
        ReceiptRow(S.READ, Owner(EPOCH, 0, 9, "/s/2")),
        ReceiptRow(S.DELIVERED, Owner(EPOCH, 0, 9, "/s/10")),
    ]
    settle([first, second], facts, context())
    assert [one.ending.outcome for one in (first, second) if one.ending] == [ItemOutcome.EMITTED, ItemOutcome.SUPERSEDED]


def test_a_receipt_of_an_unknown_message_comes_out_as_an_orphan_when_it_expires():
    one = candidate(opened(9, receipt(S.READ, target="wamid.unknown")))
    (publish,) = settle([one], facts_for(one), context(now_ms=LIMITS.expiry(ARRIVAL_MS)))
    assert isinstance(publish.event, DeliveryUpdated)
    assert (publish.event.message_id, publish.event.orphan_reason) == (None, "target_unknown")
    assert one.ending is not None
    assert one.ending.outcome is ItemOutcome.ORPHANED


def test_callback_data_names_the_message_before_the_provider_id_does():
    known = "01900000-0000-7000-8000-000000000001"
    one = candidate(opened(9, receipt(S.SENT, target="wamid.other", callback_data=known)))
    facts = facts_for(one)
    facts.known_message_ids[CONNECTOR, known] = MessageRow(known, "conversation-2")
    facts.receipts[known, ""] = receipts_for((S.SENT, 9))
    (publish,) = settle([one], facts, context())
    assert isinstance(publish.event, DeliveryUpdated)
    assert (publish.event.message_id, publish.key) == (known, "conversation-2")


@pytest.mark.req(3, 70)
def test_an_unknown_account_is_dead_lettered_and_asks_once_for_a_sync():
    asked: list[str] = []

    def due(connector_id: str, refs: str) -> bool:
        asked.append(refs)
        return len(asked) == 1

    records = [opened(offset, message(f"x{offset}", number=9)) for offset in range(3)]
    candidates = sort_out(records, KnownAccounts())
    publishes = settle(candidates, no_facts(), context(due))
    assert [publish.topic for publish in publishes].count(Topic.SYNC_REQUIRED) == 1
    letters = [publish.event for publish in publishes if isinstance(publish.event, DeadLetter)]
    assert [letter.origin.offset for letter in letters] == [0, 1, 2]
    assert {letter.sealed_fragment for letter in letters} == {b"sealed"}
    assert len({publish.event_id for publish in publishes}) == 4


def test_the_books_hold_every_item_once():
    one = candidate(opened(3, message()))
    unknown = sort_out([opened(4, message("y", number=9))], KnownAccounts())
    facts = facts_for(one)
    settle([one, *unknown], facts, context())
    (publish,) = audit([one, *unknown], {0: (3, 5)}, EPOCH, 1)
    assert isinstance(publish.event, AuditRecorded)
    assert (publish.event.first_offset, publish.event.end_offset) == (3, 5)
    counts = {(count.outcome, count.reason, count.account_id): count for count in publish.event.counts}
    assert {key[:2]: count.count for key, count in counts.items()} == {
        (ItemOutcome.EMITTED, "org_unit"): 1,
        (ItemOutcome.DEAD_LETTERED, "unknown_account"): 1,
    }
    assert {count.hour_ms for count in counts.values()} == {ARRIVAL_MS - ARRIVAL_MS % 3_600_000}


@pytest.mark.req(48)
def test_what_is_new_of_a_contact_is_told_before_the_message_and_has_an_id_of_its_own():
    one = candidate(opened(3, message()))
    facts = facts_for(one)
    phone = Alias(kind=AliasKind.PHONE, value="5511900000009")
    facts.news[one.order] = News(contact_id="contact-1", added=(phone,), collided=("contact-2", "contact-3"))
    added, collision, other, received = settle([one], facts, context())
    assert [(event.topic, event.key, event.subject, event.time_ms) for event in (added, collision, other)] == [
        (Topic.CONTACT_UPDATED, "contact-1", "contact-1", ARRIVAL_MS)
    ] * 3
    assert received.topic is Topic.MESSAGE_RECEIVED
    events = [event.event for event in (added, collision, other)]
    assert all(isinstance(event, ContactUpdated) for event in events)
    assert [(event.cause, event.added, event.other_contact_id) for event in events] == [
        ("alias_added", (phone,), None),
        ("collision", (), "contact-2"),
        ("collision", (), "contact-3"),
    ]
    assert len({event.event_id for event in (added, collision, other)}) == 3
    again = list(decide([one], facts, context()))
    assert [event.event_id for event in again] == [added.event_id, collision.event_id, other.event_id]  # ending is set


@pytest.mark.req(48)
@pytest.mark.parametrize("known", [True, False])
def test_a_change_ends_by_whether_it_told_anything(known):
    one = candidate(opened(3, person_changed()))
    facts = no_facts()
    own(facts, one)
    if known:
        facts.news[one.order] = News(contact_id="contact-1", retired=(Alias(kind=AliasKind.PHONE, value="5511900000009"),))
    published = [publish.event.cause for publish in settle([one], facts, context())]
    assert published == (["person_changed"] if known else [])
    assert one.ending is not None
    assert (one.ending.outcome.value, one.ending.reason) == (
        ("emitted", "contact") if known else ("ignored", "contact_unchanged")
    )
