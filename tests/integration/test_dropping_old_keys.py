"""`channels keys drop-old` refuses while anything needs the old key: rows, notices, snapshots in the compacted topic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from services.cli.keys import keys
from shared.adapters.avro import Codec
from shared.adapters.kafka import KAFKA_LOGGER, client_config, full_name
from shared.adapters.snapshots import SnapshotReader
from shared.adapters.topics import apply_topics
from shared.adapters.vault import LocalKeyFiles, Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import NotFound, Unavailable
from shared.domain.snapshots import ConnectorSnapshot
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of
from tests.integration.services.relay.scene import RelayProcess
from tests.waiting import eventually


@pytest.fixture
def management(
    database: DatabaseUnderTest, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Management]:
    told = (Topic.CONNECTOR_SNAPSHOT, Topic.ACCOUNT_SNAPSHOT, Topic.CONNECTOR_STATUS_CHANGED, Topic.SYNC_REQUIRED)
    apply_topics(kafka_bootstrap, topic_prefix, only=told)
    for name, value in {
        "CHANNELS_STACK": "external",
        "CHANNELS_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "CHANNELS_TOPIC_PREFIX": topic_prefix,
        "CHANNELS_DATABASE_OWNER_URL": database.owner_url,
        "CHANNELS_KEYS_DIR": str(tmp_path / "keys"),
    }.items():
        monkeypatch.setenv(name, value)
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(keys, arguments)


def snapshots(kafka_bootstrap: str, topic_prefix: str) -> list[ConnectorSnapshot]:
    reader = SnapshotReader(kafka_bootstrap, topic_prefix, Codec())
    reader.start()
    assert reader.wait_ready(20)
    reader.stop()
    return reader.directory.connectors()


@pytest.mark.req(77)
def test_the_old_key_goes_when_the_last_snapshot_under_it_is_gone(
    management: Management, database: DatabaseUnderTest, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    connector = management.connector()
    relay = RelayProcess(kafka_bootstrap, topic_prefix, database.worker_url, tmp_path / "relay.log")
    try:
        eventually(lambda: not management.read("SELECT 1 FROM outbox"), 30, "the relay does not publish")
        [old] = snapshots(kafka_bootstrap, topic_prefix)
        assert run("rotate", "--new-key-file").exit_code == 0
        eventually(lambda: not management.read("SELECT 1 FROM outbox"), 30, "the relay does not publish")
        [new] = snapshots(kafka_bootstrap, topic_prefix)
        assert (new.ingest_keys[0].key_id, new.ingest_keys[0].wrapped == old.ingest_keys[0].wrapped) == (
            old.ingest_keys[0].key_id,
            False,
        )
    finally:
        relay.process.kill()
        relay.process.wait(10)
    # A snapshot that nobody told anew: of a connector that lives on in the topic alone, such as after a restored backup.
    _publish(kafka_bootstrap, topic_prefix, management.unit, old)
    refused = run("drop-old")
    assert isinstance(refused.exception, Unavailable)
    assert management.unit in str(refused.exception)
    assert (tmp_path / "keys" / "ingest.key").read_text().count("\n") == 2
    _publish(kafka_bootstrap, topic_prefix, management.unit, None)
    assert run("drop-old").output.count("only the newest key is left in") == 2
    assert run("drop-old").output == "there is no older key\n"
    vault = Vault(LocalKeyFiles(tmp_path / "keys", frozenset(KeyPurpose)))
    vault.ring(KeyPurpose.INGEST, management.tenant, new.ingest_keys).warm()  # the newest key opens what a reader is told
    assert new.connector_id == connector


@pytest.mark.req(77)
def test_without_its_topic_nobody_can_tell_and_the_old_key_stays(
    management: Management, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("rotate", "--new-key-file").exit_code == 0
    monkeypatch.setenv("CHANNELS_TOPIC_PREFIX", "elsewhere.")
    assert isinstance(run("drop-old").exception, NotFound)
    assert (tmp_path / "keys" / "ingest.key").read_text().count("\n") == 2


def _publish(bootstrap: str, prefix: str, connector_id: str, snapshot: ConnectorSnapshot | None) -> None:
    producer = Producer(dict(client_config(bootstrap, "test")), logger=KAFKA_LOGGER)
    value = snapshot and Codec().encode(Topic.CONNECTOR_SNAPSHOT, replace(snapshot, connector_id=connector_id))
    producer.produce(full_name(prefix, Topic.CONNECTOR_SNAPSHOT), key=connector_id.encode(), value=value)
    assert producer.flush(10) == 0
