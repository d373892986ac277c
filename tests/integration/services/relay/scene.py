"""A configuration in the database, changed as the use cases change it: row, version and outbox notice in one transaction."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from sqlalchemy import Engine, delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.kafka import client_config, full_name
from shared.adapters.tables import (
    AutomationFlow,
    ChannelAccount,
    ChannelConnector,
    DataKey,
    OrgUnit,
    Outbox,
    Tenant,
)
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.waiting import allowed

ROOT = Path(__file__).parents[4]


@dataclass(slots=True)
class Scene:
    """One tenant with a unit and a flow, and as many connectors and accounts as a test makes."""

    engine: Engine
    tenant_id: str = field(default_factory=new_uuid7)
    org_unit_id: str = field(default_factory=new_uuid7)
    flow_id: str = field(default_factory=new_uuid7)

    def __post_init__(self) -> None:
        with unit_of_work(self.engine, tenant_id=self.tenant_id) as session:
            session.execute(insert(Tenant).values(id=self.tenant_id, name="tenant"))
            session.execute(insert(OrgUnit).values(id=self.org_unit_id, tenant_id=self.tenant_id, name="unit"))
            session.execute(
                insert(AutomationFlow).values(
                    id=self.flow_id, tenant_id=self.tenant_id, name="flow", category="intake", published=True
                )
            )
            session.commit()

    def add_connector(self, **values: Any) -> str:
        """A pending connector with its first snapshot notice."""
        connector_id = new_uuid7()
        with unit_of_work(self.engine, tenant_id=self.tenant_id) as session:
            row = {
                "tipo": ConnectorType.WHATSAPP_OFFICIAL,
                "nome": "c",
                "config": {"waba_id": "1"},
                "status": ConnectorStatus.PENDING,
            }
            session.execute(insert(ChannelConnector).values(id=connector_id, tenant_id=self.tenant_id, **(row | values)))
            notify(session, Topic.CONNECTOR_SNAPSHOT, connector_id)
            session.commit()
        return connector_id

    def add_account(self, connector_id: str, phone_number_id: str | None, **values: Any) -> str:
        """A pending account with its first snapshot notice; without a number id its snapshot cannot be built."""
        account_id = new_uuid7()
        with unit_of_work(self.engine, tenant_id=self.tenant_id) as session:
            config = {} if phone_number_id is None else {"phone_number_id": phone_number_id}
            row = {"identidade": f"551190000{uuid.uuid4().int % 10_000:04}", "status": AccountStatus.PENDING, "config": config}
            route = {"org_unit_id": self.org_unit_id}
            session.execute(insert(ChannelAccount).values(id=account_id, connector_id=connector_id, **(row | route | values)))
            notify(session, Topic.ACCOUNT_SNAPSHOT, account_id)
            session.commit()
        return account_id

    def add_data_key(self, purpose: str, wrapped: str, *, age_seconds: int = 0, retired: bool = False) -> str:
        """A data key made `age_seconds` ago."""
        key_id = new_uuid7()
        created = func.now() - text(f"interval '{age_seconds} seconds'")
        row = {"key_id": key_id, "tenant_id": self.tenant_id, "purpose": purpose, "wrapped": wrapped, "created_at": created}
        with unit_of_work(self.engine, tenant_id=self.tenant_id) as session:
            session.execute(insert(DataKey).values(**row, retired_at=func.now() if retired else None))
            session.commit()
        return key_id

    def change_account(self, account_id: str, **values: Any) -> None:
        """Change a row, with its notice."""
        with unit_of_work(self.engine, tenant_id=self.tenant_id) as session:
            session.execute(update(ChannelAccount).where(ChannelAccount.id == account_id).values(**values))
            notify(session, Topic.ACCOUNT_SNAPSHOT, account_id)
            session.commit()

    def delete_account(self, account_id: str) -> None:
        """Delete a row, with its notice."""
        with unit_of_work(self.engine, tenant_id=self.tenant_id) as session:
            session.execute(delete(ChannelAccount).where(ChannelAccount.id == account_id))
            notify(session, Topic.ACCOUNT_SNAPSHOT, account_id)
            session.commit()

    def change_status(self, connector_id: str, status: ConnectorStatus, *, commit: bool = True) -> str:
        """Change a connector's status as the use case does; returns the change's id."""
        with unit_of_work(self.engine, tenant_id=self.tenant_id) as session:
            change_id = change_status(session, connector_id, status)
            if commit:
                session.commit()
        return change_id

    def outbox(self) -> list[tuple[str, int | None]]:
        """(topic, batch number) of every row."""
        with unit_of_work(self.engine, tenant_id=self.tenant_id) as session:
            return [(row.topic, row.batch_number) for row in session.execute(select(Outbox.topic, Outbox.batch_number))]


def change_status(session: Session, connector_id: str, status: ConnectorStatus) -> str:
    """Lock, change, and leave both notices: the present state and the event."""
    change_id = new_uuid7()
    old = session.execute(
        select(ChannelConnector.status).where(ChannelConnector.id == connector_id).with_for_update()
    ).scalar_one()
    session.execute(update(ChannelConnector).where(ChannelConnector.id == connector_id).values(status=status))
    notify(session, Topic.CONNECTOR_SNAPSHOT, connector_id)
    detail = {
        "change_id": change_id,
        "old_status": old.value,
        "new_status": status.value,
        "cause": "test",
        "actor": "tester",
        "changed_at_ms": int(time.time() * 1000),
    }
    session.execute(insert(Outbox).values(topic=Topic.CONNECTOR_STATUS_CHANGED.value, subject_id=connector_id, detail=detail))
    return change_id


def notify(session: Session, topic: Topic, subject_id: str) -> None:
    """Count the version and leave the notice."""
    kind = "account" if topic is Topic.ACCOUNT_SNAPSHOT else "connector"
    session.execute(
        text(
            "INSERT INTO snapshot_version (subject_id, kind, version) VALUES (:id, :kind, 1)"
            " ON CONFLICT (subject_id) DO UPDATE SET version = snapshot_version.version + 1"
        ),
        {"id": subject_id, "kind": kind},
    )
    session.execute(insert(Outbox).values(topic=topic.value, subject_id=subject_id))


@contextmanager
def scene_of(database: DatabaseUnderTest) -> Iterator[Scene]:
    """A scene, logged in as the role of the use cases."""
    engine = create_engine_for(database.api_url)
    try:
        yield Scene(engine)
    finally:
        engine.dispose()


class RelayProcess:
    """`python -m services.relay` as a real process."""

    def __init__(
        self,
        kafka_bootstrap: str,
        topic_prefix: str,
        worker_url: str,
        log: Path,
        *,
        module: str = "services.relay",
        **settings: str,
    ) -> None:
        self._log = log
        self._module = module
        self._environment = {
            "PATH": os.environ["PATH"],
            "CHANNELS_STACK": "external",
            "CHANNELS_KAFKA_BOOTSTRAP": kafka_bootstrap,
            "CHANNELS_TOPIC_PREFIX": topic_prefix,
            "CHANNELS_DATABASE_WORKER_URL": worker_url,
            "CHANNELS_RELAY_OPERATIONS_PORT": "0",
            "CHANNELS_LOG_FORMAT": "json",
            **settings,
        }
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it (again)."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self._module], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        return self.process

    def log(self) -> str:
        """What it has told so far."""
        return self._log.read_text()

    def end(self, deadline_seconds: float = 15) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(deadline_seconds)
        finally:
            self.process.kill()
            self.process.wait()


def read_committed(bootstrap: str, prefix: str, topic: Topic) -> list[Message]:
    """Every record that a read_committed reader sees in the topic now, in order within each of its partitions."""
    consumer = Consumer(
        {
            **client_config(bootstrap, "test"),
            "group.id": f"{prefix}test-{uuid.uuid4().hex}",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    name = full_name(prefix, topic)
    found: list[Message] = []
    deadline = time.monotonic() + allowed(20)
    try:
        unread = set(consumer.list_topics(name, 20).topics[name].partitions)
        assert unread, f"{name} does not exist"
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for partition in unread])
        while unread and time.monotonic() < deadline:
            for message in consumer.consume(500, 0.1):
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
        if not unread:
            return found
    finally:
        consumer.close()
    raise AssertionError(f"{topic} was not read to its end")
