"""The relay killed, frozen, or cut off: nothing lost, nothing doubled, no version goes back."""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from services.relay.decide import plan_batch
from shared.adapters.avro import Codec
from shared.adapters.numbered_publisher import NumberedPublisher, OutgoingRecord, PublisherIdentity
from shared.adapters.outbox import RelayLease
from shared.adapters.snapshots import SnapshotReader
from shared.adapters.topics import apply_topics
from shared.domain.enums import ConnectorStatus
from shared.domain.topics import Topic
from shared.management.installation import prepare_database
from shared.providers import provider_of
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.relay.conftest import RELAY_TOPICS
from tests.integration.services.relay.scene import RelayProcess, Scene, read_committed, scene_of
from tests.waiting import eventually

StartRelay = Callable[..., RelayProcess]

CHANGES = 200
STATES = (ConnectorStatus.ERROR, ConnectorStatus.PENDING)


def published_changes(kafka_bootstrap: str, prefix: str, codec: Codec) -> list[str]:
    messages = read_committed(kafka_bootstrap, prefix, Topic.CONNECTOR_STATUS_CHANGED)
    return [codec.decode(Topic.CONNECTOR_STATUS_CHANGED, message.value() or b"").change_id for message in messages]


def assert_versions_never_go_back(kafka_bootstrap: str, prefix: str, codec: Codec) -> None:
    versions: dict[str, list[int]] = {}
    for message in read_committed(kafka_bootstrap, prefix, Topic.CONNECTOR_SNAPSHOT):
        snapshot = codec.decode(Topic.CONNECTOR_SNAPSHOT, message.value() or b"")
        versions.setdefault(snapshot.connector_id, []).append(snapshot.version)
    assert versions
    for seen in versions.values():
        assert seen == sorted(seen)


