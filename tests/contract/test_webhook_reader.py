"""The router's own reader of raw records says, for every record and for every damage to one, what the codec says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.adapters.avro import Codec
from shared.adapters.webhook_reader import WebhookReader
from shared.domain.enums import RecordSource
from shared.domain.errors import CorruptData
from shared.domain.records import BodyReference, RawPosition, WebhookReceived
from shared.domain.topics import Topic

CODEC = Codec()
READER = WebhookReader(CODEC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
NUMBER = st.integers(-(2**63), 2**63 - 1)
TIME = st.integers(1_700_000_000_000, 1_900_000_000_000)
POSITION = st.builds(RawPosition, epoch=TEXT, partition=st.integers(0, 9), offset=st.integers(0), item=TEXT)
RECORD = st.builds(
    WebhookReceived,
    record_id=st.uuids().map(str) | TEXT,
    source=st.sampled_from(RecordSource),
    tenant_id=TEXT,
    connector_id=TEXT,
    url_account_id=st.none() | TEXT,
    received_at_ms=NUMBER | TIME,
    headers=st.dictionaries(TEXT, TEXT, max_size=4),
    secret_id=st.none() | TEXT,
    body_size_bytes=NUMBER,
    sealed_body=st.none() | st.binary(max_size=300) | st.sampled_from([b"x" * size for size in (63, 64, 8_191, 8_192, 262_189)]),
    body_reference=st.none() | st.builds(BodyReference, key=TEXT, size_bytes=NUMBER, sha256=TEXT),
    redelivery_of=st.none(),
    only_item=st.none() | TEXT,
)
USUAL = WebhookReceived(
    record_id="01990000-0000-7000-8000-000000000001",
    source=RecordSource.WEBHOOK,
    tenant_id="01990000-0000-7000-8000-000000000002",
    connector_id="01990000-0000-7000-8000-000000000003",
    url_account_id=None,
    received_at_ms=1_790_000_000_000,
    headers={"content-type": "application/json", "user-agent": "example"},
    secret_id="01990000-0000-7000-8000-000000000004/0",
    body_size_bytes=700,
    sealed_body=bytes(range(256)) * 3,
)


def told(decode: Any, data: bytes) -> Any:
    """What comes of it: a record, or that it is none."""
    try:
        return decode(data)
    except CorruptData:
        return CorruptData


def both(data: bytes) -> tuple[Any, Any]:
    return told(READER.decode, data), told(lambda data: CODEC.decode(Topic.WEBHOOK_RECEIVED, data), data)


@given(RECORD)
@example(USUAL)
def test_a_record_is_read_as_the_codec_reads_it(record: WebhookReceived) -> None:
    ours, theirs = both(CODEC.encode(Topic.WEBHOOK_RECEIVED, record))
    assert ours == theirs == record


@settings(max_examples=300)
@given(RECORD | st.just(USUAL), st.data())
def test_a_damaged_record_is_judged_as_the_codec_judges_it(record: WebhookReceived, data: st.DataObject) -> None:
    whole = CODEC.encode(Topic.WEBHOOK_RECEIVED, record)
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = data.draw(st.binary(max_size=3))
    ours, theirs = both(whole[:place] + changed + whole[place + data.draw(st.integers(0, 3)) :])
    assert ours == theirs


def test_every_byte_of_a_usual_record_changed_and_every_length_of_it() -> None:
    whole = CODEC.encode(Topic.WEBHOOK_RECEIVED, USUAL)
    sealed = whole.index(USUAL.sealed_body or b"")
    for place in [*range(sealed + 8), *range(len(whole) - 12, len(whole))]:
        for value in (0, 1, 2, 3, 0x7F, 0x80, 0x81, 0xFF, whole[place] ^ 1, whole[place] ^ 0x80):
            ours, theirs = both(whole[:place] + bytes((value,)) + whole[place + 1 :])
            assert ours == theirs, (place, value)
    for length in range(len(whole)):
        assert both(whole[:length]) == (CorruptData, CorruptData)


def test_the_usual_record_does_not_need_the_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    data = CODEC.encode(Topic.WEBHOOK_RECEIVED, USUAL)
    monkeypatch.setattr(CODEC, "decode", None)
    assert READER.decode(data) == USUAL


def test_headers_of_two_records_are_not_shared() -> None:
    data = CODEC.encode(Topic.WEBHOOK_RECEIVED, USUAL)
    assert READER.decode(data).headers is not READER.decode(data).headers
