"""Which connector events ask for a sync, for whom, and when they are held back."""

from __future__ import annotations

import dataclasses

import pytest

from services.router.context import Context
from services.router.sync_requests import sync_request
from shared.domain.enums import ConnectorEventName, WebhookEvent
from shared.domain.items import ConnectorEventItem
from shared.domain.records import RawPosition, SyncRequired
from shared.domain.sync_causes import position_of, position_text
from tests.unit.services.router.builders import ARRIVAL_MS, CONNECTOR, EPOCH, account, candidate, opened

ASKING = {
    ConnectorEventName.ACCOUNT_LIMIT: "tier_changed",
    ConnectorEventName.ACCOUNT_NAME: "name_changed",
    ConnectorEventName.SUBSCRIPTION: "subscription_pending",
}


def context(due: list[tuple[str, str]] | None = None, answer: bool = True) -> Context:
    def sync_due(connector_id: str, thing: str) -> bool:
        if due is not None:
            due.append((connector_id, thing))
        return answer

    return Context(
        epoch=EPOCH, raw_topic="raw", now_ms=ARRIVAL_MS, schema_version="1", seal=lambda one: b"sealed", sync_due=sync_due
    )


def event(name: ConnectorEventName, **values: str) -> ConnectorEventItem:
    return ConnectorEventItem(
        path="/entry/0",
        evento=WebhookEvent.FALLBACK,
        account_refs=("waba_id:1",),
        dedup_key="once",
        name=name,
        provider_event="x",
        values={"state": "pending", **values},
    )


@pytest.mark.req(70)
@pytest.mark.parametrize("name", list(ConnectorEventName))
def test_these_events_ask_and_no_other(name: ConnectorEventName) -> None:
    due: list[tuple[str, str]] = []
    found = sync_request(candidate(opened(7, event(name))), context(due))
    cause = ASKING.get(name)
    assert due == ([] if cause is None else [(CONNECTOR, f"{cause}:once")])
    if cause is None:
        assert found is None
        return
    assert found is not None
    assert isinstance(found.event, SyncRequired)
    assert (found.event.cause, found.event.requested_at_ms, found.time_ms) == (cause, ARRIVAL_MS, ARRIVAL_MS)
    assert sync_request(candidate(opened(7, event(name))), context(answer=False)) is None


def test_an_ended_subscription_asks_nobody() -> None:
    ended = event(ConnectorEventName.SUBSCRIPTION, state="ended")
    assert sync_request(candidate(opened(7, ended)), context()) is None


def test_a_record_of_an_unknown_connector_asks_nobody() -> None:
    one = candidate(opened(7, event(ConnectorEventName.ACCOUNT_LIMIT)))
    one.opened = dataclasses.replace(one.opened, connector=None)
    assert sync_request(one, context()) is None


def test_an_account_is_named_where_it_is_known_and_a_topic_is_the_connectors() -> None:
    for name, whole in ((ConnectorEventName.ACCOUNT_NAME, False), (ConnectorEventName.SUBSCRIPTION, True)):
        found = sync_request(candidate(opened(7, event(name)), who=account()), context())
        assert found is not None
        assert isinstance(found.event, SyncRequired)
        expected = None if whole else account().account_id
        assert (found.event.account_id, found.key) == (expected, expected or CONNECTOR)


def test_a_place_is_written_and_read_back() -> None:
    place = RawPosition(epoch=EPOCH, partition=3, offset=12_345)
    assert position_of(position_text(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", f"{EPOCH}/1", f"{EPOCH}/1/2/3", f"{EPOCH}/-1/2", f"{EPOCH}/1/x", "no/1/2", f"{EPOCH.upper()}/1/2"),
        *(f"{EPOCH}/\u0661/2", f"{EPOCH}/1/{'9' * 20}", f"{EPOCH}//2", f"{EPOCH}/1 /2"),
    ],
)
def test_what_is_no_place_is_none(text: str) -> None:
    assert position_of(text) is None
