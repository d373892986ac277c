"""The books against the raw topic, by a reader that shares no code with the router; it must find what is planted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from services.cli.__main__ import cli
from services.router import app
from shared.adapters.kafka_admin import KafkaAdmin
from shared.adapters.raw_body import body_aad
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.enums import ItemOutcome
from shared.domain.outcomes import Publish
from shared.domain.records import AuditCount, AuditRecorded, RawPosition
from shared.domain.topics import Topic
from tests.books_reader import HOUR_MS, BooksReader
from tests.integration.services.router.conftest import RunningRouter
from tests.pipeline import FLOW_NUMBER, UNIT_NUMBER, Pipeline, messages_value, meta_body, status_item, text_item
from tests.waiting import allowed

NEW_NUMBER = "100000000000009"
NOW_MS = int(time.time() * 1000)
EARLIER_MS, BEFORE_MS = NOW_MS - 2 * HOUR_MS, NOW_MS - 3 * HOUR_MS


class Desk:
    """An installation, its router, and the reader of its books."""

    def __init__(self, pipeline: Pipeline, start: Callable[[], RunningRouter]) -> None:
        self.pipeline, self.start = pipeline, start
        self.epoch = topic_incarnation(pipeline.bootstrap, f"{pipeline.prefix}{Topic.WEBHOOK_RECEIVED.value}")
        own = pipeline.connector_id
        self.reader = BooksReader(
            bootstrap=pipeline.bootstrap,
            prefix=pipeline.prefix,
            codec=pipeline.codec,
            open_body=lambda record: pipeline.ring.open_bytes(
                record.sealed_body or b"", body_aad(pipeline.tenant_id, record.record_id)
            ),
            account_of={
                (own, UNIT_NUMBER): pipeline.unit_account_id,
                (own, FLOW_NUMBER): pipeline.flow_account_id,
                (own, NEW_NUMBER): pipeline.unit_account_id,
            },
            late=frozenset({NEW_NUMBER}),
        )

    def traffic(self) -> None:
        """Two hours of it: both numbers, receipts, repeats, junk, a body that is none, a number that nobody knows yet."""
        post = self.pipeline.post
        for hour, at in enumerate((BEFORE_MS, EARLIER_MS)):
            texts = [text_item(f"wamid.{hour}.{number}", f"{hour}.{number}") for number in range(4)]
            body = meta_body(
                messages_value(UNIT_NUMBER, texts, [status_item(f"wamid.none.{hour}", "sent")]),
                messages_value(FLOW_NUMBER, [text_item(f"wamid.flow.{hour}"), 42]),
                messages_value("", []),
            )
            post(body, received_at_ms=at)
            post(body, received_at_ms=at)
            post(b"{ no json", received_at_ms=at)
            strangers = [text_item(f"wamid.new.{hour}.{number}") for number in range(2)]
            post(meta_body(messages_value(NEW_NUMBER, strangers)), received_at_ms=at)
        self.pipeline.post_raw(self.pipeline.connector_id.encode(), b"no record of ours")

    def settled(self) -> None:
        """Until the books cover the raw topic."""
        end, deadline = self.end(), time.monotonic() + 30
        for read in self.pipeline.follow(Topic.AUDIT, lambda: time.monotonic() > deadline):
            if read.event.end_offset >= end:
                return
        raise AssertionError("the router did not come to the end")

    def end(self) -> int:
        return KafkaAdmin(self.pipeline.bootstrap).bounds(f"{self.pipeline.prefix}{Topic.WEBHOOK_RECEIVED.value}", 1)[0][1]

    def differences(self) -> list[str]:
        return self.reader.differences(self.epoch, NOW_MS)

    def book(self, first: int, end: int, *counts: AuditCount) -> None:
        """Lines as a router writes them."""
        event = AuditRecorded(epoch=self.epoch, partition=0, first_offset=first, end_offset=end, counts=counts)
        self.pipeline._send(Topic.AUDIT, "0", self.pipeline.codec.encode(Topic.AUDIT, event))


@pytest.fixture
def desk(pipeline: Pipeline) -> Iterator[Desk]:
    started: list[RunningRouter] = []

    def start() -> RunningRouter:
        started.append(RunningRouter(pipeline, batch_items=6).start())
        return started[-1]

    yield Desk(pipeline, start)
    for router in started:
        router.stop()


@pytest.mark.req(91)
def test_the_books_balance_and_so_they_do_after_redrives(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = desk.pipeline
    desk.traffic()
    router = desk.start()
    desk.settled()
    assert desk.differences() == []
    numbers = tuple(f"phone_number_id:{name}" for name in (UNIT_NUMBER, NEW_NUMBER))
    pipeline.publish_account(pipeline.unit_account(version=2, account_refs=numbers))
    deadline = time.monotonic() + allowed(15)
    while router.snapshots.directory.account(pipeline.unit_account_id).version != 2:  # type: ignore[union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for name, value in {
        "CHANNELS_STACK": "external",
        "CHANNELS_KAFKA_BOOTSTRAP": pipeline.bootstrap,
        "CHANNELS_TOPIC_PREFIX": pipeline.prefix,
        "CHANNELS_DATABASE_WORKER_URL": pipeline.database.worker_url,
        "CHANNELS_DATABASE_API_URL": pipeline.database.api_url,
        "CHANNELS_KEYS_DIR": str(pipeline.keys_dir),
    }.items():
        monkeypatch.setenv(name, value)
    last = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 10_000, 2)[-1]
    told = CliRunner().invoke(cli, ["dlq", "redrive", "--reason", "unknown_account", "--yes"])
    assert told.exit_code == 0, (last, told.output, told.exception)
    desk.settled()
    assert desk.differences() == []  # the items left the line of nobody's account for the account's own


def lose_an_item(monkeypatch: pytest.MonkeyPatch) -> str:
    sort_out = app.sort_out

    def losing(records: Any, directory: Any) -> Any:
        return [one for one in sort_out(records, directory) if getattr(one.item, "dedup_key", "") != "wamid.1.2"]

    monkeypatch.setattr(app, "sort_out", losing)
    monkeypatch.setattr("services.router.batches.sort_out", losing)
    return "items came in"


def lose_an_event(monkeypatch: pytest.MonkeyPatch) -> str:
    decide = app.decide

    def losing(candidates: Any, facts: Any, context: Any) -> Any:
        return (one for one in decide(candidates, facts, context) if _text_of(one) != "0.3")

    monkeypatch.setattr(app, "decide", losing)
    return "are booked as emitted"


def _text_of(publish: Publish) -> str | None:
    message = getattr(publish.event, "message", None)
    return message.content.text if message is not None else None


def count_one_twice(monkeypatch: pytest.MonkeyPatch) -> str:
    audit = app.audit

    def doubling(candidates: Any, *more: Any) -> Any:
        all_ = list(candidates)
        return audit([*all_, *(one for one in all_ if getattr(one.item, "dedup_key", "") == "wamid.0.1")][: len(all_) + 1], *more)

    monkeypatch.setattr(app, "audit", doubling)
    return "items came in"


def book_a_range_twice(monkeypatch: pytest.MonkeyPatch) -> str:
    audit = app.audit
    monkeypatch.setattr(app, "audit", lambda *given: audit(*given) * 2)
    return "the books go from"


@pytest.mark.req(91)
@pytest.mark.parametrize("plant", [lose_an_item, lose_an_event, count_one_twice, book_a_range_twice])
def test_what_is_planted_is_found(desk: Desk, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Any], str]) -> None:
    said = plant(monkeypatch)
    desk.traffic()
    desk.start()
    desk.settled()
    found = desk.differences()
    assert found, "the reader is blind"
    assert any(said in one for one in found), found


@pytest.mark.req(91)
def test_held_items_stand_on_their_own_line_until_they_end(desk: Desk) -> None:
    """By hand: a record with two items of which one is held, and its copy, by which it ends."""
    pipeline = desk.pipeline
    body = meta_body(messages_value(FLOW_NUMBER, [text_item("wamid.a"), text_item("wamid.b")]))
    pipeline.post(body, received_at_ms=EARLIER_MS)

    def line(outcome: ItemOutcome, reason: str, count: int) -> AuditCount:
        return AuditCount(
            connector_id=pipeline.connector_id,
            account_id=pipeline.flow_account_id,
            hour_ms=EARLIER_MS - EARLIER_MS % HOUR_MS,
            outcome=outcome,
            reason=reason,
            count=count,
        )

    desk.book(0, 1, line(ItemOutcome.HELD, "", 1), line(ItemOutcome.DUPLICATE, "", 1))
    assert desk.differences() == []
    origin = RawPosition(epoch=desk.epoch, partition=0, offset=0, item="/entry/0/changes/0/value/messages/0")
    pipeline.post(body, copy_of=origin, only_item=origin.item, received_at_ms=EARLIER_MS)
    assert desk.differences() == ["partition 0: the books end at 1, the topic at 2"]  # the copy itself is no new item
    desk.book(1, 2, line(ItemOutcome.HELD, "", -1), line(ItemOutcome.SETTLED_BY_FLOW, "handled", 1))
    assert desk.differences() == []
    desk.book(2, 2, line(ItemOutcome.HELD, "", -1), line(ItemOutcome.SETTLED_BY_FLOW, "handled", 1))
    (told,) = desk.differences()
    assert told.endswith("-1 held now")
