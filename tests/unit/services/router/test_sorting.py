from __future__ import annotations

from dataclasses import replace

import pytest

from services.router.lookups import people_of
from services.router.sorting import collapse, sort_out
from shared.domain.enums import AccountStatus, AliasKind, ConnectorEventName, DeliveryStatus, ItemOutcome, WebhookEvent
from shared.domain.items import Alias, ConnectorEventItem, Peer, PeopleChange, PoisonItem
from shared.domain.records import RawPosition
from shared.domain.send_result import encode_send_result, parse_send_result
from tests.unit.services.router.builders import (
    EPOCH,
    KnownAccounts,
    account,
    candidate,
    connector,
    message,
    opened,
    person_changed,
    receipt,
)


@pytest.mark.req(3)
def test_each_item_finds_its_own_account_and_an_unknown_one_is_dead_lettered():
    record = opened(0, message("a", number=1), message("b", number=2, path="/m/1"), message("c", number=9, path="/m/2"))
    first, second, third = sort_out([record], KnownAccounts(account(1), account(2)))
    assert first.account == account(1)
    assert second.account == account(2)
    assert first.ending is None
    assert second.ending is None
    assert third.ending is not None
    assert (third.ending.outcome, third.ending.reason) == (ItemOutcome.DEAD_LETTERED, "unknown_account")


@pytest.mark.req(37)
def test_a_disabled_webhook_row_rejects_only_its_own_class():
    record = opened(0, message(), receipt(DeliveryStatus.READ), connector=connector(disabled=WebhookEvent.MESSAGE_IN))
    inbound, status = sort_out([record], KnownAccounts(account()))
    assert inbound.ending is not None
    assert (inbound.ending.outcome, inbound.ending.reason) == (ItemOutcome.REJECTED, "webhook_disabled")
    assert status.ending is None


@pytest.mark.req(21)
@pytest.mark.parametrize(("status", "rejected"), [("inactive", True), ("pending", False), ("active", False)])
def test_only_an_inactive_account_rejects(status, rejected):
    (one,) = sort_out([opened(0, message())], KnownAccounts(account(status=AccountStatus(status))))
    assert (one.ending is not None and one.ending.reason == "account_inactive") is rejected


def test_poison_and_connector_events_end_at_once():
    base = {"path": "/x", "evento": WebhookEvent.MESSAGE_IN, "account_refs": (), "dedup_key": ""}
    poison = PoisonItem(**base, reason="no_id", fragment=b"{}")
    event = ConnectorEventItem(**base, name=ConnectorEventName.ACCOUNT_STATUS, provider_event="account_update")
    endings = [one.ending for one in sort_out([opened(0, poison, event)], KnownAccounts())]
    assert [(ending.outcome, ending.reason) for ending in endings if ending] == [
        (ItemOutcome.DEAD_LETTERED, "no_id"),
        (ItemOutcome.IGNORED, "connector_event"),
    ]


@pytest.mark.req(48)
def test_a_change_of_a_person_is_claimed_and_everything_else_that_a_provider_tells_is_not():
    group = Alias(kind=AliasKind.GROUP, value="-1")
    plain = person_changed().people
    assert plain is not None
    for event, claimed in (
        (person_changed(), True),
        (person_changed(people=PeopleChange(old=(), new=plain.new)), False),  # the same names as before
        (person_changed(people=None), False),
        (person_changed(name=ConnectorEventName.GROUP_CHANGED), False),
        (person_changed(people=PeopleChange(old=(group,), new=plain.new)), False),  # a group is no person
        (person_changed(account_refs=("phone_number_id:9",)), False),
    ):
        (one,) = sort_out([opened(0, event)], KnownAccounts(account()))
        assert (one.claim_key is not None) is claimed
        assert (one.ending is None) is claimed
        if one.ending is not None:
            assert (one.ending.outcome, one.ending.reason) == (ItemOutcome.IGNORED, "connector_event")


@pytest.mark.req(48)
def test_the_alias_of_a_group_joins_nobody():
    group, phone = Alias(kind=AliasKind.GROUP, value="-1"), Alias(kind=AliasKind.PHONE, value="5511900000009")
    for named, people in (((group, phone), (phone,)), ((phone, group), (phone,)), ((group,), (group,))):
        assert people_of(candidate(opened(0, replace(message(), peer=Peer(aliases=named))))) == people


def test_a_result_speaks_only_for_accounts_of_its_own_connector():
    body = encode_send_result(
        account_id=account().account_id, message_id="m", attempt=1, status=DeliveryStatus.ACCEPTED, recipient=(), at_ms=1
    )
    record = opened(0, parse_send_result(body))
    (own,) = sort_out([record], KnownAccounts(account()))
    (foreign,) = sort_out([record], KnownAccounts(account(connector_id="another")))
    assert own.ending is None
    assert foreign.ending is not None
    assert foreign.ending.reason == "unknown_account"


def test_repeats_in_one_batch_collapse_to_the_first_to_arrive():
    records = [opened(5, message("x")), opened(6, message("x")), opened(7, message("y"))]
    candidates = sort_out(records, KnownAccounts(account()))
    winners = collapse(candidates)
    assert [(one.opened.offset, one.item.dedup_key) for one in winners] == [(5, "x"), (7, "y")]
    assert candidates[1].ending is not None
    assert candidates[1].ending.outcome is ItemOutcome.DUPLICATE


def test_a_redelivered_copy_beats_the_plain_item():
    copy = opened(9, message("x"), copy_of=RawPosition(epoch=EPOCH, partition=0, offset=5, item="/m/0"))
    candidates = sort_out([opened(8, message("x")), copy], KnownAccounts(account()))
    (winner,) = collapse(candidates)
    assert winner.opened.offset == 9
    assert candidates[0].ending is not None
    assert candidates[0].ending.outcome is ItemOutcome.DUPLICATE


def test_the_same_id_under_two_accounts_is_two_messages():
    candidates = sort_out(
        [opened(1, message("x", number=1), message("x", number=2, path="/m/1"))], KnownAccounts(account(1), account(2))
    )
    assert len(collapse(candidates)) == 2
