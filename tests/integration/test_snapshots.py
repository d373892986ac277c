"""The snapshot reader against a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local.stack import LocalStack
from shared.adapters.avro import Codec
from shared.adapters.kafka import client_config, full_name
from shared.adapters.snapshots import SnapshotReader
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot
from shared.domain.topics import Topic
from tests.waiting import eventually

CODEC = Codec()
CONNECTOR = ConnectorSnapshot(
    version=1,
    connector_id="c1",
    tenant_id="t1",
    tipo=ConnectorType.WHATSAPP_OFFICIAL,
    status=ConnectorStatus.ACTIVE,
    config="{}",
    webhooks=(),
    ingest_keys=(),
)
ACCOUNT = AccountSnapshot(
    version=1,
    account_id="a1",
    connector_id="c1",
    tenant_id="t1",
    identidade="5511900000001",
    status=AccountStatus.ACTIVE,
    account_refs=("phone_number_id:1",),
    org_unit_id="u1",
    intake_flow_id=None,
    intake_flow_usable=False,
)


class Publisher:
    """Writes snapshots as the relay does: one Kafka transaction for each call."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.prefix = prefix
        self.producer = Producer({**client_config(bootstrap, "test"), "transactional.id": f"{prefix}test", "linger.ms": 0})
        self.producer.init_transactions(20)

    def produce(self, *snapshots: ConnectorSnapshot | AccountSnapshot) -> None:
        for snapshot in snapshots:
            if isinstance(snapshot, ConnectorSnapshot):
                self.raw(Topic.CONNECTOR_SNAPSHOT, snapshot.connector_id, CODEC.encode(Topic.CONNECTOR_SNAPSHOT, snapshot))
            else:
                self.raw(Topic.ACCOUNT_SNAPSHOT, snapshot.account_id, CODEC.encode(Topic.ACCOUNT_SNAPSHOT, snapshot))

    def raw(self, topic: Topic, key: str | bytes, value: bytes | None) -> None:
        self.producer.produce(full_name(self.prefix, topic), key=key, value=value)

    def publish(self, *snapshots: ConnectorSnapshot | AccountSnapshot) -> None:
        self.producer.begin_transaction()
        self.produce(*snapshots)
        self.producer.commit_transaction(20)

    def publish_raw(self, topic: Topic, key: str | bytes, value: bytes | None) -> None:
        self.producer.begin_transaction()
        self.raw(topic, key, value)
        self.producer.commit_transaction(20)


def create_topics(bootstrap: str, prefix: str) -> None:
    admin = AdminClient({**client_config(bootstrap, "test")})
    topics = [
        NewTopic(full_name(prefix, topic), 3, 1, config={"cleanup.policy": "compact"})
        for topic in (Topic.CONNECTOR_SNAPSHOT, Topic.ACCOUNT_SNAPSHOT)
    ]
    for future in admin.create_topics(topics).values():
        future.result(20)


@pytest.fixture
def publisher(kafka_bootstrap: str, topic_prefix: str) -> Publisher:
    create_topics(kafka_bootstrap, topic_prefix)
    return Publisher(kafka_bootstrap, topic_prefix)


@pytest.fixture
def changes() -> list[tuple[str, ConnectorSnapshot | None]]:
    return []


@pytest.fixture
def reader(
    kafka_bootstrap: str, topic_prefix: str, changes: list[tuple[str, ConnectorSnapshot | None]]
) -> Iterator[SnapshotReader]:
    reader = SnapshotReader(
        kafka_bootstrap, topic_prefix, CODEC, lambda connector_id, snapshot: changes.append((connector_id, snapshot))
    )
    yield reader
    reader.stop()


def test_what_was_published_before_is_there_when_ready(publisher: Publisher, reader: SnapshotReader) -> None:
    publisher.publish(*[replace(CONNECTOR, connector_id=f"c{n}") for n in range(50)])
    publisher.publish(*[replace(ACCOUNT, account_id=f"a{n}", account_refs=(f"phone_number_id:{n}",)) for n in range(500)])
    publisher.publish_raw(Topic.CONNECTOR_SNAPSHOT, "c7", None)
    assert not reader.ready
    reader.start()
    assert reader.wait_ready(20)
    assert {snapshot.connector_id for snapshot in reader.directory.connectors()} == {f"c{n}" for n in range(50)} - {"c7"}
    assert reader.directory.account_count == 500
    found = reader.directory.account_by_ref("c1", "phone_number_id:499")
    assert found is not None
    assert found.account_id == "a499"


def test_empty_topics_are_ready_at_once(publisher: Publisher, reader: SnapshotReader) -> None:
    reader.start()
    assert reader.wait_ready(20)
    assert reader.directory.connectors() == []


