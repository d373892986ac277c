"""A real ingest process under test, with topics, keys and one simulated Meta connector of its own.

It writes the connector snapshots that the relay would write, signs as Meta does, and reads the raw topic back as an independent
consumer would.
"""

from __future__ import annotations

import hmac
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.local.ports import choose_port
from shared.adapters.avro import Codec
from shared.adapters.clock import new_uuid7
from shared.adapters.kafka import client_config, full_name, read_headers
from shared.adapters.object_store import ObjectStore
from shared.adapters.raw_body import open_body
from shared.adapters.receiving_secrets import seal_segredo
from shared.adapters.topics import apply_topics
from shared.adapters.vault import KeyRing, LocalKeyFiles, Vault
from shared.domain.enums import ConnectorStatus, ConnectorType, KeyPurpose, SecretUse, WebhookEvent, WebhookStatus
from shared.domain.records import WebhookReceived
from shared.domain.snapshots import ConnectorSnapshot, WebhookSnapshot, WrappedDataKey
from shared.domain.topics import Topic
from shared.providers.contract import ReceivingSecret
from tests.waiting import eventually

APP_SECRET = b"an app secret of the tests"
VERIFY_TOKEN = b"a verify token of the tests"
BODY = json.dumps({"object": "whatsapp_business_account", "entry": []}).encode()
START_SECONDS = 20.0


def signature(body: bytes, secret: bytes = APP_SECRET) -> str:
    """Value of `X-Hub-Signature-256`."""
    return "sha256=" + hmac.digest(secret, body, "sha256").hex()


def secrets(app_secret: bytes = APP_SECRET, **window: int) -> tuple[ReceivingSecret, ...]:
    """What one webhook row seals; `window`: not_before_ms, not_after_ms of the signing secret."""
    return (
        ReceivingSecret(id="", use=SecretUse.SIGN, value=app_secret, **window),
        ReceivingSecret(id="", use=SecretUse.HANDSHAKE, value=VERIFY_TOKEN),
    )


