"""`channels dlq` beside a router that works: what fails is listed, tried again with one effect, or dropped; the books balance."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from services.cli.__main__ import cli
from services.router.app import Router
from shared.adapters.database import create_engine_for
from shared.adapters.kafka import client_config, full_name
from shared.domain.enums import KeyPurpose
from shared.domain.records import DeadLetter, MessageReceived
from shared.domain.topics import Topic
from shared.management.dead_letter_changes import redrive
from shared.management.dead_letters import DeadLetters, LetterFilter
from tests.integration.services.router.conftest import RunningRouter
from tests.integration.services.router.test_router_own_faults import OddCodec, fault, write_rows
from tests.pipeline import UNIT_NUMBER, Pipeline, messages_value, meta_body, text_item
from tests.waiting import eventually

NEW_NUMBER = "100000000000009"
MESSAGE = "/entry/0/changes/0/value/messages/{}"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


@pytest.fixture
def settings(pipeline: Pipeline, monkeypatch) -> dict[str, str]:
    values = {
        "CHANNELS_STACK": "external",
        "CHANNELS_KAFKA_BOOTSTRAP": pipeline.bootstrap,
        "CHANNELS_TOPIC_PREFIX": pipeline.prefix,
        "CHANNELS_DATABASE_WORKER_URL": pipeline.database.worker_url,
        "CHANNELS_DATABASE_API_URL": pipeline.database.api_url,
        "CHANNELS_KEYS_DIR": str(pipeline.keys_dir),
    }
    monkeypatch.delenv("CHANNELS_TENANT", raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def runs(pipeline: Pipeline, settings) -> Iterator[Any]:
    """Starts a router; stops the one before."""
    started: list[RunningRouter] = []

    def start(codec: Any = None) -> RunningRouter:
        for router in started:
            router.stop()
        running = RunningRouter(pipeline)
        if codec is not None:
            running.router = Router(replace(running.parts, codec=codec))
        started.append(running.start())
        return running

    yield start
    for router in started:
        router.stop()
        if router.failure is not None:
            raise router.failure


def dlq(*arguments: str, exit_code: int = 0) -> Any:
    result = CliRunner().invoke(cli, ["dlq", *arguments, "--json"])
    assert result.exit_code == exit_code, (result.output, result.exception)
    # the router of this process logs to the same stdout, whenever it has something to say
    return json.loads("\n".join(line for line in result.stdout.splitlines() if not LOGGED.match(line)))


def listed(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dlq("list", *arguments)
    return found


def post(pipeline: Pipeline, names: list[str], number: str = NEW_NUMBER, text: str = "hello", **more: Any) -> str:
    return pipeline.post(meta_body(messages_value(number, [text_item(name, text) for name in names])), **more)


def add_number(pipeline: Pipeline, router: RunningRouter, version: int = 2, *refs: str) -> None:
    """The account of NEW_NUMBER (or of `refs`) becomes known to the router."""
    names = refs or (UNIT_NUMBER, NEW_NUMBER)
    pipeline.publish_account(
        pipeline.unit_account(version=version, account_refs=tuple(f"phone_number_id:{name}" for name in names))
    )
    eventually(lambda: router.snapshots.directory.account(pipeline.unit_account_id).version == version)


def letters(pipeline: Pipeline, count: int, settle_seconds: float = 0.0) -> list[DeadLetter]:
    found = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, count, settle_seconds=settle_seconds)
    assert len(found) == count
    return [read.event for read in found]


def emitted(pipeline: Pipeline, count: int, settle_seconds: float = 1.0) -> list[MessageReceived]:
    found = pipeline.read(Topic.MESSAGE_RECEIVED, count, settle_seconds=settle_seconds)
    assert len(found) == count
    return [read.event for read in found]


def copies(pipeline: Pipeline, records: int) -> list[Any]:
    raw = pipeline.read(Topic.WEBHOOK_RECEIVED, records, settle_seconds=0.5)
    return [read.event for read in raw if read.event is not None and read.event.redelivery_of is not None]


def settled(pipeline: Pipeline, offset: int) -> dict[tuple[str, str], int]:
    """The books once the router has come to this raw offset."""
    ends: list[int] = []
    counts: dict[tuple[str, str], int] = {}
    deadline = time.monotonic() + 20
    for read in pipeline.follow(Topic.AUDIT, lambda: max(ends, default=0) >= offset or time.monotonic() > deadline):
        ends.append(read.event.end_offset)
        for row in read.event.counts:
            key = row.outcome.value, row.reason
            counts[key] = counts.get(key, 0) + row.count
    assert max(ends, default=0) >= offset
    return {key: count for key, count in counts.items() if count}


@pytest.mark.req(3)
def test_letters_are_listed_counted_and_shown_without_what_people_wrote(pipeline, runs):
    runs()
    post(pipeline, ["wamid.a", "wamid.b"], text="canary-text")
    pipeline.post(meta_body({"metadata": {"phone_number_id": UNIT_NUMBER}, "messages": [42]}))
    pipeline.post_raw(b"\x1b[2Jnobody", b"not avro at all")
    letters(pipeline, 4)
    rows = listed()
    assert len({row["id"] for row in rows}) == 4
    assert {row["state"] for row in rows} == {"open"}
    assert {row["raw"] for row in rows} == {"there"}
    junk, poison, second, first = rows
    assert (junk["reason"], junk["tenant_id"]) == ("undecodable_record", None)
    assert second["reason"] == first["reason"] == "unknown_account"
    assert first["detail"] == "phone_number_id:***0009"
    assert first["connector_id"] == pipeline.connector_id
    assert 0 <= first["age_seconds"] < 120
    assert [row["id"] for row in listed("--reason", poison["reason"])] == [poison["id"]]
    assert [row["id"] for row in listed("--connector", pipeline.connector_id, "--tenant", pipeline.tenant_id)] == [
        poison["id"], second["id"], first["id"],
    ]  # fmt: skip
    assert listed("--account", pipeline.unit_account_id) == listed("--until", "2020-01-01") == []
    assert [row["id"] for row in listed("--limit", "1")] == [junk["id"]]
    groups = listed("--by", "reason")
    assert (groups[0]["reason"], groups[0]["count"], groups[0]["redrivable"]) == ("unknown_account", 2, 2)
    shown = dlq("show", first["id"])
    assert shown["detail"] == f"phone_number_id:{NEW_NUMBER}"
    assert (shown["item"], shown["origin"], shown["tries"]) == (MESSAGE.format(0), "0/0", ["0/0"])
    assert shown["fragment"].startswith("<sealed ")
    table = CliRunner().invoke(cli, ["dlq", "list"]).output
    assert "\x1b" not in table
    everything = json.dumps([rows, groups, shown]) + table
    assert "canary" not in everything
    assert "5511900000009" not in everything
    for command in ("redrive", "drop"):
        refused = CliRunner().invoke(cli, ["dlq", command, *(("--note", "x") if command == "drop" else ())])
        assert refused.exit_code == 2, refused.output  # everything only when it is asked for
    missing = CliRunner().invoke(cli, ["dlq", "show", "0/999"])
    assert "there is no dead letter 0/999" in str(missing.exception)


@pytest.mark.req(3, 64)
def test_redriven_items_have_one_effect_each_however_often(pipeline, runs):
    router = runs()
    record_id = post(pipeline, ["wamid.0", "wamid.1", "wamid.2"])
    post(pipeline, ["wamid.2", "wamid.3"])  # a repeat of one, before its number is known
    first = letters(pipeline, 5)
    arrived_ms = first[0].first_arrival_at_ms
    assert dlq("redrive", "--reason", "unknown_account", "--dry-run")["redriven"] == [
        {"id": row["id"], "copy": None} for row in reversed(listed())
    ]
    assert copies(pipeline, 2) == []
    add_number(pipeline, router)
    done = dlq("redrive", "--reason", "unknown_account", "--yes")
    assert len(done["redriven"]) == 5
    events = emitted(pipeline, 4)
    assert [event.message.provider_message_id for event in events] == [f"wamid.{number}" for number in range(4)]
    assert events[0].message.received_at_ms == arrived_ms
    made = copies(pipeline, 7)
    assert [copy.only_item for copy in made] == [MESSAGE.format(n) for n in (0, 1, 2, 0, 1)]
    assert {copy.record_id for copy in made[:3]} == {record_id}
    assert listed() == []
    assert {row["state"] for row in listed("--all")} == {"redriven"}
    again = dlq("redrive", *[row["id"] for row in listed("--all")])
    assert {one["reason"] for one in again["refused"]} == {"already_redriven"}
    assert len(copies(pipeline, 7)) == 5
    books = settled(pipeline, 7)
    assert books.pop(("emitted", "org_unit")) == 4
    ((outcome, _), count) = books.popitem()  # the repeat, in the same batch or behind it
    assert (outcome, count, books) == ("duplicate", 1, {})
    actions = pipeline_sql(pipeline, "SELECT action, actor, subject_id::text, after ->> 'count' FROM audit_log")
    assert len(actions) == 1
    assert actions[0][0] == "dead_letters.redriven"
    assert actions[0][1].startswith("cli:")
    assert actions[0][2:] == (pipeline.connector_id, "5")


KILLED_BEFORE_ITS_MARK = """
import os, signal, sys
from shared.management import dead_letter_changes
dead_letter_changes._mark = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
from services.cli.__main__ import main
sys.argv = ["channels", "dlq", "redrive", "--reason", "unknown_account", "--yes"]
main()
"""


@pytest.mark.req(64)
def test_a_redrive_that_was_killed_is_repeated_without_a_second_effect(pipeline, runs, settings):
    router = runs()
    names = [f"wamid.{number}" for number in range(20)]
    post(pipeline, names)
    letters(pipeline, 20)
    add_number(pipeline, router)
    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_ITS_MARK], env=os.environ | settings, check=False, timeout=60)
    assert killed.returncode == -9
    assert len(copies(pipeline, 21)) == 20
    assert len(listed()) == 20  # nothing is remembered of it
    assert len(dlq("redrive", "--everything", "--yes")["redriven"]) == 20
    assert len(copies(pipeline, 41)) == 40
    assert [event.message.provider_message_id for event in emitted(pipeline, 20, 2)] == names
    books = settled(pipeline, 41)
    assert books["emitted", "org_unit"] == 20
    assert sum(books.values()) == 20  # original items in = what became of them
    letters(pipeline, 20)


@pytest.mark.req(64)
def test_of_two_operators_at_once_the_second_finds_it_done(pipeline, runs):
    router = runs()
    names = [f"wamid.{number}" for number in range(30)]
    post(pipeline, names)
    letters(pipeline, 30)
    add_number(pipeline, router)
    engine = create_engine_for(pipeline.database.worker_url, pool_size=2)
    boxes = [DeadLetters(pipeline.bootstrap, pipeline.prefix, pipeline.codec, engine) for _ in range(2)]
    with ThreadPoolExecutor(2) as both, boxes[0] as first, boxes[1] as second:
        chosen = [list(box.scan(LetterFilter())) for box in boxes]
        inside, done, append = threading.Event(), threading.Event(), first.raw.append

        def slow(made: Any) -> Any:
            inside.set()
            eventually(lambda: done.is_set() or pipeline.sql(WAITING) == [(1,)])
            return append(made)

        first.raw.append = slow  # type: ignore[method-assign]
        one = both.submit(lambda: list(redrive(first, chosen[0], actor="cli:ana")))
        assert inside.wait(20)
        other = both.submit(lambda: list(redrive(second, chosen[1], actor="cli:bob")))
        other.add_done_callback(lambda _: done.set())
        assert [answer.refused for answer in one.result(40)] == [None] * 30
        assert [answer.refused for answer in other.result(40)] == ["already_redriven"] * 30
    engine.dispose()
    assert len(copies(pipeline, 31)) == 30
    assert [event.message.provider_message_id for event in emitted(pipeline, 30)] == names


def test_an_item_that_fails_again_is_a_new_letter_that_nobody_tries_by_itself(pipeline, runs):
    """The claim stays with the first try, whose event could not be written; the third try finds it there."""
    runs(OddCodec(pipeline.codec, fault))
    post(pipeline, ["wamid.odd"], UNIT_NUMBER, "odd")
    (first,) = letters(pipeline, 1)
    assert (first.reason, first.attempt, first.tries) == ("own_exception", 1, ())
    assert pipeline.sql("SELECT raw_offset FROM claim") == [(0,)]
    router = runs()
    add_number(pipeline, router, 2, "100000000000077")  # the number is moved away meanwhile
    dlq("redrive", "0/0")
    second = letters(pipeline, 2, settle_seconds=2)[1]
    assert (second.reason, second.attempt, second.tries) == ("unknown_account", 2, (0, 1))
    assert (second.origin, second.first_arrival_at_ms) == (first.origin, first.first_arrival_at_ms)
    assert len(copies(pipeline, 2)) == 1
    (row,) = listed()
    assert (row["attempt"], row["raw"]) == (2, "there")
    add_number(pipeline, router, 3)
    dlq("redrive", row["id"])
    (event,) = emitted(pipeline, 1)
    assert event.message.provider_message_id == "wamid.odd"
    assert settled(pipeline, 3) == {("emitted", "org_unit"): 1}
    assert listed() == []


@pytest.mark.req(3)
def test_a_record_that_failed_as_a_whole_comes_back_as_its_items(pipeline, runs):
    router = runs()
    connector, account = "01900000-0000-7000-8000-0000000000c1", "01900000-0000-7000-8000-0000000000a1"
    an_hour_ago = time.time_ns() // 1_000_000 - 3_600_000
    post(pipeline, ["wamid.a", "wamid.b"], UNIT_NUMBER, connector_id=connector, received_at_ms=an_hour_ago)
    (letter,) = letters(pipeline, 1)
    assert (letter.reason, letter.origin.item) == ("unknown_connector", "")
    write_rows(pipeline, connector, account)
    pipeline.publish_connector(pipeline.connector(connector_id=connector))
    pipeline.publish_account(pipeline.unit_account(connector_id=connector, account_id=account))
    eventually(lambda: router.snapshots.directory.account(account) is not None)
    dlq("redrive", "0/0")
    assert [event.message.provider_message_id for event in emitted(pipeline, 2)] == ["wamid.a", "wamid.b"]
    assert settled(pipeline, 2) == {("emitted", "org_unit"): 2}


def test_what_cannot_be_read_again_is_refused_and_says_why(pipeline, runs):
    router = runs()
    pipeline.post_raw(b"nobody", b"not avro at all")
    post(pipeline, ["wamid.a"])
    (_, of_account) = letters(pipeline, 2)
    other = replace(of_account.origin, epoch="01900000-0000-7000-8000-00000000dead")
    forged = replace(of_account, origin=other)
    missing = replace(of_account, origin=replace(of_account.origin, item=MESSAGE.format(7)))
    name = full_name(pipeline.prefix, Topic.WEBHOOK_RECEIVED_DLQ)
    for event in (forged, missing):
        pipeline.producer.produce(name, key=b"k", value=pipeline.codec.encode(Topic.WEBHOOK_RECEIVED_DLQ, event))
    pipeline.flush()
    (gone_item, recreated, unknown, junk) = listed()
    assert [row["raw"] for row in (gone_item, recreated, unknown, junk)] == ["there", "recreated", "there", "there"]
    add_number(pipeline, router)
    told = dlq("redrive", junk["id"], recreated["id"], gone_item["id"], exit_code=1)
    assert {one["id"]: one["reason"] for one in told["refused"]} == {
        junk["id"]: "undecodable",
        recreated["id"]: "raw_topic_recreated",
    }
    again = letters(pipeline, 5)[4]
    assert (again.reason, again.attempt, again.origin.item) == ("redelivery_item_missing", 2, MESSAGE.format(7))
    admin = AdminClient(client_config(pipeline.bootstrap, "test"))
    raw = full_name(pipeline.prefix, Topic.WEBHOOK_RECEIVED)
    for future in admin.delete_records([TopicPartition(raw, 0, 2)]).values():
        future.result(10)
    told = dlq("redrive", unknown["id"], exit_code=1)
    assert told["refused"][0]["reason"] == "raw_record_gone"
    assert {row["id"]: row["raw"] for row in listed()}[unknown["id"]] == "gone"
    words = CliRunner().invoke(cli, ["dlq", "redrive", unknown["id"]])
    assert words.exit_code == 1
    assert "the raw record is gone: retention has taken it" in words.output


def test_dropped_letters_are_hidden_but_not_lost(pipeline, runs):
    router = runs()
    post(pipeline, ["wamid.a", "wamid.b"])
    letters(pipeline, 2)
    second, first = listed()
    nothing = CliRunner().invoke(cli, ["dlq", "drop", first["id"], "--note", " "])
    assert "say why" in str(nothing.exception)
    assert dlq("drop", first["id"], "--note", "a test", "--dry-run")["dropped"][0]["id"] == first["id"]
    assert len(listed()) == 2
    assert dlq("drop", first["id"], "--note", "a test")["dropped"] == [{"id": first["id"], "copy": None}]
    assert [row["id"] for row in listed()] == [second["id"]]
    shown = dlq("show", first["id"])
    assert (shown["state"], shown["note"], shown["by"][:4]) == ("dropped", "a test", "cli:")
    add_number(pipeline, router)
    assert [one["id"] for one in dlq("redrive", "--everything", "--yes")["redriven"]] == [second["id"]]
    assert dlq("drop", second["id"], "--note", "too late")["refused"][0]["reason"] == "already_redriven"
    dlq("redrive", first["id"])  # by its id all the same
    assert len(emitted(pipeline, 2)) == 2
    assert dlq("show", first["id"])["state"] == "redriven"
    actions = pipeline_sql(pipeline, "SELECT action, after ->> 'note' FROM audit_log ORDER BY id")
    assert actions[0] == ("dead_letters.dropped", "a test")


def test_an_element_is_opened_only_when_asked_for_and_leaves_a_trace(pipeline, runs):
    runs()
    post(pipeline, ["wamid.a"], text="canary-text")
    letters(pipeline, 1)
    refused = CliRunner().invoke(cli, ["dlq", "show", "0/0", "--reveal"])
    assert "no ingest keys" in str(refused.exception)
    pipeline_sql(
        pipeline,
        "INSERT INTO data_key (key_id, tenant_id, purpose, wrapped) VALUES (%s, %s, 'ingest', %s)",
        pipeline.data_key.key_id,
        pipeline.tenant_id,
        pipeline.data_key.wrapped,
    )
    form = dlq("show", "0/0", "--reveal")["fragment"]
    assert form["type"] == "text"
    assert form["text"] == {"body": "*** (11 characters)"}
    assert "canary" not in json.dumps(form)
    assert "5511900000009" not in json.dumps(form)
    (group,) = listed("--by", "reason", "--examples")
    assert group["form"] == form
    assert dlq("show", "0/0", "--reveal", "--plain")["fragment"]["text"] == {"body": "canary-text"}
    rows = pipeline_sql(pipeline, "SELECT after ->> 'plain' FROM audit_log WHERE action = 'dead_letter.opened' ORDER BY id")
    assert rows == [("false",), ("false",), ("true",)]


def neighbour(pipeline: Pipeline) -> Pipeline:
    """Another tenant of the same installation, with a connector of its own."""
    other = Pipeline(
        pipeline.bootstrap, pipeline.prefix, pipeline.database, pipeline.keys_dir, pipeline.objects_dir, pipeline.partitions
    )
    other.codec, other.vault, other.objects, other.producer = pipeline.codec, pipeline.vault, pipeline.objects, pipeline.producer
    other.data_key = other.vault.new_data_key(KeyPurpose.INGEST, other.tenant_id)
    other._write_rows()
    other.publish_connector(other.connector())
    other.publish_account(other.unit_account())
    return other


@pytest.mark.req(10, 91)
def test_one_tenants_junk_and_its_redrives_never_stop_anothers_traffic(pipeline, runs):
    """All in one partition: what the neighbour sends stands behind the junk."""
    other = neighbour(pipeline)
    runs()
    for number in range(20):
        pipeline.post_raw(pipeline.connector_id.encode(), b"not avro at all")
        pipeline.post(b"{ not json")
        pipeline.post(meta_body({"metadata": {"phone_number_id": UNIT_NUMBER}, "messages": [42]}))
        post(pipeline, [f"wamid.unknown.{number}"])
        other.post(meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{number}")])))
    assert [event.message.provider_message_id for event in emitted(pipeline, 20)] == [f"wamid.{n}" for n in range(20)]
    letters(pipeline, 80)
    for tries in range(1, 4):
        told = dlq("redrive", "--tenant", pipeline.tenant_id, "--yes")
        assert len(told["redriven"]) == 60  # no tenant is known of bytes that are no record
        other.post(meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{19 + tries}")])))
        letters(pipeline, 80 + 60 * tries)
    events = emitted(pipeline, 23)
    assert [event.message.provider_message_id for event in events] == [f"wamid.{n}" for n in range(23)]
    assert {event.message.tenant_id for event in events} == {other.tenant_id}
    assert {row["attempt"] for row in listed("--tenant", pipeline.tenant_id, "--limit", "100")} == {4}
    assert listed("--tenant", other.tenant_id) == []
    books = settled(pipeline, 100 + 3 * 61)
    assert sum(books.values()) == 103


def pipeline_sql(pipeline: Pipeline, statement: str, *parameters: Any) -> list[Any]:
    """As the owner: the worker may not read the audit log."""
    import psycopg

    url = pipeline.database.owner_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []
