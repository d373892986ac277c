from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest

from shared.adapters.object_store import ObjectStore
from shared.adapters.sealing import Aad, DataKey, KeyRing
from shared.domain.errors import SealBroken, UnknownKey

PLACE = Aad("tenant", "channels.webhook.received", "body", "01900000-0000-7000-8000-000000000002")
KEY = os.urandom(32)


def ring() -> KeyRing:
    return KeyRing((DataKey("01900000-0000-7000-8000-000000000001", lambda: KEY),))


@pytest.mark.parametrize("parts", [[], [b""], [b"one"], [b"x" * 100_000, b"", b"y"], [os.urandom(1_048_576)] * 3])
def test_what_was_sealed_in_parts_opens_as_a_whole(parts: list[bytes]) -> None:
    stream = ring().seal_stream(PLACE)
    sealed = b"".join(stream.update(part) for part in parts) + stream.finish()
    assert ring().open_bytes(sealed, PLACE) == b"".join(parts)
    assert len(sealed) == len(ring().seal_bytes(b"".join(parts), PLACE))
    with pytest.raises(SealBroken):
        ring().open_bytes(sealed, PLACE._replace(row_id="01900000-0000-7000-8000-000000000003"))


def test_each_stream_has_a_nonce_of_its_own() -> None:
    streams = [ring().seal_stream(PLACE) for _ in range(2)]
    assert len({stream.update(b"same") + stream.finish() for stream in streams}) == 2


def test_an_empty_ring_seals_nothing() -> None:
    with pytest.raises(UnknownKey):
        KeyRing(()).seal_stream(PLACE)


def test_a_file_is_stored_from_where_it_stands(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path.as_uri())
    data = os.urandom(12_000_000)
    store.put_file("raw/t/1", BytesIO(data))
    assert store.get("raw/t/1") == data
