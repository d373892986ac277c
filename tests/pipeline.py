"""One installation under test: its topics, its database, one simulated Meta connector with two numbers.

It writes what ingest and relay would write (snapshots, sealed raw records), so that the router can be tested alone, and
reads topics as an independent `read_committed` consumer would.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from shared.adapters.avro import Codec
from shared.adapters.clock import new_uuid7
from shared.adapters.kafka import KAFKA_LOGGER, client_config, event_headers, full_name
from shared.adapters.object_store import ObjectStore
from shared.adapters.raw_body import LARGE_BODY_BYTES, body_aad, body_reference
from shared.adapters.topics import apply_topics
from shared.adapters.vault import KeyRing, LocalKeyFiles, Vault
from shared.domain.enums import (
    AccountStatus,
    ConnectorStatus,
    ConnectorType,
    KeyPurpose,
    RecordSource,
)
from shared.domain.records import RawPosition, WebhookReceived
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot, WrappedDataKey
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest

UNIT_NUMBER, FLOW_NUMBER = "100000000000001", "100000000000002"


@dataclass(slots=True)
class Read:
    """One record as a consumer sees it."""

    partition: int
    offset: int
    key: str | None
    headers: dict[str, bytes]
    event: Any


@dataclass
class Pipeline:
    """The installation; build it with `Pipeline.create`."""

    bootstrap: str
    prefix: str
    database: DatabaseUnderTest
    keys_dir: Path
    objects_dir: Path
    partitions: int = 1
    tenant_id: str = field(default_factory=new_uuid7)
    connector_id: str = field(default_factory=new_uuid7)
    unit_id: str = field(default_factory=new_uuid7)
    flow_id: str = field(default_factory=new_uuid7)
    unit_account_id: str = field(default_factory=new_uuid7)
    flow_account_id: str = field(default_factory=new_uuid7)
    codec: Codec = field(init=False)
    vault: Vault = field(init=False)
    data_key: WrappedDataKey = field(init=False)
    objects: ObjectStore = field(init=False)
    producer: Producer = field(init=False)

    @classmethod
    def create(
        cls, bootstrap: str, prefix: str, database: DatabaseUnderTest, directory: Path, *, partitions: int = 1
    ) -> Pipeline:
        """Topics applied, rows and snapshots written."""
        pipeline = cls(bootstrap, prefix, database, directory / "keys", directory / "objects", partitions)
        pipeline.codec = Codec()
        apply_topics(bootstrap, prefix, partitions=dict.fromkeys(Topic, 1) | {Topic.WEBHOOK_RECEIVED: partitions})
        LocalKeyFiles.create(pipeline.keys_dir)
        pipeline.vault = Vault(LocalKeyFiles(pipeline.keys_dir, frozenset({KeyPurpose.INGEST})))
        pipeline.data_key = pipeline.vault.new_data_key(KeyPurpose.INGEST, pipeline.tenant_id)
        pipeline.objects_dir.mkdir(parents=True)
        pipeline.objects = ObjectStore(pipeline.objects_dir.as_uri())
        pipeline.producer = Producer(
            client_config(bootstrap, "test") | {"linger.ms": 1, "enable.idempotence": True}, logger=KAFKA_LOGGER
        )
        pipeline._write_rows()
        pipeline.publish_connector(pipeline.connector())
        for account in (pipeline.unit_account(), pipeline.flow_account()):
            pipeline.publish_account(account)
        return pipeline

    @property
    def ring(self) -> KeyRing:
        """The tenant's ingest keys."""
        return self.vault.ring(KeyPurpose.INGEST, self.tenant_id, (self.data_key,))

    def connector(self, **changes: Any) -> ConnectorSnapshot:
        """The connector's snapshot."""
        snapshot = ConnectorSnapshot(
            version=1,
            connector_id=self.connector_id,
            tenant_id=self.tenant_id,
            tipo=ConnectorType.WHATSAPP_OFFICIAL,
            status=ConnectorStatus.ACTIVE,
            config='{"waba_id":"200000000000001"}',
            webhooks=(),
            ingest_keys=(self.data_key,),
        )
        return replace(snapshot, **changes)

    def unit_account(self, **changes: Any) -> AccountSnapshot:
        """Snapshot of the number that goes to a unit."""
        snapshot = AccountSnapshot(
            version=1,
            account_id=self.unit_account_id,
            connector_id=self.connector_id,
            tenant_id=self.tenant_id,
            identidade="5511900000001",
            status=AccountStatus.ACTIVE,
            account_refs=(f"phone_number_id:{UNIT_NUMBER}",),
            org_unit_id=self.unit_id,
            intake_flow_id=None,
            intake_flow_usable=False,
        )
        return replace(snapshot, **changes)

    def flow_account(self, **changes: Any) -> AccountSnapshot:
        """Snapshot of the number that goes to a flow."""
        own = {
            "account_id": self.flow_account_id,
            "identidade": "5511900000002",
            "account_refs": (f"phone_number_id:{FLOW_NUMBER}",),
            "org_unit_id": None,
            "intake_flow_id": self.flow_id,
            "intake_flow_usable": True,
        }
        return self.unit_account(**(own | changes))

    def publish_connector(self, snapshot: ConnectorSnapshot) -> None:
        """What relay would write."""
        self._send(Topic.CONNECTOR_SNAPSHOT, snapshot.connector_id, self.codec.encode(Topic.CONNECTOR_SNAPSHOT, snapshot))

    def publish_account(self, snapshot: AccountSnapshot) -> None:
        """What relay would write."""
        self._send(Topic.ACCOUNT_SNAPSHOT, snapshot.account_id, self.codec.encode(Topic.ACCOUNT_SNAPSHOT, snapshot))

    def post(
        self,
        body: bytes,
        *,
        source: RecordSource = RecordSource.WEBHOOK,
        copy_of: RawPosition | None = None,
        only_item: str | None = None,
        connector_id: str | None = None,
        url_account_id: str | None = None,
        received_at_ms: int | None = None,
        tenant: tuple[str, WrappedDataKey] | None = None,
        flush: bool = True,
    ) -> str:
        """Write one sealed raw record, as ingest would after verification (`tenant`: another, with its key); returns its id."""
        record_id = new_uuid7()
        now_ms = time.time_ns() // 1_000_000
        tenant_id, key = tenant or (self.tenant_id, self.data_key)
        sealed = self.vault.ring(KeyPurpose.INGEST, tenant_id, (key,)).seal_bytes(body, body_aad(tenant_id, record_id))
        reference = body_reference(tenant_id, record_id, body) if len(body) > LARGE_BODY_BYTES else None
        if reference is not None:
            self.objects.put(reference.key, sealed)
        record = WebhookReceived(
            record_id=record_id,
            source=source,
            tenant_id=tenant_id,
            connector_id=connector_id or self.connector_id,
            url_account_id=url_account_id,
            received_at_ms=now_ms if received_at_ms is None else received_at_ms,
            headers={"content-type": "application/json"},
            secret_id=None,
            body_size_bytes=len(body),
            sealed_body=sealed if reference is None else None,
            body_reference=reference,
            redelivery_of=copy_of,
            only_item=only_item,
        )
        self._send(
            Topic.WEBHOOK_RECEIVED,
            record.connector_id,
            self.codec.encode(Topic.WEBHOOK_RECEIVED, record),
            event_headers(
                event_id=record_id,
                event_type=Topic.WEBHOOK_RECEIVED.value,
                source="/test",
                subject=record.connector_id,
                time_ms=now_ms,
            ),
            flush=flush,
        )
        return record_id

    def post_raw(self, key: bytes, value: bytes | None) -> None:
        """Write any bytes to the raw topic."""
        self.producer.produce(full_name(self.prefix, Topic.WEBHOOK_RECEIVED), key=key, value=value)
        assert self.producer.flush(10) == 0

    def flush(self) -> None:
        """Wait until Kafka has all that was written."""
        assert self.producer.flush(30) == 0

    def read(self, topic: Topic, expected: int, seconds: float = 30.0, *, settle_seconds: float = 0.0) -> list[Read]:
        """All committed records of a topic: waits for `expected`, then `settle_seconds` for one too many."""
        found: list[Read] = []
        deadline = time.monotonic() + seconds
        for record in self.follow(topic, lambda: time.monotonic() > deadline):  # noqa: B023  sees the moved deadline
            found.append(record)
            if len(found) == expected:
                deadline = min(deadline, time.monotonic() + settle_seconds)
        return found

    def follow(self, topic: Topic, until: Callable[[], bool]) -> Iterator[Read]:
        """Records from the beginning until told to stop (asked whenever nothing comes)."""
        consumer = Consumer(
            client_config(self.bootstrap, "test-reader")
            | {"group.id": "unused", "enable.auto.commit": False, "isolation.level": "read_committed", "fetch.wait.max.ms": 20}
        )
        name = full_name(self.prefix, topic)
        metadata = consumer.list_topics(name, timeout=10).topics[name]
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for partition in metadata.partitions])
        try:
            while not until():
                message = consumer.poll(0.05)
                if message is None:
                    continue
                assert message.error() is None, message.error()
                value, key = message.value(), message.key()
                yield Read(
                    message.partition(),
                    message.offset(),
                    key.decode() if key else None,
                    dict(message.headers() or ()),
                    self.codec.decode(topic, value) if value else None,
                )
        finally:
            consumer.close()

    def books(self, seconds: float, items: int) -> dict[tuple[str, str], int]:
        """(outcome, reason) -> count over all committed audit records; waits until they cover `items` items."""
        counts: dict[tuple[str, str], int] = {}
        deadline = time.monotonic() + seconds
        for record in self.follow(Topic.AUDIT, lambda: time.monotonic() > deadline or sum(counts.values()) >= items):
            for row in record.event.counts:
                key = (row.outcome.value, row.reason)
                counts[key] = counts.get(key, 0) + row.count
        return counts

    def sql(self, statement: str, *parameters: Any) -> list[Any]:
        """Run one statement as the worker role."""
        url = self.database.worker_url.replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _send(
        self,
        topic: Topic,
        key: str,
        value: bytes | None,
        headers: list[tuple[str, bytes]] | None = None,
        *,
        flush: bool = True,
    ) -> None:
        while True:
            try:
                self.producer.produce(full_name(self.prefix, topic), key=key.encode(), value=value, headers=headers)
                break
            except BufferError:
                self.producer.poll(0.1)
        if flush:
            self.flush()

    def _write_rows(self) -> None:
        """Rows that mappings refer to; as the owner role, which stands for the management API here."""
        url = self.database.owner_url.replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("INSERT INTO tenant (id, name) VALUES (%s, 'Example')", (self.tenant_id,))
            connection.execute(
                "INSERT INTO org_unit (id, tenant_id, name) VALUES (%s, %s, 'Sales')", (self.unit_id, self.tenant_id)
            )
            connection.execute(
                "INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)"
                " VALUES (%s, %s, 'whatsapp_official', 'Example', '{}', 'pending')",
                (self.connector_id, self.tenant_id),
            )
            for account_id, number in ((self.unit_account_id, "5511900000001"), (self.flow_account_id, "5511900000002")):
                connection.execute(
                    "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id)"
                    " VALUES (%s, %s, %s, 'pending', %s)",
                    (account_id, self.connector_id, number, self.unit_id),
                )


def meta_body(*changes: dict[str, Any]) -> bytes:
    """A Meta POST body around `changes[].value`s of field `messages`."""
    entry = [{"id": "200000000000001", "changes": [{"field": "messages", "value": value} for value in changes]}]
    return json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()


def messages_value(
    number: str, messages: Iterable[dict[str, Any]] = (), statuses: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    """One change's value for one of our numbers."""
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "5511900000001", "phone_number_id": number},
    }
    if messages:
        value["messages"] = list(messages)
    if statuses:
        value["statuses"] = list(statuses)
    return value


def text_item(item_id: str, text: str = "hello", sender: str = "5511900000009", **more: Any) -> dict[str, Any]:
    """One text message of a peer."""
    return {"id": item_id, "from": sender, "timestamp": "1700000000", "type": "text", "text": {"body": text}} | more


def status_item(target: str, status: str, **more: Any) -> dict[str, Any]:
    """One status of a message that we sent."""
    return {"id": target, "status": status, "timestamp": "1700000001", "recipient_id": "5511900000009"} | more
