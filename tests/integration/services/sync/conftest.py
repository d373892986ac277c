"""Other modules' topics, a database with a tenant, and sync (and relay) as real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from shared.adapters.avro import Codec
from shared.adapters.kafka import client_config, full_name
from shared.adapters.snapshots import SnapshotReader
from shared.adapters.topics import apply_topics
from shared.domain.snapshots import FlowSnapshot, OrgUnitSnapshot
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest, cloned_database
from tests.integration.management import Management, management_of
from tests.integration.services.relay.scene import ROOT, RelayProcess
from tests.integration.services.sync.site import EDGE, RELAY, SYNC, Site, site_on

TOPICS = (
    Topic.ORG_UNIT_SNAPSHOT,
    Topic.FLOW_SNAPSHOT,
    Topic.CONNECTOR_SNAPSHOT,
    Topic.ACCOUNT_SNAPSHOT,
    Topic.CONNECTOR_STATUS_CHANGED,
    Topic.SYNC_REQUIRED,
)


class Modules:
    """What `organization` and `automation` publish."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._codec = Codec()
        self._prefix = prefix
        self._producer = Producer({**client_config(bootstrap, "modules"), "enable.idempotence": True, "linger.ms": 0})

    def tell(self, snapshot: OrgUnitSnapshot | FlowSnapshot) -> None:
        """Publish the present state, acknowledged."""
        unit = isinstance(snapshot, OrgUnitSnapshot)
        topic = Topic.ORG_UNIT_SNAPSHOT if unit else Topic.FLOW_SNAPSHOT
        key = snapshot.org_unit_id if isinstance(snapshot, OrgUnitSnapshot) else snapshot.flow_id
        self.write(topic, key, self._codec.encode(topic, snapshot))

    def delete(self, topic: Topic, key: str) -> None:
        """Publish a tombstone."""
        self.write(topic, key, None)

    def write(self, topic: Topic, key: str, value: bytes | None) -> None:
        """Publish bytes as they are."""
        self._producer.produce(full_name(self._prefix, topic), key=key.encode(), value=value)
        assert self._producer.flush(10) == 0


class SyncProcess:
    """`python -m services.sync` as a real process."""

    def __init__(self, bootstrap: str, prefix: str, database: DatabaseUnderTest, log: Path, **settings: str) -> None:
        self._log = log
        self._environment = {
            "PATH": os.environ["PATH"],
            "CHANNELS_STACK": "external",
            "CHANNELS_KAFKA_BOOTSTRAP": bootstrap,
            "CHANNELS_TOPIC_PREFIX": prefix,
            "CHANNELS_DATABASE_API_URL": database.api_url,
            "CHANNELS_DATABASE_WORKER_URL": database.worker_url,
            "CHANNELS_DATABASE_CREDENTIAL_URL": database.credential_url,
            "CHANNELS_KEYS_DIR": str(log.parent / "keys"),
            "CHANNELS_OBJECT_STORE_URL": (log.parent / "objects").as_uri(),
            "CHANNELS_SYNC_OPERATIONS_PORT": "0",
            "CHANNELS_LOG_FORMAT": "json",
            **settings,
        }
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it (again)."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.sync"], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        return self.process

    def log(self) -> str:
        """What it has told so far."""
        return self._log.read_text()


@pytest.fixture
def topics(kafka_bootstrap: str, topic_prefix: str) -> str:
    apply_topics(kafka_bootstrap, topic_prefix, only=TOPICS)
    return topic_prefix


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


@pytest.fixture
def modules(kafka_bootstrap: str, topics: str) -> Modules:
    return Modules(kafka_bootstrap, topics)


@pytest.fixture
def start_sync(
    kafka_bootstrap: str, topics: str, database: DatabaseUnderTest, tmp_path: Path
) -> Iterator[Callable[..., SyncProcess]]:
    started: list[SyncProcess] = []

    def start(**settings: str) -> SyncProcess:
        log = tmp_path / f"sync-{len(started)}.log"
        started.append(SyncProcess(kafka_bootstrap, topics, database, log, **settings))
        return started[-1]

    yield start
    for sync in started:
        sync.process.kill()
        sync.process.wait(10)


@pytest.fixture
def relay(kafka_bootstrap: str, topics: str, database: DatabaseUnderTest, tmp_path: Path) -> Iterator[RelayProcess]:
    relay = RelayProcess(kafka_bootstrap, topics, database.worker_url, tmp_path / "relay.log")
    yield relay
    relay.process.kill()
    relay.process.wait(10)


@pytest.fixture
def reader(kafka_bootstrap: str, topics: str) -> Iterator[SnapshotReader]:
    reader = SnapshotReader(kafka_bootstrap, topics, Codec())
    reader.start()
    assert reader.wait_ready(20)
    yield reader
    reader.stop()


@pytest.fixture
def site(kafka_bootstrap: str, topic_prefix: str, database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Site]:
    """An installation of this test's own; nothing runs yet."""
    with site_on(kafka_bootstrap, topic_prefix, database, tmp_path) as site:
        yield site


@pytest.fixture(scope="module")
def shared_site(
    kafka_bootstrap: str, stack: Any, database_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """One for the tests of a module: a relay, two edges on one port and two processes of sync."""
    with (
        cloned_database(stack.superuser_url, database_template) as database,
        site_on(kafka_bootstrap, f"t{uuid4().hex[:12]}.", database, tmp_path_factory.mktemp("site")) as site,
    ):
        for module in (RELAY, EDGE, EDGE, SYNC, SYNC):
            site.start(module)
        for process in site.processes:
            site.until(lambda process=process: process.ready, "ready")  # type: ignore[misc]
        yield site
