from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from shared.adapters.object_store import ObjectStore
from shared.adapters.raw_body import LARGE_BODY_BYTES, body_aad, body_reference, open_body
from shared.adapters.sealing import DataKey, KeyRing
from shared.domain.enums import RecordSource
from shared.domain.errors import ConfigError, CorruptData, NotFound, SealBroken, Unavailable
from shared.domain.records import WebhookReceived

RING = KeyRing((DataKey(str(uuid.UUID(int=1)), lambda: b"k" * 32),))
RECORD = WebhookReceived(
    record_id="r1",
    source=RecordSource.WEBHOOK,
    tenant_id="t1",
    connector_id="c1",
    url_account_id=None,
    received_at_ms=1,
    headers={},
    secret_id=None,
    body_size_bytes=4,
)
LARGE = b"large" * LARGE_BODY_BYTES


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}/made on demand")


def with_reference(store: ObjectStore) -> WebhookReceived:
    reference = body_reference("t1", "r1", LARGE)
    store.put(reference.key, RING.seal_bytes(LARGE, body_aad("t1", "r1")))
    return replace(RECORD, body_reference=reference)


@pytest.mark.parametrize("body", [b"", b"body"])
def test_a_small_body_lies_sealed_in_the_record(store: ObjectStore, body: bytes) -> None:
    record = replace(RECORD, sealed_body=RING.seal_bytes(body, body_aad("t1", "r1")))
    assert open_body(record, RING, store) == body


@pytest.mark.req(32)
@pytest.mark.parametrize("moved", [{"record_id": "r2"}, {"tenant_id": "t2"}])
def test_a_body_moved_to_another_record_is_refused(store: ObjectStore, moved: dict[str, str]) -> None:
    record = replace(RECORD, sealed_body=RING.seal_bytes(b"body", body_aad("t1", "r1")))
    with pytest.raises(SealBroken):
        open_body(replace(record, **moved), RING, store)  # type: ignore[arg-type]
    with pytest.raises(SealBroken):
        open_body(replace(with_reference(store), **moved), RING, store)  # type: ignore[arg-type]


def test_a_large_body_is_read_back_from_the_store(store: ObjectStore, tmp_path: Path) -> None:
    assert open_body(with_reference(store), RING, store) == LARGE
    assert not any(b"largelarge" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("wrong", [{"size_bytes": 1}, {"sha256": "0" * 64}])
def test_another_body_than_the_one_referred_to_is_refused(store: ObjectStore, wrong: dict[str, int | str]) -> None:
    record = with_reference(store)
    assert record.body_reference is not None
    with pytest.raises(CorruptData):
        open_body(replace(record, body_reference=replace(record.body_reference, **wrong)), RING, store)  # type: ignore[arg-type]


def test_a_pruned_body_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(NotFound):
        open_body(replace(RECORD, body_reference=body_reference("t1", "r1", LARGE)), RING, store)


def test_a_record_with_no_body_or_two_is_corrupt(store: ObjectStore) -> None:
    with pytest.raises(CorruptData):
        open_body(RECORD, RING, store)
    with pytest.raises(CorruptData):
        open_body(replace(with_reference(store), sealed_body=b"x"), RING, store)


@pytest.mark.parametrize("key", ["../escape", "a//b"])
def test_a_key_cannot_leave_the_store(store: ObjectStore, key: str) -> None:
    with pytest.raises(NotFound):
        store.get(key)


def test_putting_without_blocking_the_event_loop() -> None:
    store = ObjectStore("memory:///")
    asyncio.run(store.put_async("a/b", b"sealed"))
    assert store.get("a/b") == b"sealed"


def test_a_store_that_cannot_write_is_unavailable(tmp_path: Path) -> None:
    store = ObjectStore(f"file://{tmp_path}/objects")
    (tmp_path / "objects" / "raw").write_text("a file where a directory must be")
    with pytest.raises(Unavailable):
        store.put("raw/t1/r1", b"sealed")


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://host/x", "file://relative", "file:///dev/null/x"])
def test_a_url_that_cannot_work_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigError, match="CHANNELS_OBJECT_STORE_URL"):
        ObjectStore(url)
