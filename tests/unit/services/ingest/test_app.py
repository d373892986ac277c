"""The edge's flow with stand-ins for Kafka, the object store and the snapshots; keys and sealing are real."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.ingest.answers import Answer
from services.ingest.app import Edge
from services.ingest.connector_keys import ConnectorKeys, open_connector
from services.ingest.exchange import Exchange
from services.ingest.parts import EdgeParts
from shared.adapters.avro import Codec
from shared.adapters.durable_producer import Delivered
from shared.adapters.raw_body import LARGE_BODY_BYTES, body_aad
from shared.adapters.receiving_secrets import seal_segredo
from shared.adapters.vault import KeyRing, LocalKeyFiles, Vault
from shared.domain.enums import ConnectorStatus, ConnectorType, KeyPurpose, SecretUse, WebhookEvent, WebhookStatus
from shared.domain.errors import SealBroken, Unavailable
from shared.domain.records import WebhookReceived
from shared.domain.snapshots import ConnectorSnapshot, WebhookSnapshot, WrappedDataKey
from shared.domain.topics import Topic
from shared.providers.contract import ReceivingSecret
from shared.runtime.metrics import IngestMetrics
from tests.edge import APP_SECRET, VERIFY_TOKEN, signature
from tests.on_loop import on_loop

TENANT, CONNECTOR_ID = "01990000-0000-7000-8000-00000000000a", "01990000-0000-7000-8000-00000000000b"
NOW_MS = 0x01990000_0000 + 10**9
CODEC = Codec()


class CountedKeys:
    """A key service that counts its calls, and can be away."""

    def __init__(self, files: LocalKeyFiles) -> None:
        self.files = files
        self.calls = 0
        self.away = False

    def wrap(self, purpose: KeyPurpose, tenant_id: str, key: bytes, *, key_id: str) -> str:
        return self.files.wrap(purpose, tenant_id, key, key_id=key_id)

    def unwrap(self, purpose: KeyPurpose, tenant_id: str, wrapped: str, *, key_id: str) -> bytes:
        self.calls += 1
        if self.away:
            raise Unavailable("key service")
        return self.files.unwrap(purpose, tenant_id, wrapped, key_id=key_id)


@dataclass
class Memory:
    """Snapshots, Kafka and object store, in memory."""

    ready: bool = True
    snapshots: dict[str, ConnectorSnapshot] = field(default_factory=dict)
    records: list[tuple[str, bytes, WebhookReceived, dict[str, bytes]]] = field(default_factory=list)
    reports: list[Delivered] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    kafka_full: bool = False
    store_away: bool = False

    def connector(self, connector_id: str) -> ConnectorSnapshot | None:
        return self.snapshots.get(connector_id)

    def produce(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], delivered: Delivered) -> None:
        if self.kafka_full:
            raise Unavailable("Kafka: the send queue is full")
        self.records.append((topic, key, CODEC.decode(Topic.WEBHOOK_RECEIVED, value), dict(headers)))
        self.reports.append(delivered)

    async def put_async(self, key: str, data: bytes) -> None:
        if self.store_away:
            raise Unavailable("object store")
        assert not self.records, "the object must be there before the record"
        self.objects[key] = data

    def now_ms(self) -> int:
        return NOW_MS


class Scene:
    """One edge with one connector, and whoever calls it."""

    peer = "198.51.100.7"

    def __init__(self, directory: Path) -> None:
        LocalKeyFiles.create(directory)
        self.service = CountedKeys(LocalKeyFiles(directory, frozenset({KeyPurpose.INGEST})))
        sealing = Vault(self.service)
        self.data_key: WrappedDataKey = sealing.new_data_key(KeyPurpose.INGEST, TENANT)
        self.ring: KeyRing = sealing.ring(KeyPurpose.INGEST, TENANT, [self.data_key])
        self.memory = Memory()
        self.registry = CollectorRegistry()
        self.vault = Vault(self.service)
        self.keys = ConnectorKeys(self.vault, asyncio.get_running_loop().time)
        self.edge = Edge(
            EdgeParts(
                topic="t.raw",
                connectors=self.memory,
                keys=self.keys,
                codec=CODEC,
                log=self.memory,
                objects=self.memory,
                clock=self.memory,
                metrics=IngestMetrics(self.registry),
                inflight_requests=2,
                slow_seconds=2,
            )
        )
        self.memory.snapshots[CONNECTOR_ID] = self.connector()
        self.service.calls = 0
        self.answers: dict[Exchange, Answer] = {}

    def connector(self, *segredos: str | None, version: int = 1) -> ConnectorSnapshot:
        given = segredos or (self.segredo("w0"),)
        return ConnectorSnapshot(
            version=version,
            connector_id=CONNECTOR_ID,
            tenant_id=TENANT,
            tipo=ConnectorType.WHATSAPP_OFFICIAL,
            status=ConnectorStatus.PENDING,
            config="{}",
            webhooks=tuple(
                WebhookSnapshot(
                    webhook_id=f"w{number}", evento=WebhookEvent.MESSAGE_IN, status=WebhookStatus.DISABLED, segredo=segredo
                )
                for number, segredo in enumerate(given)
            ),
            ingest_keys=(self.data_key,),
        )

    def segredo(self, webhook_id: str, value: bytes = APP_SECRET, *, start: int | None = None, end: int | None = None) -> str:
        secrets = (
            ReceivingSecret(id="", use=SecretUse.SIGN, value=value, not_before_ms=start, not_after_ms=end),
            ReceivingSecret(id="", use=SecretUse.HANDSHAKE, value=VERIFY_TOKEN),
        )
        return seal_segredo(self.ring, TENANT, webhook_id, secrets)

    def respond(self, exchange: Exchange, answer: Answer) -> None:
        assert exchange not in self.answers, "answered twice"
        self.answers[exchange] = answer
        self.edge.answered(exchange, answer, 0.001)

    def send(
        self, body: bytes = b"{}", *, method: str = "POST", target: str = "", headers: dict[str, bytes] | None = None
    ) -> Exchange:
        """One request as the connection would hand it over."""
        exchange = Exchange(self, (target or f"/webhooks/{CONNECTOR_ID}").encode())
        exchange.method, exchange.body = method, body
        exchange.headers = {"x-hub-signature-256": signature(body).encode(), "content-type": b"application/json"} | (
            headers or {}
        )
        admitted = self.edge.admit(exchange, len(body))
        if isinstance(admitted, Answer):
            exchange.respond(admitted)
        else:
            self.edge.handle(exchange)
        return exchange

    async def settle(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the parts under test have no event for tests
                await asyncio.sleep(0.001)

    async def warm(self) -> None:
        """Let the first request open the connector."""
        await self.keys.open(self.memory.snapshots[CONNECTOR_ID])

    def count(self, outcome: str, reason: str) -> float:
        return self.registry.get_sample_value("channels_ingest_requests_total", {"outcome": outcome, "reason": reason}) or 0


@on_loop
@pytest.mark.req(90)
async def test_a_genuine_webhook_is_sealed_written_and_answered_only_after_the_report(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.warm()
    exchange = scene.send(b'{"a":1}', target=f"/webhooks/{CONNECTOR_ID}/{CONNECTOR_ID}")
    assert scene.answers == {}, "not before Kafka has it"
    (topic, key, record, headers), *_ = scene.memory.records
    assert (topic, key) == ("t.raw", CONNECTOR_ID.encode())
    assert scene.edge.inflight == 1
    scene.memory.reports[0](None)
    assert scene.answers[exchange].status == 200
    assert scene.edge.inflight == 0
    assert record.sealed_body is not None
    assert scene.ring.open_bytes(record.sealed_body, body_aad(TENANT, record.record_id)) == b'{"a":1}'
    assert (record.secret_id, record.received_at_ms, record.url_account_id) == ("w0/0", NOW_MS, CONNECTOR_ID)
    assert record.headers == {"content-type": "application/json"}
    assert headers["ce_id"].decode() == record.record_id
    assert headers["traceparent"].startswith(b"00-")
    assert scene.count("accepted", "accepted") == 1


@on_loop
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-hub-signature-256": signature(b"other").encode()}, "signature_wrong"),
        ({"x-hub-signature-256": b""}, "signature_missing"),
        ({"x-hub-signature-256": b"md5=1"}, "signature_malformed"),
    ],
)
async def test_what_is_not_genuine_never_reaches_kafka(tmp_path: Path, headers: dict[str, bytes], reason: str) -> None:
    scene = Scene(tmp_path)
    await scene.warm()
    exchange = scene.send(headers=headers)
    assert scene.answers[exchange].status == 401
    assert scene.memory.records == []
    assert scene.count("refused", reason) == 1


@on_loop
@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        (None, None, None),  # waits for Kafka
        (NOW_MS, NOW_MS, None),
        (NOW_MS + 1, None, 401),
        (None, NOW_MS - 1, 401),
    ],
)
async def test_a_secret_is_good_between_its_times_only(
    tmp_path: Path, start: int | None, end: int | None, status: int | None
) -> None:
    scene = Scene(tmp_path)
    scene.memory.snapshots[CONNECTOR_ID] = scene.connector(scene.segredo("w0", start=start, end=end))
    await scene.warm()
    exchange = scene.send()
    assert (scene.answers[exchange].status if exchange in scene.answers else None) == status


@on_loop
async def test_a_handshake_secret_signs_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.warm()
    forged = "sha256=" + hmac.digest(VERIFY_TOKEN, b"{}", "sha256").hex()
    assert scene.answers[scene.send(headers={"x-hub-signature-256": forged.encode()})].reason == "signature_wrong"


@on_loop
async def test_a_failed_delivery_is_unavailable_with_retry_after(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.warm()
    exchange = scene.send()
    scene.memory.reports[0](Unavailable("Kafka: timed out"))
    answer = scene.answers[exchange]
    assert (answer.status, answer.retry_after_seconds, answer.reason) == (503, 2, "kafka")


@on_loop
async def test_a_full_queue_and_too_many_in_flight_are_refused_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.warm()
    scene.memory.kafka_full = True
    assert scene.answers[scene.send()].reason == "kafka"
    assert scene.edge.inflight == 0
    scene.memory.kafka_full = False
    scene.send()
    scene.send()
    answer = scene.answers[scene.send()]
    assert (answer.status, answer.outcome.value, answer.reason) == (503, "busy", "inflight")
    assert len(scene.memory.records) == 2


@on_loop
async def test_a_url_that_was_called_before_is_refused_by_its_head_as_ever(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.warm()
    scene.send()
    exchange = Exchange(scene, f"/webhooks/{CONNECTOR_ID}".encode())
    exchange.method = "POST"
    limit = scene.edge.admit(exchange, 2)
    assert isinstance(limit, int)
    assert scene.edge.admit(exchange, limit) == limit
    too_large, without_length = scene.edge.admit(exchange, limit + 1), scene.edge.admit(exchange, None)
    assert isinstance(too_large, Answer)
    assert (too_large.status, without_length) == (413, limit)
    exchange.method = "PUT"
    wrong = scene.edge.admit(exchange, 2)
    assert isinstance(wrong, Answer)
    assert wrong.status == 405
    exchange.method = "POST"
    scene.send()
    full = scene.edge.admit(exchange, 2)
    assert isinstance(full, Answer)
    assert (full.status, full.reason) == (503, "inflight")


@on_loop
async def test_a_large_body_is_stored_first_and_referred_to(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    body = bytes(LARGE_BODY_BYTES) + b"!"
    exchange = scene.send(body)
    await scene.settle(lambda: scene.memory.reports)
    record = scene.memory.records[0][2]
    assert record.sealed_body is None
    reference = record.body_reference
    assert reference is not None
    assert (reference.size_bytes, reference.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert scene.ring.open_bytes(scene.memory.objects[reference.key], body_aad(TENANT, record.record_id)) == body
    scene.memory.reports[0](None)
    assert scene.answers[exchange].status == 200


@on_loop
async def test_a_forged_large_body_is_not_stored(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    exchange = scene.send(bytes(LARGE_BODY_BYTES + 1), headers={"x-hub-signature-256": signature(b"").encode()})
    await scene.settle(lambda: exchange in scene.answers)
    assert scene.answers[exchange].status == 401
    assert scene.memory.objects == {}


@on_loop
async def test_a_large_body_without_object_store_is_unavailable(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.memory.store_away = True
    exchange = scene.send(bytes(LARGE_BODY_BYTES + 1))
    await scene.settle(lambda: exchange in scene.answers)
    assert (scene.answers[exchange].status, scene.memory.records) == (503, [])


@on_loop
async def test_the_first_requests_share_one_opening(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    exchanges = [scene.send() for _ in range(2)]
    await scene.settle(lambda: len(scene.memory.reports) == 2)
    assert scene.service.calls == 1
    for report in scene.memory.reports:
        report(None)
    assert [scene.answers[exchange].status for exchange in exchanges] == [200, 200]


@on_loop
@pytest.mark.req(73)
async def test_without_key_service_nothing_new_opens_and_what_was_opened_works_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.service.away = True
    first = scene.send()
    await scene.settle(lambda: first in scene.answers)
    again = scene.send()
    await scene.settle(lambda: again in scene.answers)
    assert [scene.answers[one].status for one in (first, again)] == [503, 503]
    assert scene.service.calls == 1, "asked once a second, not once per request"
    scene.service.away = False
    with pytest.raises(Unavailable):
        await scene.keys.open(scene.memory.snapshots[CONNECTOR_ID])
    newer = scene.memory.snapshots[CONNECTOR_ID] = scene.connector(version=2)
    await scene.keys.open(newer)
    scene.service.away = True
    scene.memory.snapshots[CONNECTOR_ID] = replace(newer, version=3)  # its key was opened before
    exchange = scene.send()
    await scene.settle(lambda: scene.memory.reports)
    scene.memory.reports[0](None)
    assert scene.answers[exchange].status == 200


@on_loop
async def test_a_new_version_brings_new_secrets_and_takes_old_ones_away(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.warm()
    scene.memory.snapshots[CONNECTOR_ID] = scene.connector(scene.segredo("w0", b"another"), version=2)
    old, new = scene.send(b"{}"), scene.send(b"{}", headers={"x-hub-signature-256": signature(b"{}", b"another").encode()})
    await scene.settle(lambda: old in scene.answers and scene.memory.reports)
    assert scene.answers[old].status == 401
    scene.memory.reports[0](None)
    assert scene.answers[new].status == 200


@on_loop
async def test_one_unreadable_segredo_does_not_shut_out_the_others(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    misplaced, good = scene.segredo("elsewhere"), scene.segredo("w1")
    opened = open_connector(scene.vault, scene.connector(misplaced, good, None))
    assert [secret.id for secret in opened.secrets] == ["w1/0", "w1/1"]


@on_loop
async def test_the_same_secret_in_several_rows_is_tried_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    opened = open_connector(scene.vault, scene.connector(*(scene.segredo(f"w{number}") for number in range(5))))
    assert [secret.id for secret in opened.secrets] == ["w0/0", "w0/1"]


@on_loop
async def test_a_connector_without_a_key_that_opens_is_unavailable(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    strange = replace(scene.data_key, wrapped="1|0000000000000000|AAAA|AAAA")
    scene.memory.snapshots[CONNECTOR_ID] = replace(scene.connector(), ingest_keys=(strange,))
    exchange = scene.send()
    await scene.settle(lambda: exchange in scene.answers)
    assert scene.answers[exchange].status == 503


@on_loop
async def test_the_handshake_echoes_the_challenge(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    query = "hub.mode=subscribe&hub.challenge=4711&hub.verify_token="
    right = scene.send(b"", method="GET", target=f"/webhooks/{CONNECTOR_ID}?{query}{VERIFY_TOKEN.decode().replace(' ', '+')}")
    await scene.settle(lambda: right in scene.answers)
    wrong = scene.send(b"", method="GET", target=f"/webhooks/{CONNECTOR_ID}?{query}guess")
    assert (scene.answers[right].status, scene.answers[right].body) == (200, b"4711")
    assert (scene.answers[wrong].status, scene.answers[wrong].body) == (403, b"")
    assert scene.memory.records == []


@on_loop
async def test_a_deleted_connector_leaves_memory(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.warm()
    assert scene.keys.tenant_of(CONNECTOR_ID) == TENANT
    scene.keys.forget(CONNECTOR_ID, TENANT)
    assert scene.keys.tenant_of(CONNECTOR_ID) is None
    assert scene.keys.ready(scene.memory.snapshots[CONNECTOR_ID]) is None
    await scene.warm()
    assert scene.service.calls == 2, "its tenant's keys are gone as well"


@on_loop
async def test_a_fault_while_opening_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path)

    def broken(vault: Vault, snapshot: ConnectorSnapshot) -> None:
        raise SealBroken("should have been caught")

    monkeypatch.setattr("services.ingest.connector_keys.open_connector", broken)
    exchange = scene.send()
    await scene.settle(lambda: exchange in scene.answers)
    assert scene.answers[exchange].status == 500


@on_loop
async def test_only_urls_that_were_called_in_truth_stay_in_memory(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.warm()
    wrong = {"x-hub-signature-256": signature(b"another body").encode()}
    for number in range(20):
        forged = scene.send(target=f"/webhooks/{CONNECTOR_ID}/00000000-0000-4000-8000-{number:012}", headers=wrong)
        assert scene.answers[forged].status == 401
    assert scene.edge._callers == {}
    first, second = scene.send(), scene.send()
    assert list(scene.edge._callers) == [f"/webhooks/{CONNECTOR_ID}".encode()]
    assert first.caller is second.caller
    scene.memory.snapshots[CONNECTOR_ID] = scene.connector(version=2)
    await scene.warm()
    scene.memory.reports[0](None)
    third = scene.send()
    assert third.caller.connector.version == 2
    assert list(scene.edge._callers.values()) == [third.caller]


@on_loop
async def test_a_connector_deleted_while_it_is_opened_is_not_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    snapshot = scene.memory.snapshots[CONNECTOR_ID]
    opening = asyncio.create_task(scene.keys.open(snapshot))
    await asyncio.sleep(0)
    scene.keys.forget(CONNECTOR_ID, TENANT)
    assert (await opening).snapshot is snapshot, "who waits is served"
    assert scene.keys.ready(snapshot) is None


@on_loop
async def test_requests_while_the_key_service_is_away_do_not_pile_up_on_its_error(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.service.away = True
    snapshot = scene.memory.snapshots[CONNECTOR_ID]
    depths = set[int]()
    for _ in range(6):
        with pytest.raises(Unavailable) as caught:
            await scene.keys.open(snapshot)
        depths.add(sum(1 for _ in traceback.walk_tb(caught.value.__traceback__)))
    assert scene.service.calls == 1
    assert len(depths) <= 2, "the first attempt, and all that share its failure"
