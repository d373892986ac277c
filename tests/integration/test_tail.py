"""`channels tail` against the real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from services.cli.tail import tail
from shared.adapters.avro import Codec
from shared.adapters.kafka import client_config, event_headers, full_name
from shared.adapters.topic_reader import TopicReader
from shared.adapters.topics import apply_topics
from shared.domain.enums import RecordSource
from shared.domain.errors import InvalidInput, NotFound, Unavailable
from shared.domain.records import SyncRequired, WebhookReceived
from shared.domain.topics import Topic

SYNC = Topic.SYNC_REQUIRED
CODEC = Codec()
REPOSITORY = Path(__file__).parents[2]


def _sync(detail: str) -> SyncRequired:
    return SyncRequired(tenant_id="t", connector_id="c", account_id=None, cause="test", detail=detail, requested_at_ms=1)


class Topics:
    """The test's own topics and one transactional producer for them."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        apply_topics(bootstrap, prefix, only=[SYNC, Topic.WEBHOOK_RECEIVED, Topic.ACCOUNT_SNAPSHOT])
        self.bootstrap, self.prefix = bootstrap, prefix
        self._producer = Producer({**client_config(bootstrap, "test"), "transactional.id": f"{prefix}test"})
        self._producer.init_transactions(10)

    def write(self, topic: Topic, values: list[tuple[str, bytes | None]], *, commit: bool = True) -> None:
        self._producer.begin_transaction()
        for key, value in values:
            headers = event_headers(event_id="1", event_type=topic.value, source="test", subject=key, time_ms=1)
            self._producer.produce(full_name(self.prefix, topic), value, key, headers=list(headers))
        assert self._producer.flush(10) == 0
        if commit:
            self._producer.commit_transaction(10)
        else:
            self._producer.abort_transaction(10)

    def write_syncs(self, details: list[str], *, key: str = "c", commit: bool = True) -> None:
        self.write(SYNC, [(key, CODEC.encode(SYNC, _sync(detail))) for detail in details], commit=commit)


@pytest.fixture
def written(kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Topics:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHANNELS_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("CHANNELS_TOPIC_PREFIX", topic_prefix)
    return Topics(kafka_bootstrap, topic_prefix)


def _tail(*arguments: str) -> Result:
    return CliRunner().invoke(tail, list(arguments), catch_exceptions=True)


def _details(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["value"]["detail"] for line in result.stdout.splitlines()]


def test_the_last_committed_records_come_decoded_and_in_order(written: Topics) -> None:
    written.write_syncs([f"n{number}" for number in range(8)])
    written.write_syncs([f"aborted{number}" for number in range(40)], commit=False)
    written.write_syncs(["n8"])
    assert _details(_tail(SYNC.value, "--json", "-n", "3")) == ["n6", "n7", "n8"]
    assert _details(_tail(SYNC.value, "--json", "-n", "100")) == [f"n{number}" for number in range(9)]
    assert _details(_tail(SYNC.value, "--json", "-n", "0")) == []


def test_only_one_key_is_shown_however_far_back(written: Topics) -> None:
    written.write_syncs(["mine"], key="a")
    written.write_syncs([f"other{number}" for number in range(50)], key="b")
    assert _details(_tail(SYNC.value, "--json", "-n", "1", "--key", "a")) == ["mine"]


def test_the_last_records_of_many_partitions_are_the_last_by_time(written: Topics) -> None:
    for number in range(30):
        record = WebhookReceived(
            record_id=str(number),
            source=RecordSource.WEBHOOK,
            tenant_id="t",
            connector_id="c",
            url_account_id=None,
            received_at_ms=number,
            headers={},
            secret_id=None,
            body_size_bytes=1,
            sealed_body=b"sealed",
        )
        key = "busy" if number % 10 else f"rare{number}"
        written.write(Topic.WEBHOOK_RECEIVED, [(key, CODEC.encode(Topic.WEBHOOK_RECEIVED, record))])
    lines = [json.loads(line) for line in _tail(Topic.WEBHOOK_RECEIVED.value, "--json", "-n", "12").stdout.splitlines()]
    assert [line["value"]["record_id"] for line in lines] == [str(number) for number in range(18, 30)]
    assert len({line["partition"] for line in lines}) > 1
    assert lines[0]["value"]["sealed_body"] == "<sealed 6 bytes>"


def test_a_line_for_people_has_position_type_key_and_value(written: Topics) -> None:
    written.write_syncs(["número"])
    head, value = _tail(SYNC.value).stdout.splitlines()
    assert head.split()[1:] == ["0/0", "channel.account.sync_required", "key=c"]
    assert json.loads(value) == {
        "tenant_id": "t", "connector_id": "c", "cause": "test", "detail": "número", "requested_at_ms": 1
    }  # fmt: skip


def test_what_cannot_be_decoded_says_so_and_its_neighbours_are_shown(written: Topics) -> None:
    written.write(SYNC, [("x", b"junk")])
    written.write_syncs(["fine"])
    result = _tail(SYNC.value)
    assert "cannot be decoded: channel.account.sync_required: 4 bytes without an Avro header" in result.stdout
    assert "fine" in result.stdout


def test_a_deletion_is_shown(written: Topics) -> None:
    written.write(Topic.ACCOUNT_SNAPSHOT, [("gone", None)])
    assert _tail(Topic.ACCOUNT_SNAPSHOT.value).stdout.splitlines()[1].strip() == "deleted"


def test_read_all_gives_every_committed_record(written: Topics) -> None:
    written.write_syncs(["a", "b"])
    written.write_syncs(["never"], commit=False)
    with TopicReader(written.bootstrap, full_name(written.prefix, SYNC)) as reader:
        records = reader.read_all()
    assert [CODEC.decode(SYNC, record.value or b"").detail for record in records] == ["a", "b"]
    assert records[0].headers["ce_subject"] == "c"


def test_an_unknown_topic_lists_the_known_ones(written: Topics) -> None:
    error = _tail("message.recieved").exception
    assert isinstance(error, InvalidInput)
    assert "no topic 'message.recieved'" in str(error)
    assert all(topic.value in str(error) for topic in Topic)


def test_a_topic_that_is_not_created_says_how_to_create_it(written: Topics) -> None:
    error = _tail(Topic.AUDIT.value).exception
    assert isinstance(error, NotFound)
    assert "`channels topics apply` creates it" in str(error)


def test_an_unreachable_broker_says_what_to_do() -> None:
    with TopicReader("127.0.0.1:1", "x", timeout_seconds=1) as reader, pytest.raises(Unavailable, match="`channels up`"):
        reader.read_all()


def test_follow_prints_new_records_until_interrupted(written: Topics) -> None:
    written.write_syncs(["before"])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "services.cli", "tail", SYNC.value, "-f", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        try:
            first: dict[str, Any] = json.loads(process.stdout.readline())
            written.write_syncs(["after"])
            second: dict[str, Any] = json.loads(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            watchdog.cancel()
            process.kill()
    assert (first["value"]["detail"], second["value"]["detail"]) == ("before", "after")
    assert second["offset"] > first["offset"]