def test_changes_deletions_and_stale_versions(
    publisher: Publisher, reader: SnapshotReader, changes: list[tuple[str, ConnectorSnapshot | None]]
) -> None:
    publisher.publish(CONNECTOR, ACCOUNT)
    reader.start()
    assert reader.wait_ready(20)

    newer = replace(CONNECTOR, version=3, status=ConnectorStatus.ERROR)
    publisher.publish(newer, replace(ACCOUNT, version=2, account_refs=("phone_number_id:2",)))
    waited = eventually(lambda: reader.directory.account_by_ref("c1", "phone_number_id:2") is not None)
    assert waited < 2
    assert reader.directory.account_by_ref("c1", "phone_number_id:1") is None
    eventually(lambda: reader.directory.connector("c1") == newer)

    stale = replace(CONNECTOR, version=2)
    after = replace(CONNECTOR, version=1, connector_id="c1-after")
    publisher.publish(stale, after)
    publisher.publish(stale, replace(ACCOUNT, version=1))
    publisher.publish_raw(Topic.ACCOUNT_SNAPSHOT, "a1", None)
    publisher.publish_raw(Topic.CONNECTOR_SNAPSHOT, "c1", None)
    eventually(lambda: reader.directory.connector("c1") is None and reader.directory.account("a1") is None)
    assert reader.directory.account_by_ref("c1", "phone_number_id:2") is None
    eventually(lambda: reader.directory.connector("c1-after") == after)
    of_c1 = [snapshot for connector_id, snapshot in changes if connector_id == "c1"]
    assert of_c1 == [CONNECTOR, newer, None]


def test_undecodable_records_are_skipped_and_counted(publisher: Publisher, reader: SnapshotReader) -> None:
    publisher.publish_raw(Topic.CONNECTOR_SNAPSHOT, "c0", b"")
    publisher.publish_raw(Topic.CONNECTOR_SNAPSHOT, "c0", b"\xc3\x01garbage")
    publisher.publish_raw(Topic.CONNECTOR_SNAPSHOT, b"\xff\xfe", b"x")
    publisher.publish_raw(Topic.CONNECTOR_SNAPSHOT, "another", CODEC.encode(Topic.CONNECTOR_SNAPSHOT, CONNECTOR))
    publisher.publish_raw(Topic.ACCOUNT_SNAPSHOT, "a1", CODEC.encode(Topic.CONNECTOR_SNAPSHOT, CONNECTOR))
    publisher.publish(CONNECTOR)
    reader.start()
    assert reader.wait_ready(20)
    assert reader.directory.connectors() == [CONNECTOR]
    assert reader.undecodable == 5


def test_what_an_aborted_transaction_wrote_is_not_seen(
    publisher: Publisher, reader: SnapshotReader, kafka_bootstrap: str
) -> None:
    publisher.publish(CONNECTOR)
    publisher.producer.begin_transaction()
    publisher.produce(replace(CONNECTOR, version=2))
    publisher.producer.flush(20)
    reader.start()
    assert reader.wait_ready(20), "an open transaction must not keep a reader from being ready"
    assert reader.directory.connector("c1") == CONNECTOR
    publisher.producer.abort_transaction(20)
    publisher.publish(replace(CONNECTOR, version=3))
    eventually(lambda: (found := reader.directory.connector("c1")) is not None and found.version == 3)


def test_a_listener_that_fails_does_not_stop_the_reader(kafka_bootstrap: str, topic_prefix: str, publisher: Publisher) -> None:
    def fail(connector_id: str, snapshot: ConnectorSnapshot | None) -> None:
        raise RuntimeError("listener")

    reader = SnapshotReader(kafka_bootstrap, topic_prefix, CODEC, fail)
    publisher.publish(CONNECTOR)
    reader.start()
    try:
        assert reader.wait_ready(20)
        publisher.publish(replace(CONNECTOR, version=2))
        eventually(lambda: (found := reader.directory.connector("c1")) is not None and found.version == 2)
    finally:
        reader.stop()


def test_a_reader_waits_for_topics_that_do_not_exist_yet(reader: SnapshotReader, kafka_bootstrap: str, topic_prefix: str) -> None:
    reader.start()
    assert not reader.wait_ready(0.5)
    create_topics(kafka_bootstrap, topic_prefix)
    Publisher(kafka_bootstrap, topic_prefix).publish(CONNECTOR)
    eventually(lambda: reader.directory.connector("c1") == CONNECTOR, 20)
    assert reader.wait_ready(10)


def test_a_reader_serves_on_while_the_broker_is_away_and_reads_on_after(topic_prefix: str, tmp_path: Path) -> None:
    broker = LocalStack(tmp_path).kafka
    reader = None
    try:
        bootstrap = broker.start()
        create_topics(bootstrap, topic_prefix)
        Publisher(bootstrap, topic_prefix).publish(CONNECTOR, ACCOUNT)
        reader = SnapshotReader(bootstrap, topic_prefix, CODEC)
        reader.start()
        assert reader.wait_ready(20)
        broker.stop()
        assert reader.ready
        assert reader.directory.connector("c1") == CONNECTOR
        assert reader.directory.account_by_ref("c1", "phone_number_id:1") == ACCOUNT
        assert broker.start(same_address=True) == bootstrap
        Publisher(bootstrap, topic_prefix).publish(replace(CONNECTOR, version=2))
        eventually(lambda: (found := reader.directory.connector("c1")) is not None and found.version == 2, 20)
        assert reader.directory.account("a1") == ACCOUNT
    finally:
        if reader is not None:
            reader.stop()
        broker.stop()
