from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from services.router.facts import Opened
from services.router.opening import Opener
from shared.adapters.avro import Codec
from shared.adapters.directory import Directory
from shared.adapters.kafka_transactions import RawMessage
from shared.adapters.object_store import ObjectStore
from shared.adapters.raw_body import body_aad, body_reference
from shared.adapters.vault import LocalKeyFiles, Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import Unavailable
from shared.domain.records import WebhookReceived
from shared.domain.topics import Topic
from shared.providers.whatsapp_official.samples import encode, text_message
from tests.unit.services.router.builders import ARRIVAL_MS, CONNECTOR, TENANT, account, connector, opened

STRANGER = "00000000-0000-7000-8000-0000000000c9"
FAR, BIG = 1_000, 1 << 20


class Edge:
    """Writes raw records as the edge does, and has the opener that reads them."""

    def __init__(self, folder: Path) -> None:
        LocalKeyFiles.create(folder)
        self.codec, self.objects = Codec(), ObjectStore("memory:///")
        vault = Vault(LocalKeyFiles(folder, frozenset({KeyPurpose.INGEST})))
        key = vault.new_data_key(KeyPurpose.INGEST, TENANT)
        self._ring = vault.ring(KeyPurpose.INGEST, TENANT, (key,))
        directory = Directory()
        directory.put_connector(replace(connector(), ingest_keys=(key,)))
        directory.put_account(account())
        self.opener = Opener(self.codec, vault, self.objects, directory, lambda: ARRIVAL_MS)

    def record(self, *texts: str, stored: bool = False, **changes: object) -> WebhookReceived:
        """`stored`: its body lies in the object store."""
        message = text_message(message_id="wamid.0")
        value = message["entry"][0]["changes"][0]["value"]
        value["messages"] = [value["messages"][0] | {"id": f"wamid.{text}"} for text in texts]
        body = encode(message)
        plain = opened(0).record
        assert plain is not None
        record = replace(plain, received_at_ms=ARRIVAL_MS - 3_600_000)
        sealed = self._ring.seal_bytes(body, body_aad(TENANT, record.record_id))
        if stored:
            reference = body_reference(TENANT, record.record_id, body)
            self.objects.put(reference.key, sealed)
            return replace(record, sealed_body=None, body_reference=reference)
        return replace(record, **({"sealed_body": sealed} | changes))  # type: ignore[arg-type]

    def messages(self, *records: WebhookReceived | bytes) -> list[RawMessage]:
        values = [one if isinstance(one, bytes) else self.codec.encode(Topic.WEBHOOK_RECEIVED, one) for one in records]
        return [RawMessage(0, offset, CONNECTOR.encode(), value, None) for offset, value in enumerate(values)]


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    return Edge(tmp_path / "keys")


def offsets(records: Sequence[Opened]) -> list[int]:
    return [record.offset for record in records]


def test_records_that_are_opened_together_are_what_each_is_alone(edge: Edge) -> None:
    young_and_strange = edge.record("9", connector_id=STRANGER, received_at_ms=ARRIVAL_MS - 60_000)
    broken = edge.record("2")
    messages = edge.messages(
        edge.record("1"),
        b"no record at all",
        replace(broken, sealed_body=(broken.sealed_body or b"")[:-1]),
        edge.record("3", "4", "5"),
        edge.record("6", sealed_body=None),
        young_and_strange,
        edge.record(),
    )
    alone = [one for message in messages for one in edge.opener.open_some([message], FAR, BIG)]
    assert edge.opener.open_some(messages, FAR, BIG) == alone
    reasons = [[getattr(item, "reason", item.dedup_key) for item in one.items] for one in alone]
    assert reasons[:3] == [["wamid.1"], ["undecodable_record"], ["seal_broken"]]
    assert reasons[3:6] == [["wamid.3", "wamid.4", "wamid.5"], ["body_missing"], ["unknown_connector"]]


def test_the_record_that_goes_beyond_a_bound_is_the_last(edge: Edge) -> None:
    messages = edge.messages(*[edge.record(f"{number}a", f"{number}b") for number in range(5)])
    assert offsets(edge.opener.open_some(messages, 4, BIG)) == [0, 1, 2]
    assert offsets(edge.opener.open_some(messages, 0, BIG)) == [0]
    size = edge.opener.open_some(messages[:1], FAR, BIG)[0].size_bytes
    assert offsets(edge.opener.open_some(messages, FAR, 2 * size)) == [0, 1, 2]
    assert offsets(edge.opener.open_some(messages, FAR, -1)) == [0]


def test_a_body_in_the_object_store_is_opened_with_nothing_before_it(edge: Edge) -> None:
    messages = edge.messages(edge.record("1"), edge.record("2", stored=True), edge.record("3"))
    assert offsets(edge.opener.open_some(messages, FAR, BIG)) == [0]
    assert offsets(edge.opener.open_some(messages[1:], FAR, BIG)) == [1, 2]


def test_what_can_be_opened_before_a_part_that_is_away_is_opened(edge: Edge) -> None:
    unknown_yet = edge.record("2", connector_id=STRANGER, received_at_ms=ARRIVAL_MS)
    messages = edge.messages(edge.record("1"), unknown_yet, edge.record("3"))
    assert offsets(edge.opener.open_some(messages, FAR, BIG)) == [0]
    with pytest.raises(Unavailable, match="no snapshot of connector"):
        edge.opener.open_some(messages[1:], FAR, BIG)


def test_what_can_be_opened_before_a_schema_that_cannot_be_asked_for_is_opened(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = edge.messages(edge.record("1"), b"of another schema", edge.record("3"))
    decode = edge.codec.decode

    def without_registry(topic: Topic, data: bytes) -> object:
        if data == b"of another schema":
            raise Unavailable("no registry")
        return decode(topic, data)

    monkeypatch.setattr(edge.codec, "decode", without_registry)
    assert offsets(edge.opener.open_some(messages, FAR, BIG)) == [0]
    with pytest.raises(Unavailable, match="no registry"):
        edge.opener.open_some(messages[1:], FAR, BIG)
