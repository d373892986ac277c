from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.sealing import Aad, DataKey, KeyRing, decode64, encode64
from shared.domain.errors import SealBroken, Unavailable, UnknownKey

PLACE = Aad("tenant-1", "channel_token", "valor_encrypted", "row-1")


def data_key(number: int, key: bytes) -> DataKey:
    return DataKey(str(uuid.UUID(int=number)), lambda: key)


def ring_of(*keys: bytes) -> KeyRing:
    return KeyRing(tuple(data_key(key[0], key) for key in keys))


OLD, NEW = b"\x01" * 32, b"\x02" * 32


@given(plain=st.binary(max_size=300), parts=st.tuples(st.text(), st.text(), st.text(), st.text()))
@settings(deadline=None)
def test_what_was_sealed_opens_in_its_place(plain: bytes, parts: tuple[str, str, str, str]) -> None:
    try:
        place = Aad(*parts)
        place.encode()
    except UnicodeEncodeError:  # lone surrogates are no text; ids never hold them
        return
    ring = ring_of(NEW)
    assert ring.open_bytes(ring.seal_bytes(plain, place), place) == plain
    assert ring.open_text(ring.seal_text(plain, place), place) == plain


def test_the_place_of_any_row_begins_alike() -> None:
    rows = ("row-1", "row-2")
    assert [PLACE._replace(row_id="").encode_before(5) + row.encode() for row in rows] == [
        PLACE._replace(row_id=row).encode() for row in rows
    ]


@pytest.mark.req(32)
def test_every_flipped_bit_of_a_sealed_record_is_refused() -> None:
    ring = ring_of(NEW)
    sealed = ring.seal_bytes(b"body", PLACE)
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(SealBroken):
            ring.open_bytes(bytes(altered), PLACE)


@pytest.mark.req(32)
@pytest.mark.parametrize("plain", [b"", b"s", b"se", b"secret token"])  # lengths that leave 0, 2 and 4 spare bits in base64
def test_every_flipped_bit_of_a_sealed_text_is_refused(plain: bytes) -> None:
    ring = ring_of(b"\xab" * 32)  # a key id with letters: their case must not be free either
    sealed = ring.seal_text(plain, PLACE).encode()
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(SealBroken):
            ring.open_text(altered.decode("latin-1"), PLACE)


@pytest.mark.req(32)
@pytest.mark.parametrize(
    "elsewhere",
    [
        PLACE._replace(tenant_id="tenant-2"),
        PLACE._replace(table="channel_webhook"),
        PLACE._replace(column="segredo"),
        PLACE._replace(row_id="row-2"),
        Aad("tenant-1channel", "_token", "valor_encrypted", "row-1"),  # the same letters, cut elsewhere
    ],
)
def test_text_moved_to_another_place_is_refused(elsewhere: Aad) -> None:
    ring = ring_of(NEW)
    with pytest.raises(SealBroken):
        ring.open_text(ring.seal_text(b"secret", PLACE), elsewhere)
    with pytest.raises(SealBroken):
        ring.open_bytes(ring.seal_bytes(b"secret", PLACE), elsewhere)


@pytest.mark.req(32)
def test_another_key_under_the_same_id_is_refused() -> None:
    mine, other = KeyRing((data_key(9, OLD),)), KeyRing((data_key(9, NEW),))
    with pytest.raises(SealBroken):
        other.open_text(mine.seal_text(b"secret", PLACE), PLACE)


def test_truncated_and_foreign_text_is_refused() -> None:
    ring = ring_of(NEW)
    sealed, text = ring.seal_bytes(b"secret", PLACE), ring.seal_text(b"secret", PLACE)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            ring.open_bytes(sealed[:length], PLACE)
    for length in range(len(text)):
        with pytest.raises(SealBroken):
            ring.open_text(text[:length], PLACE)
    for foreign in (
        "",
        "|||",
        "1|||",
        "x" * 80,
        text + "=",
        text + "\n",
        " " + text,
        text + "|",
        "1" + text,
        "0" + text,
        "é" + text,
    ):
        with pytest.raises(SealBroken):
            ring.open_text(foreign, PLACE)
    version, *rest = text.split("|")
    with pytest.raises(SealBroken):
        ring.open_text("|".join([str(int(version) + 1), *rest]), PLACE)
    with pytest.raises(SealBroken):
        ring.open_bytes(b"\x02" + sealed[1:], PLACE)


def test_the_first_key_seals_and_every_key_opens() -> None:
    before, after = ring_of(OLD), ring_of(NEW, OLD)
    assert after.open_text(before.seal_text(b"old", PLACE), PLACE) == b"old"
    with pytest.raises(UnknownKey):
        before.open_text(after.seal_text(b"new", PLACE), PLACE)
    with pytest.raises(UnknownKey):
        before.open_bytes(after.seal_bytes(b"new", PLACE), PLACE)


def test_an_empty_ring_seals_nothing() -> None:
    with pytest.raises(UnknownKey):
        ring_of().seal_text(b"secret", PLACE)
    assert not ring_of().ready


def test_the_same_text_is_sealed_differently_each_time() -> None:
    ring = ring_of(NEW)
    assert len({ring.seal_bytes(b"same", PLACE) for _ in range(50)}) == 50


def _run(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_key_is_unwrapped_once_however_many_threads_need_it() -> None:
    calls: list[int] = []
    others = threading.Event()

    def unwrap() -> bytes:
        calls.append(1)
        others.wait(0.1)  # nobody sets it: time for the others to arrive
        return NEW

    ring = KeyRing((DataKey(str(uuid.UUID(int=1)), unwrap),))
    assert not ring.ready
    _run(8, lambda: ring.seal_bytes(b"x", PLACE))
    assert len(calls) == 1
    assert ring.ready


def test_a_failed_unwrap_is_not_remembered() -> None:
    answers: list[bytes] = [b"", NEW]

    def unwrap() -> bytes:
        key = answers.pop(0)
        if not key:
            raise Unavailable("key service away")
        return key

    ring = KeyRing((DataKey(str(uuid.UUID(int=1)), unwrap),))
    with pytest.raises(Unavailable):
        ring.warm()
    ring.warm()
    assert ring.ready


@given(st.binary(max_size=100))
def test_base64_has_one_spelling(data: bytes) -> None:
    assert decode64(encode64(data)) == data


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q+/A", "Q Q", "é", "QQ\n"])
def test_other_spellings_of_base64_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - binascii.Error and ours have nothing else in common
        decode64(text)
