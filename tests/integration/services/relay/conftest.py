"""One scene, one prefix of topics and any number of relay processes per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.adapters.avro import Codec
from shared.adapters.snapshots import SnapshotReader
from shared.adapters.topics import apply_topics
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.relay.scene import RelayProcess, Scene, scene_of

RELAY_TOPICS = (
    *(Topic.CONNECTOR_SNAPSHOT, Topic.ACCOUNT_SNAPSHOT, Topic.CONNECTOR_STATUS_CHANGED, Topic.TOKEN_EXPIRING),
    Topic.SYNC_REQUIRED,
)


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec()


@pytest.fixture
def topics(kafka_bootstrap: str, topic_prefix: str) -> str:
    apply_topics(kafka_bootstrap, topic_prefix, only=RELAY_TOPICS)
    return topic_prefix


@pytest.fixture
def scene(database: DatabaseUnderTest) -> Iterator[Scene]:
    with scene_of(database) as scene:
        yield scene


@pytest.fixture
def start_relay(
    kafka_bootstrap: str, topics: str, database: DatabaseUnderTest, tmp_path: Path
) -> Iterator[Callable[..., RelayProcess]]:
    started: list[RelayProcess] = []

    def start(**settings: str) -> RelayProcess:
        log = tmp_path / f"relay-{len(started)}.log"
        started.append(RelayProcess(kafka_bootstrap, topics, database.worker_url, log, **settings))
        return started[-1]

    yield start
    for relay in started:
        relay.process.kill()
        relay.process.wait(10)


@pytest.fixture
def reader(kafka_bootstrap: str, topics: str, codec: Codec) -> Iterator[SnapshotReader]:
    reader = SnapshotReader(kafka_bootstrap, topics, codec)
    reader.start()
    assert reader.wait_ready(20)
    yield reader
    reader.stop()
