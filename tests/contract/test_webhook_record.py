"""The record that the edge writes field by field is, byte for byte, what the codec makes of the same values."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from shared.adapters.avro import Codec
from shared.adapters.webhook_record import WebhookRecords, origin_of
from shared.domain.enums import RecordSource
from shared.domain.records import WebhookReceived
from shared.domain.topics import Topic

CODEC = Codec()
RECORDS = WebhookRecords(CODEC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
RECORD_ID = "01990000-0000-7000-8000-000000000001"
NUMBER = st.integers(0, 2**63 - 1)


@given(
    record_id=st.uuids().map(str),
    tenant_id=TEXT,
    connector_id=TEXT,
    url_account_id=st.none() | TEXT,
    received_at_ms=NUMBER,
    headers=st.dictionaries(TEXT, TEXT, max_size=4),
    secret_id=st.none() | TEXT,
    body_size_bytes=NUMBER,
    sealed_body=st.binary(max_size=300) | st.sampled_from([b"x" * size for size in (63, 64, 8_191, 8_192, 262_189)]),
)
@example(RECORD_ID, "t", "c", None, 0, {}, None, 63, b"")
@example(RECORD_ID, "t", "c", "a", 2**63 - 1, {"content-type": "application/json"}, "w/0", 8_192, b"x" * 64)
def test_the_bytes_are_those_of_the_codec(
    record_id: str,
    tenant_id: str,
    connector_id: str,
    url_account_id: str | None,
    received_at_ms: int,
    headers: dict[str, str],
    secret_id: str | None,
    body_size_bytes: int,
    sealed_body: bytes,
) -> None:
    record = WebhookReceived(
        record_id=record_id,
        source=RecordSource.WEBHOOK,
        tenant_id=tenant_id,
        connector_id=connector_id,
        url_account_id=url_account_id,
        received_at_ms=received_at_ms,
        headers=headers,
        secret_id=secret_id,
        body_size_bytes=body_size_bytes,
        sealed_body=sealed_body,
    )
    written = RECORDS.encode(
        origin_of(tenant_id, connector_id, url_account_id),
        record_id=record_id.encode(),
        received_at_ms=received_at_ms,
        headers=tuple(headers.items()),
        secret_id=secret_id,
        body_size_bytes=body_size_bytes,
        sealed_body=(sealed_body[:17], sealed_body[17:29], sealed_body[29:]),
    )
    assert written == CODEC.encode(Topic.WEBHOOK_RECEIVED, record)
