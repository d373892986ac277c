"""What the demo sees from outside: it posts as Meta would, and reads topics and tables as a stranger would."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
from confluent_kafka import Producer
from psycopg import sql

from shared.adapters.avro import Codec
from shared.adapters.kafka import KAFKA_LOGGER, client_config, full_name
from shared.adapters.object_store import ObjectStore
from shared.adapters.raw_body import open_body
from shared.adapters.topic_reader import TopicReader, TopicRecord
from shared.adapters.vault import LocalKeyFiles, Vault
from shared.domain.enums import IntakeOutcome, KeyPurpose
from shared.domain.records import AuditRecorded, IntakeCompleted, WebhookReceived
from shared.domain.snapshots import ConnectorSnapshot
from shared.domain.topics import Topic

_LISTS = ("messages", "statuses", "message_echoes")


class World:
    """One running installation, found by the settings that `channels up` left in its home."""

    def __init__(self, home: Path) -> None:
        settings: dict[str, Any] = json.loads((home / "stack.json").read_text())["settings"]
        self._bootstrap: str = settings["kafka_bootstrap"]
        self._prefix: str = settings["topic_prefix"]
        self._worker_url = str(settings["database_worker_url"]).replace("postgresql+psycopg", "postgresql")
        self._port = int(settings["ingest_port"])
        self._codec = Codec()
        self._vault = Vault(LocalKeyFiles(Path(settings["keys_dir"]), frozenset({KeyPurpose.INGEST})))
        self._objects = ObjectStore(settings["object_store_url"])
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)

    def post(self, connector_id: str, body: bytes, signature: str) -> int:
        """Post one webhook; the HTTP status of the answer."""
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        return self._ask("POST", f"/webhooks/{connector_id}", body, headers)[0]

    def handshake(self, connector_id: str, verify_token: str, challenge: str) -> tuple[int, str]:
        """Meta's set-up call: status and body."""
        query = urlencode({"hub.mode": "subscribe", "hub.verify_token": verify_token, "hub.challenge": challenge})
        return self._ask("GET", f"/webhooks/{connector_id}?{query}", None, {})

    def records(self, topic: Topic) -> list[TopicRecord]:
        """Every committed record of a topic as it lies there, in order; deletions are left out."""
        with TopicReader(self._bootstrap, full_name(self._prefix, topic)) as reader:
            return [record for record in reader.read_all() if record.value is not None]

    def decode(self, topic: Topic, record: TopicRecord) -> Any:
        """What a record says. Raises CorruptData."""
        return self._codec.decode(topic, record.value or b"")

    def events(self, topic: Topic) -> list[Any]:
        """Every committed record of a topic, decoded, in order."""
        return [self.decode(topic, record) for record in self.records(topic)]

    def answer(self, request_id: str, conversation_id: str, org_unit_id: str, labels: tuple[str, ...]) -> None:
        """What the automation module says to a request: the message is for this unit."""
        said = IntakeCompleted(
            request_id=request_id,
            outcome=IntakeOutcome.ROUTE,
            org_unit_id=org_unit_id,
            labels=labels,
            completed_at_ms=time.time_ns() // 1_000_000,
        )
        producer = Producer(client_config(self._bootstrap, "demo"), logger=KAFKA_LOGGER)
        topic = full_name(self._prefix, Topic.INTAKE_COMPLETED)
        producer.produce(topic, self._codec.encode(Topic.INTAKE_COMPLETED, said), conversation_id)
        producer.flush(10)

    def raw_bodies(self) -> Iterator[tuple[TopicRecord, Any]]:
        """Every webhook as it arrived, with its JSON opened here. Copies are left out: they stand for what came in before."""
        connectors: dict[str, ConnectorSnapshot] = {one.connector_id: one for one in self.events(Topic.CONNECTOR_SNAPSHOT)}
        for lying in self.records(Topic.WEBHOOK_RECEIVED):
            record: WebhookReceived = self.decode(Topic.WEBHOOK_RECEIVED, lying)
            if record.redelivery_of is None:
                connector = connectors[record.connector_id]
                ring = self._vault.ring(KeyPurpose.INGEST, connector.tenant_id, connector.ingest_keys)
                yield lying, json.loads(open_body(record, ring, self._objects))

    def count_raw_items(self) -> int:
        """Elements of all raw bodies, counted here by plain JSON: neither the normaliser nor the router has a say."""
        return sum(len(list(elements_of(body))) for _, body in self.raw_bodies())

    def count_raw_records(self) -> int:
        """Records in the raw topic."""
        return len(self.events(Topic.WEBHOOK_RECEIVED))

    def books(self) -> Counter[str]:
        """Outcome -> items, over all audit records."""
        counts: Counter[str] = Counter()
        record: AuditRecorded
        for record in self.events(Topic.AUDIT):
            for row in record.counts:
                counts[row.outcome.value] += row.count
        return counts

    def count_rows(self, table: str) -> int:
        """Rows of one of the router's tables, seen as the worker role."""
        with psycopg.connect(self._worker_url) as connection:
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, str]:
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
        except (http.client.HTTPException, OSError):  # an idle connection may have been closed; one fresh try
            self._connection.close()
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")


def elements_of(body: Any) -> Iterator[tuple[str, str, str, Any]]:
    """The elements of a body of Meta: place (JSON Pointer), name of its list, the number that it names, and the element."""
    for number, entry in enumerate(body["entry"]):
        for place, change in enumerate(entry["changes"]):
            value = change["value"]
            for name in _LISTS:
                for index, element in enumerate(value.get(name, ())):
                    path = f"/entry/{number}/changes/{place}/value/{name}/{index}"
                    yield path, name, value["metadata"]["phone_number_id"], element