@pytest.mark.req(68)
def test_a_relay_killed_again_and_again_tells_each_change_exactly_once(
    scene: Scene, start_relay: StartRelay, kafka_bootstrap: str, topics: str, codec: Codec
) -> None:
    connectors = [scene.add_connector() for _ in range(4)]
    relay = start_relay(CHANNELS_RELAY_BATCH_ROWS="7")  # many small transactions: more places to die in
    eventually(lambda: scene.outbox() == [], 20)
    changes: dict[str, list[str]] = {connector: [] for connector in connectors}

    killed_enough = threading.Event()

    def change() -> None:
        for number in itertools.count():
            if number >= CHANGES and killed_enough.is_set():  # there is work for the relay until the last kill
                return
            connector = connectors[number % len(connectors)]
            changes[connector].append(scene.change_status(connector, STATES[number // len(connectors) % 2]))

    def kills() -> Iterator[float]:
        chance = random.Random(68)
        for _ in range(6):
            yield chance.uniform(0.0, 0.25)

    writer = threading.Thread(target=change)
    writer.start()
    for pause in kills():
        published = relay.log().count("batch_published")
        eventually(lambda published=published: relay.log().count("batch_published") > published, 20)  # type: ignore[misc]
        time.sleep(pause)  # the instant of death is the point here
        relay.process.kill()
        relay.process.wait(10)
        relay.start()
    killed_enough.set()
    writer.join(60)
    assert not writer.is_alive()
    eventually(lambda: scene.outbox() == [], 60)

    told = published_changes(kafka_bootstrap, topics, codec)
    assert len(told) == sum(len(made) for made in changes.values()) >= CHANGES
    assert max(Counter(told).values()) == 1
    for connector in connectors:
        ours = set(changes[connector])
        assert [change_id for change_id in told if change_id in ours] == changes[connector]
    assert_versions_never_go_back(kafka_bootstrap, topics, codec)


@pytest.mark.req(68)
@pytest.mark.parametrize("published", [True, False])
def test_a_relay_that_dies_between_two_steps_is_taken_up_where_it_was(
    published: bool,
    scene: Scene,
    start_relay: StartRelay,
    database: DatabaseUnderTest,
    kafka_bootstrap: str,
    topics: str,
    codec: Codec,
) -> None:
    change_id = scene.change_status(scene.add_connector(), ConnectorStatus.ERROR)
    lease = RelayLease(database.worker_url)
    name, number_topic = f"{topics}channels-relay", f"{topics}{Topic.CONNECTOR_SNAPSHOT}"
    publisher = NumberedPublisher(PublisherIdentity(bootstrap=kafka_bootstrap, name=name, number_topic=number_topic))
    with lease.acquired() as outbox:
        assert outbox is not None
        number = outbox.recover(publisher.open()) + 1
        with outbox.batch(number, 500) as batch:
            publications, _ = plan_batch(batch.notices, batch.rows, provider_of)
        records = [
            OutgoingRecord(
                topic=f"{topics}{one.topic}",
                key=one.key.encode(),
                value=None if one.value is None else codec.encode(one.topic, one.value),
                headers=(),
            )
            for one in publications
        ]
        if published:
            publisher.publish(records, number)
    # here it dies: the rows are stamped, and lie there
    publisher.close()
    lease.close()
    assert {row[1] for row in scene.outbox()} == {number}
    start_relay()
    eventually(lambda: scene.outbox() == [], 20)
    assert published_changes(kafka_bootstrap, topics, codec) == [change_id]


@pytest.mark.req(68)
def test_a_frozen_relay_is_replaced_and_fenced_when_it_wakes(
    scene: Scene,
    start_relay: StartRelay,
    reader: SnapshotReader,
    kafka_bootstrap: str,
    topics: str,
    codec: Codec,
    record_property: Callable[[str, object], None],
) -> None:
    connector = scene.add_connector()
    old = start_relay(CHANNELS_RELAY_BATCH_ROWS="1")
    eventually(lambda: scene.outbox() == [], 20)
    standby = start_relay()
    eventually(lambda: '"standby"' in standby.log(), 20)

    changes = [scene.change_status(connector, STATES[number % 2]) for number in range(30)]
    eventually(lambda: len(scene.outbox()) < 50)  # it is in the middle of them
    old.process.send_signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    changes.append(scene.change_status(connector, ConnectorStatus.ERROR))
    took = eventually(lambda: scene.outbox() == [], 15)
    record_property("takeover_of_a_frozen_relay_seconds", round(took, 1))
    print(f"takeover of a frozen relay: {took:.1f} s")
    assert '"active"' in standby.log()

    old.process.send_signal(signal.SIGCONT)
    changes += [scene.change_status(connector, STATES[number % 2]) for number in range(30)]
    eventually(lambda: scene.outbox() == [], 15)
    eventually(lambda: old.log().count('"standby"') == 1, 15)
    assert time.monotonic() > frozen_at
    assert published_changes(kafka_bootstrap, topics, codec) == changes
    assert_versions_never_go_back(kafka_bootstrap, topics, codec)
    found = reader.directory.connector(connector)
    assert found is not None
    assert found.version == 1 + len(changes)


def test_a_killed_relay_is_replaced_at_once(scene: Scene, start_relay: StartRelay) -> None:
    old = start_relay()
    scene.add_connector()
    eventually(lambda: scene.outbox() == [], 20)
    standby = start_relay()
    eventually(lambda: '"standby"' in standby.log(), 20)
    old.process.kill()
    scene.add_connector()
    took = eventually(lambda: scene.outbox() == [], 15)
    print(f"takeover of a killed relay: {took:.1f} s")


def test_a_session_that_was_cut_is_replaced(scene: Scene, start_relay: StartRelay, database: DatabaseUnderTest) -> None:
    relay = start_relay()
    scene.add_connector()
    eventually(lambda: scene.outbox() == [], 20)
    cut_sessions(database, "channels-relay")
    scene.add_connector()
    eventually(lambda: scene.outbox() == [], 15)
    assert relay.process.poll() is None
    assert '"postgresql"' in relay.log()


def cut_sessions(database: DatabaseUnderTest, application: str) -> None:
    """End the sessions of one program, as a failover would."""
    import psycopg

    with psycopg.connect(database.superuser_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = %s",
            (database.name, application),
        )


def test_postgresql_and_kafka_may_go_away_and_come_back(tmp_path: Path, codec: Codec, topic_prefix: str) -> None:
    stack = LocalStack(tmp_path / "home")
    relay = None
    try:
        addresses = stack.start()
        urls = prepare_database(addresses.superuser_url, "channels")
        apply_topics(addresses.kafka_bootstrap, topic_prefix, only=RELAY_TOPICS)
        database = DatabaseUnderTest(
            name="channels",
            superuser_url=addresses.superuser_url,
            **{name.removeprefix("database_"): url for name, url in urls.items()},
        )
        with scene_of(database) as scene:
            connector = scene.add_connector()
            relay = RelayProcess(addresses.kafka_bootstrap, topic_prefix, database.worker_url, tmp_path / "relay.log")
            eventually(lambda: scene.outbox() == [], 20)
            changes = [scene.change_status(connector, ConnectorStatus.ERROR)]
            stack.kafka.stop()
            changes.append(scene.change_status(connector, ConnectorStatus.PENDING))
            eventually(lambda: '"kafka"' in relay.log(), 20)
            stack.kafka.start(same_address=True)
            eventually(lambda: scene.outbox() == [], 30)
            stack.postgres.stop()
            eventually(lambda: '"postgresql"' in relay.log(), 20)
            stack.postgres.start()
            changes.append(scene.change_status(connector, ConnectorStatus.ERROR))
            eventually(lambda: scene.outbox() == [], 30)
            assert relay.end() == 0
        assert published_changes(addresses.kafka_bootstrap, topic_prefix, codec) == changes
    finally:
        if relay is not None:
            relay.process.kill()
            relay.process.wait(10)
        stack.stop()
