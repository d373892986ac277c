"""Where the database, the topic or the offsets were moved a router refuses and emits nothing; `adopt` tells what follows.

On the real parts: a topic deleted and made anew, offsets set by hand, a database restored from pg_dump.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from confluent_kafka.admin import AdminClient

from services.cli.__main__ import cli
from shared.adapters.clock import new_uuid7
from shared.adapters.topics import apply_topics
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.errors import ChannelsError, Conflict
from shared.domain.topics import Topic
from tests.integration.restoring import dump, restore
from tests.integration.services.router.router_process import RouterProcess, set_offset
from tests.pipeline import UNIT_NUMBER, Pipeline, messages_value, meta_body, text_item
from tests.waiting import allowed

REFUSED_AT_START = 2
HELD_HOUR_MS = 1_767_261_600_000  # 2026-01-01T10:00Z


class Office:
    """An installation, an operator at the command line, and routers one after another."""

    def __init__(self, pipeline: Pipeline, folder: Path) -> None:
        self.pipeline, self.folder = pipeline, folder
        self.posted = 0
        self.started: list[RouterProcess] = []

    def post(self, count: int) -> None:
        for number in range(self.posted, self.posted + count):
            self.pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{number}", str(number))])), flush=False)
        self.pipeline.flush()
        self.posted += count

    def start(self) -> RouterProcess:
        self.started.append(RouterProcess(self.pipeline, 0, self.folder, CHANNELS_ROUTER_BATCH_ITEMS="4"))
        return self.started[-1]

    def process_all(self) -> None:
        """A router from start to stop, which ends when the books cover everything that was posted."""
        router = self.start()
        self.wait_for_offset(self.end())
        assert router.terminate() == 0, router.log()

    def end(self) -> int:
        return self.pipeline.producer.list_topics(timeout=5) and _bounds(self.pipeline)[1]

    def wait_for_offset(self, wanted: int, seconds: float = 40) -> None:
        deadline = time.monotonic() + allowed(seconds)
        while _committed(self.pipeline) < wanted:
            assert time.monotonic() < deadline, (self.started[-1].log()[-3000:], _committed(self.pipeline), wanted)
            time.sleep(0.1)

    def texts(self, expected: int) -> list[str]:
        return [
            read.event.message.content.text for read in self.pipeline.read(Topic.MESSAGE_RECEIVED, expected, settle_seconds=1.5)
        ]

    def refuses(self, said: str) -> None:
        """A router ends by itself, says why, and nothing came out meanwhile."""
        before = len(self.pipeline.read(Topic.MESSAGE_RECEIVED, 10_000, 2))
        router = self.start()
        assert router.wait() == REFUSED_AT_START
        assert said in router.log()
        assert "channels router adopt" in router.log()
        assert len(self.pipeline.read(Topic.MESSAGE_RECEIVED, 10_000, 2)) == before

    def adopt(self, *flags: str) -> Result:
        environment = {
            "CHANNELS_STACK": "external",
            "CHANNELS_KAFKA_BOOTSTRAP": self.pipeline.bootstrap,
            "CHANNELS_TOPIC_PREFIX": self.pipeline.prefix,
            "CHANNELS_DATABASE_WORKER_URL": self.pipeline.database.worker_url,
        }
        return CliRunner().invoke(cli, ["router", "adopt", *flags], env=environment)

    def adopted(self, *flags: str) -> str:
        told = self.adopt("--yes", *flags)
        assert told.exit_code == 0, (told.output, told.exception)
        return told.output

    def refused(self, *flags: str) -> str:
        """What the operator is told; the book in PostgreSQL stays as it is."""
        book = self.pipeline.sql("SELECT * FROM router_progress ORDER BY partition")
        told = self.adopt("--yes", *flags)
        assert isinstance(told.exception, Conflict), (told.output, told.exception)
        assert self.pipeline.sql("SELECT * FROM router_progress ORDER BY partition") == book
        return f"{told.output}\n{told.exception}"


def _committed(pipeline: Pipeline) -> int:
    from shared.adapters.kafka_admin import KafkaAdmin

    group, topic = f"{pipeline.prefix}channels-router", f"{pipeline.prefix}channels.webhook.received"
    return KafkaAdmin(pipeline.bootstrap).committed(group, topic, 1).get(0, -1)


def _bounds(pipeline: Pipeline) -> tuple[int, int]:
    from shared.adapters.kafka_admin import KafkaAdmin

    return KafkaAdmin(pipeline.bootstrap).bounds(f"{pipeline.prefix}channels.webhook.received", 1)[0]


@pytest.fixture
def office(pipeline: Pipeline, tmp_path: Path) -> Iterator[Office]:
    made = Office(pipeline, tmp_path)
    yield made
    for router in made.started:
        router.kill()


def hold(office: Office, epoch: str, state: str, offset: int) -> str:
    """A held row as the router writes it."""
    pipeline, row = office.pipeline, new_uuid7()
    with psycopg.connect(pipeline.database.owner_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as owner:
        owner.execute(
            "INSERT INTO held_record (id, connector_id, account_id, conversation_id, epoch, raw_partition, raw_offset, item,"
            " reason, blocks, due_at, expires_at, first_arrival_at) VALUES (%s, %s, %s, %s, %s, 0, %s, '/x', 'paused', true,"
            " now() + interval '1 day', now() + interval '7 days', '2026-01-01T10:30:00Z')",
            (row, pipeline.connector_id, pipeline.unit_account_id, new_uuid7(), epoch, offset),
        )
        if state == "sent":
            owner.execute("UPDATE held_record SET state = 'sent' WHERE id = %s", (row,))
    return row


@pytest.mark.req(91)
def test_a_topic_that_was_made_anew(office: Office) -> None:
    pipeline = office.pipeline
    office.post(10)
    office.process_all()
    topic = f"{pipeline.prefix}{Topic.WEBHOOK_RECEIVED.value}"
    old = topic_incarnation(pipeline.bootstrap, topic)
    lost = [hold(office, old, "waiting", 3), hold(office, old, "sent", 4)]
    admin = AdminClient({"bootstrap.servers": pipeline.bootstrap})
    admin.delete_topics([topic], operation_timeout=10)[topic].result(20)
    deadline = time.monotonic() + allowed(90)  # an attempt that met the old topic asks for it until its own time is over
    while True:
        try:
            apply_topics(pipeline.bootstrap, pipeline.prefix, partitions=dict.fromkeys(Topic, 1))
            # Kafka forgets the offsets of the old topic a moment after the topic, also one that was committed meanwhile.
            if topic_incarnation(pipeline.bootstrap, topic) != old and _committed(pipeline) == 0:
                break
        except Exception:
            assert time.monotonic() < deadline
        time.sleep(0.2)
    kept = hold(office, topic_incarnation(pipeline.bootstrap, topic), "waiting", 0)
    office.refuses("was re-created")
    told = office.adopt("--dry-run").output
    assert f"the topic was deleted and made anew (it was {old})" in told
    assert f"lost      2 held items (paused) of connector {pipeline.connector_id}" in told
    assert pipeline.sql("SELECT count(*) FROM held_record WHERE state = 'done'") == [(0,)]
    assert "2 held items ended" in office.adopted()
    assert {row for (row,) in pipeline.sql("SELECT id::text FROM held_record WHERE state = 'done'")} == set(lost)
    assert pipeline.sql("SELECT id::text FROM held_record WHERE state <> 'done'") == [(kept,)]
    assert pipeline.sql("SELECT DISTINCT decision FROM held_record WHERE state = 'done'") == [
        ({"outcome": {"outcome": "dead_lettered", "reason": "raw_topic_recreated"}},)
    ]
    letters = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 2, settle_seconds=1)
    assert {(each.event.reason, each.event.origin.epoch, each.event.origin.offset) for each in letters} == {
        ("raw_topic_recreated", old, 3),
        ("raw_topic_recreated", old, 4),
    }
    lines = [line for read in pipeline.read(Topic.AUDIT, 10_000, 3) for line in read.event.counts if line.hour_ms == HELD_HOUR_MS]
    assert {(line.outcome.value, line.reason, line.account_id, line.count) for line in lines} == {
        ("held", "", pipeline.unit_account_id, -2),
        ("dead_lettered", "raw_topic_recreated", pipeline.unit_account_id, 2),
    }
    assert "everything is in order" in office.adopt("--dry-run").output
    office.post(5)
    office.process_all()
    assert office.texts(15) == [str(number) for number in range(15)]


@pytest.mark.req(91)
def test_offsets_that_were_set_to_zero_are_put_back_or_repeat(office: Office) -> None:
    pipeline = office.pipeline
    office.post(12)
    office.process_all()
    set_offset(pipeline, 0)
    office.refuses("is outside of what the database knows")
    told = office.refused()
    assert "repeat    partition 0, offsets 0..12 (12): came out already and comes out again" in told
    assert "adopting this needs --repeat" in told
    assert "needs --repeat" in office.refused("--skip", "--forget")
    assert "moved     partition 0: Kafka's committed offset was 0" in office.adopted("--to-emitted")
    office.post(3)
    office.process_all()
    assert office.texts(15) == [str(number) for number in range(15)]  # neither lost nor doubled
    set_offset(pipeline, 0)
    office.adopted("--repeat")
    office.process_all()
    reads = pipeline.read(Topic.MESSAGE_RECEIVED, 30, settle_seconds=1.5)
    assert len(reads) == 30
    ids = [read.event.message.message_id for read in reads]
    assert ids[:15] == ids[15:]  # as it was told: under the same ids


@pytest.mark.req(91)
def test_offsets_that_were_set_beyond_what_came_out_skip(office: Office) -> None:
    pipeline = office.pipeline
    office.post(8)
    office.process_all()
    office.post(8)
    set_offset(pipeline, 13)
    office.refuses("is outside of what the database knows")
    told = office.refused()
    assert "skip      partition 0, offsets 8..13 (5): never looked at" in told
    assert "needs --skip" in told
    office.adopted("--skip")
    office.process_all()
    assert office.texts(11) == [str(number) for number in [*range(8), 13, 14, 15]]
    set_offset(pipeline, 99)
    office.refuses("is outside of what the database knows")
    assert "lies beyond the topic's end" in office.refused("--skip", "--repeat", "--forget")
    office.adopted("--to-emitted")
    office.post(2)
    office.process_all()
    assert office.texts(13) == [str(number) for number in [*range(8), 13, 14, 15, 16, 17]]


@pytest.mark.req(91)
def test_a_database_that_was_restored_to_an_earlier_state(office: Office) -> None:
    pipeline = office.pipeline
    office.post(8)
    office.process_all()
    saved = dump(pipeline.database, office.folder / "saved.dump")
    office.post(8)
    office.process_all()
    restore(pipeline.database, saved)
    hold(office, topic_incarnation(pipeline.bootstrap, f"{pipeline.prefix}{Topic.WEBHOOK_RECEIVED.value}"), "waiting", 2)
    office.refuses("is outside of what the database knows")
    told = office.refused("--repeat", "--skip")
    assert "forget    partition 0, offsets 8..16 (8): came out, but the database knows nothing of it" in told
    assert "held      1 items as of then" in told
    assert "needs --forget" in told
    office.adopted("--forget")
    office.post(4)
    office.process_all()
    assert office.texts(20) == [str(number) for number in range(20)]


def test_a_router_in_the_group_is_waited_for_and_then_named(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.management.router_progress._SESSION_SECONDS", 1.0)
    office.post(4)
    office.start()
    office.wait_for_offset(4)
    told = office.adopt("--yes")
    assert isinstance(told.exception, ChannelsError), told.output
    assert "stop the routers first; in the group: " in str(told.exception)
