from __future__ import annotations

import dataclasses
from io import BytesIO

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters import avro
from shared.adapters.avro import RECORD_TYPES, Codec
from shared.adapters.schema_files import AvroSchema, current_schemas, parse_text
from shared.domain.enums import RecordSource
from shared.domain.errors import CorruptData, InvalidInput
from shared.domain.records import RawPosition, SyncRequired, WebhookReceived
from shared.domain.topics import Topic

SYNC = SyncRequired(
    tenant_id="t", connector_id="c", account_id=None, cause="account_unknown", detail="", requested_at_ms=1_767_225_600_000
)
RAW = WebhookReceived(
    record_id="r",
    source=RecordSource.WEBHOOK,
    tenant_id="t",
    connector_id="c",
    url_account_id=None,
    received_at_ms=1,
    headers={"content-type": "application/json"},
    secret_id="s",
    body_size_bytes=3,
    sealed_body=b"\x00\xff\x80",
    redelivery_of=RawPosition(epoch="e", partition=2, offset=9),
)
CODEC = Codec()


def test_every_topic_has_a_record_type() -> None:
    assert set(RECORD_TYPES) == set(Topic)


def test_a_record_comes_back_equal() -> None:
    decoded = CODEC.decode(Topic.WEBHOOK_RECEIVED, CODEC.encode(Topic.WEBHOOK_RECEIVED, RAW))
    assert decoded == RAW
    assert type(decoded.source) is RecordSource
    assert type(decoded.sealed_body) is bytes


def test_the_bytes_on_the_wire_are_single_object_encoding() -> None:
    assert CODEC.encode(Topic.SYNC_REQUIRED, SYNC) == (
        b"\xc3\x01" + bytes.fromhex("fb20194d47856e1e") + b"\x02t\x02c\x00\x1eaccount_unknown\x00" + bytes.fromhex("80a0d5edee66")
    )


def test_the_fingerprint_is_that_of_the_specification() -> None:
    # CRC-64-AVRO of "int" is 7275d51a3f395c8f, written little-endian
    schema = parse_text('{"type": "record", "name": "R", "doc": "x", "fields": [{"name": "a", "type": {"type": "int"}}]}')
    assert schema.fingerprint == _crc64(b'{"name":"R","type":"record","fields":[{"name":"a","type":"int"}]}')
    assert _crc64(b'"int"') == bytes.fromhex("8f5c393f1ad57572")


def _crc64(data: bytes) -> bytes:
    """The algorithm as the Avro specification prints it, bit by bit."""
    empty = 0xC15D213AA4D7A795
    value = empty
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (empty if value & 1 else 0)
    return value.to_bytes(8, "little")


def test_another_topics_record_is_not_encoded() -> None:
    with pytest.raises(InvalidInput, match=r"channels\.audit carries AuditRecorded, not SyncRequired"):
        CODEC.encode(Topic.AUDIT, SYNC)


@pytest.mark.parametrize("change", [{"detail": "private \ud800"}, {"requested_at_ms": 2**63}, {"cause": 7}])
def test_a_value_that_does_not_fit_is_refused_and_not_quoted(change: dict[str, object]) -> None:
    broken = dataclasses.replace(SYNC, **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="a SyncRequired does not fit its schema") as caught:
        CODEC.encode(Topic.SYNC_REQUIRED, broken)
    assert "private" not in str(caught.value)
    assert caught.value.__cause__ is None


ENCODED = CODEC.encode(Topic.WEBHOOK_RECEIVED, RAW)


@pytest.mark.parametrize("length", range(len(ENCODED)))
def test_a_cut_record_is_corrupt(length: int) -> None:
    with pytest.raises(CorruptData):
        CODEC.decode(Topic.WEBHOOK_RECEIVED, ENCODED[:length])


def test_trailing_bytes_are_corrupt() -> None:
    with pytest.raises(CorruptData, match="1 bytes follow"):
        CODEC.decode(Topic.WEBHOOK_RECEIVED, ENCODED + b"\x00")


def test_an_unknown_writer_is_named_by_its_fingerprint() -> None:
    with pytest.raises(CorruptData, match="fingerprint 0102030405060708"):
        CODEC.decode(Topic.WEBHOOK_RECEIVED, b"\xc3\x01" + bytes(range(1, 9)) + b"x")


def test_another_topics_bytes_are_corrupt() -> None:
    with pytest.raises(CorruptData, match="no known schema"):
        CODEC.decode(Topic.AUDIT, ENCODED)


def test_registry_framing_without_a_registry_says_what_to_set() -> None:
    with pytest.raises(CorruptData, match="CHANNELS_SCHEMA_REGISTRY_URL is not set"):
        CODEC.decode(Topic.AUDIT, b"\x00\x00\x00\x00\x07" + ENCODED[10:])


def test_a_value_outside_of_a_closed_set_is_corrupt() -> None:
    with pytest.raises(CorruptData, match="ValidationError"):
        CODEC.decode(Topic.WEBHOOK_RECEIVED, ENCODED.replace(b"\x0ewebhook", b"\x0ewebhooh"))


@given(st.binary(max_size=80))
def test_garbage_is_corrupt_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(CorruptData):
        CODEC.decode(Topic.WEBHOOK_RECEIVED, ENCODED[:10] + garbage[:60] + b"\xff" * 12)


@given(st.integers(0, len(ENCODED) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_corrupt_or_another_record(place: int, flip: int) -> None:
    broken = bytearray(ENCODED)
    broken[place] ^= flip
    try:
        decoded = CODEC.decode(Topic.WEBHOOK_RECEIVED, bytes(broken))
    except CorruptData:
        return
    assert type(decoded) is WebhookReceived
    assert decoded != RAW


OLDER = """{"type": "record", "name": "SyncRequired", "namespace": "channels", "fields": [
 {"name": "tenant_id", "type": "string"}, {"name": "connector_id", "type": "string"},
 {"name": "cause", "type": "string"}, {"name": "old_word", "type": "string"},
 {"name": "detail", "type": "string"}, {"name": "requested_at_ms", "type": "int"}]}"""


def _older_bytes(schema: AvroSchema) -> bytes:
    stream = BytesIO()
    fields = {"tenant_id": "t", "connector_id": "c", "cause": "x", "old_word": "gone", "detail": "d", "requested_at_ms": 5}
    fastavro.schemaless_writer(stream, schema.parsed, fields)
    return b"\xc3\x01" + schema.fingerprint + stream.getvalue()


def test_a_released_older_schema_is_resolved_to_todays_record(monkeypatch: pytest.MonkeyPatch) -> None:
    older = parse_text(OLDER)
    monkeypatch.setattr(avro, "released_schemas", lambda: {"0.0.1": {"SyncRequired": older}})
    decoded = Codec().decode(Topic.SYNC_REQUIRED, _older_bytes(older))
    assert decoded == SyncRequired(tenant_id="t", connector_id="c", account_id=None, cause="x", detail="d", requested_at_ms=5)


def test_an_unreleased_older_schema_is_unknown() -> None:
    older = parse_text(OLDER)
    assert older.fingerprint != current_schemas()["SyncRequired"].fingerprint
    with pytest.raises(CorruptData, match="no known schema"):
        CODEC.decode(Topic.SYNC_REQUIRED, _older_bytes(older))