def free_port() -> int:
    """A port that nobody listens on now."""
    return choose_port(given=None, before=None, purpose="a test", variable="none")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Stored:
    """One record of the raw topic, with its body opened."""

    record: WebhookReceived
    key: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Edge:
    """The installation; build it with `Edge.create`, then `start` a process."""

    bootstrap: str
    prefix: str
    directory: Path
    tenant_id: str = field(default_factory=new_uuid7)
    connector_id: str = field(default_factory=new_uuid7)
    webhook_id: str = field(default_factory=new_uuid7)
    port: int = field(default_factory=free_port)
    codec: Codec = field(init=False)
    vault: Vault = field(init=False)
    data_key: WrappedDataKey = field(init=False)
    objects: ObjectStore = field(init=False)
    processes: list[EdgeProcess] = field(default_factory=list)

    @classmethod
    def create(cls, bootstrap: str, prefix: str, directory: Path) -> Edge:
        """Topics and keys made, the connector's snapshot published."""
        edge = cls(bootstrap, prefix, directory)
        edge.codec = Codec()
        wanted = (Topic.WEBHOOK_RECEIVED, Topic.CONNECTOR_SNAPSHOT, Topic.ACCOUNT_SNAPSHOT)
        apply_topics(bootstrap, prefix, only=wanted, partitions=dict.fromkeys(wanted, 1))
        LocalKeyFiles.create(directory / "keys")
        edge.vault = Vault(LocalKeyFiles(directory / "keys", frozenset({KeyPurpose.INGEST})))
        edge.data_key = edge.vault.new_data_key(KeyPurpose.INGEST, edge.tenant_id)
        edge.objects = ObjectStore((directory / "objects").as_uri())
        edge.publish(edge.connector())
        return edge

    @property
    def ring(self) -> KeyRing:
        """The tenant's keys."""
        return self.vault.ring(KeyPurpose.INGEST, self.tenant_id, [self.data_key])

    def webhook(self, given: Sequence[ReceivingSecret] = secrets(), webhook_id: str | None = None) -> WebhookSnapshot:
        """One webhook row with these secrets."""
        webhook_id = webhook_id or self.webhook_id
        return WebhookSnapshot(
            webhook_id=webhook_id,
            evento=WebhookEvent.MESSAGE_IN,
            status=WebhookStatus.ACTIVE,
            segredo=seal_segredo(self.ring, self.tenant_id, webhook_id, given),
        )

    def connector(self, **changes: Any) -> ConnectorSnapshot:
        """The connector as the relay would publish it."""
        snapshot = ConnectorSnapshot(
            version=1,
            connector_id=self.connector_id,
            tenant_id=self.tenant_id,
            tipo=ConnectorType.WHATSAPP_OFFICIAL,
            status=ConnectorStatus.ACTIVE,
            config="{}",
            webhooks=(self.webhook(),),
            ingest_keys=(self.data_key,),
        )
        return replace(snapshot, **changes)

    def publish(self, snapshot: ConnectorSnapshot | None, connector_id: str | None = None) -> None:
        """Write one snapshot; None deletes the connector."""
        producer = Producer(client_config(self.bootstrap, "test"))
        value = None if snapshot is None else self.codec.encode(Topic.CONNECTOR_SNAPSHOT, snapshot)
        key = snapshot.connector_id if snapshot is not None else connector_id
        producer.produce(full_name(self.prefix, Topic.CONNECTOR_SNAPSHOT), value, key)
        assert producer.flush(20) == 0

    def start(self, **settings: object) -> EdgeProcess:
        """Start a process and wait until it is ready."""
        process = self.launch(**settings)
        eventually(lambda: process.ready, START_SECONDS)
        return process

    def launch(self, **settings: object) -> EdgeProcess:
        """Start a process; `settings` by their names."""
        operations_port = free_port()
        given = {
            "stack": "external",
            "kafka_bootstrap": self.bootstrap,
            "topic_prefix": self.prefix,
            "keys_dir": self.directory / "keys",
            "object_store_url": (self.directory / "objects").as_uri(),
            "ingest_port": self.port,
            "ingest_operations_port": operations_port,
            "log_format": "json",
        } | settings
        log = self.directory / f"ingest-{operations_port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.ingest"],
                env=os.environ | {f"CHANNELS_{name.upper()}": str(value) for name, value in given.items()},
                stdout=output,
                stderr=output,
            )
        started = EdgeProcess(process, self.port, operations_port, log)
        self.processes.append(started)
        return started

    def stop(self) -> None:
        """End what still runs."""
        for process in self.processes:
            process.process.kill()
            process.process.wait(10)

    def url(self, suffix: str = "") -> str:
        """Path of the connector's webhook."""
        return f"/webhooks/{self.connector_id}{suffix}"

    def call(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, body: bytes = BODY, *, signed: bytes | None = None, secret: bytes = APP_SECRET, path: str = "") -> Reply:
        """One webhook; `signed`: the bytes that the signature is made over, if others."""
        headers = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": signature(body if signed is None else signed, secret),
        }
        return self.call("POST", path or self.url(), body, headers)

    def end_offset(self) -> int:
        """Where the raw topic ends."""
        consumer = Consumer({**client_config(self.bootstrap, "test"), "group.id": "none"})
        try:
            return int(consumer.get_watermark_offsets(self._raw(), timeout=10)[1])
        finally:
            consumer.close()

    def stored(self) -> list[Stored]:
        """Every record of the raw topic, its body opened."""
        consumer = Consumer({**client_config(self.bootstrap, "test"), "group.id": "none", "enable.auto.commit": False})
        found: list[Stored] = []
        try:
            end = consumer.get_watermark_offsets(self._raw(), timeout=10)[1]
            consumer.assign([TopicPartition(self._raw().topic, 0, 0)])
            while len(found) < end:
                message = consumer.poll(10)
                assert message is not None
                assert message.error() is None
                record = self.codec.decode(Topic.WEBHOOK_RECEIVED, message.value() or b"")
                key = (message.key() or b"").decode()
                body = open_body(record, self.ring, self.objects)
                found.append(Stored(record, key, read_headers(message.headers()), body))  # type: ignore[arg-type]
        finally:
            consumer.close()
        return found

    def _raw(self) -> TopicPartition:
        return TopicPartition(full_name(self.prefix, Topic.WEBHOOK_RECEIVED), 0)


@dataclass
class EdgeProcess:
    """One running `python -m services.ingest`."""

    process: subprocess.Popen[bytes]
    port: int
    operations_port: int
    log: Path

    @property
    def ready(self) -> bool:
        """What `/readyz` says."""
        assert self.process.poll() is None, self.log.read_text()
        return self.operations("/readyz")[0] == 200

    def operations(self, path: str) -> tuple[int, str]:
        """One page of the operations port; status 0 while it does not listen."""
        connection = http.client.HTTPConnection("127.0.0.1", self.operations_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionRefusedError:
            return 0, ""
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """Value of one sample, by its full name with labels."""
        lines = [line for line in self.operations("/metrics")[1].splitlines() if line.startswith(name + " ")]
        return float(lines[0].rpartition(" ")[2]) if lines else 0.0

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 30) -> int:
        """Exit code."""
        return self.process.wait(seconds)

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
