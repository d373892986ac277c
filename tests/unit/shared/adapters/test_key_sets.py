from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.adapters.key_set_source import MAX_BYTES, from_file
from shared.adapters.key_sets import Freshness, KeySet, parse_key_set
from shared.domain.errors import Unavailable
from tests.unit.shared.adapters.token_keys import KEYS, jwk, key_set
from tests.waiting import allowed, eventually

OLD, NEW = key_set(jwk(KEYS["EdDSA"], "old")), key_set(jwk(KEYS["EdDSA"], "old"), jwk(KEYS["ES256"], "new"))


class Source:
    """A key set that counts who asks, and fails or waits when told to."""

    def __init__(self, content: bytes = OLD) -> None:
        self.content, self.asked, self.now = content, 0, 1000.0
        self.fails = False
        self.gate: threading.Event | None = None

    def fetch(self) -> bytes:
        self.asked += 1
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.fails:
            raise Unavailable("away")
        return self.content

    def keys(self, allowed: Callable[[str | None], bool] = lambda _: True) -> KeySet:
        freshness = Freshness(max_age=300, retry=10, stale=3600)
        return KeySet(self.fetch, freshness, clock=lambda: self.now, allowed=allowed)


def test_a_set_is_fetched_once_and_kept() -> None:
    source = Source()
    keys = source.keys()
    assert source.asked == 0  # making it reads nothing
    assert all(keys.find("old") for _ in range(100))
    assert source.asked == 1


def test_an_unknown_key_is_asked_for_at_a_bounded_rate() -> None:
    source = Source()
    keys = source.keys()
    assert keys.find("new") is None
    source.content = NEW
    for _ in range(1000):
        assert keys.find("new") is None  # a flood of invented ids makes no flood of calls
    assert source.asked == 1
    source.now += 10
    assert keys.find("new") is not None
    assert source.asked == 2


def test_an_old_set_is_renewed_beside_and_nobody_waits() -> None:
    source = Source()
    keys = source.keys()
    keys.find("old")
    source.now, source.content, source.gate = source.now + 301, NEW, threading.Event()
    began = time.monotonic()
    assert all(keys.find("old") for _ in range(50))
    assert time.monotonic() - began < allowed(5)
    eventually(lambda: source.asked == 2)
    with pytest.raises(Unavailable, match="being fetched"):
        keys.find("new")  # it may be in what is on its way: no reason to call the token wrong, nor to hold a thread
    source.gate.set()
    eventually(lambda: not keys._asking)
    eventually(lambda: keys.find("new") is not None)
    assert source.asked == 2


def test_keys_stay_in_force_while_the_source_is_away_and_not_for_ever() -> None:
    source = Source()
    keys = source.keys()
    keys.find("old")
    source.fails = True
    source.now += 300 + 3600
    assert keys.find("old") is not None
    eventually(lambda: source.asked == 2)
    source.now += 1
    source.now += 10
    with pytest.raises(Unavailable, match="away"):
        keys.find("old")
    source.fails = False
    source.now += 10
    assert keys.find("old") is not None


def test_a_source_that_is_away_from_the_start_is_asked_at_a_bounded_rate() -> None:
    source = Source()
    source.fails = True
    keys = source.keys()
    for _ in range(100):
        with pytest.raises(Unavailable, match="away"):
            keys.find("old")
    assert source.asked == 1


@pytest.mark.parametrize("damaged", [b"", b"{}", b"[]", b'{"keys": 7}', b'{"keys": []}', b"\xff", b"[" * 100_000])
def test_a_damaged_set_does_not_replace_a_good_one(damaged: bytes) -> None:
    source = Source()
    keys = source.keys()
    keys.find("old")
    source.content, source.now = damaged, source.now + 10
    assert keys.find("unheard") is None
    assert (source.asked, keys.find("old") is not None) == (2, True)


def test_a_key_that_is_taken_out_proves_nothing_from_then_on() -> None:
    source = Source(NEW)
    keys = source.keys()
    assert keys.find("new") is not None
    source.content, source.now = OLD, source.now + 301
    keys.find("old")
    eventually(lambda: keys.find("new") is None)


def test_a_key_that_was_taken_out_in_a_quiet_night_proves_nothing_in_the_morning() -> None:
    source = Source(NEW)
    keys = source.keys()
    assert keys.find("new") is not None
    source.content, source.now = OLD, source.now + 3000  # nobody asked for anything, so nobody asked for a new set
    assert keys.find("new") is None
    source.fails, source.now = True, source.now + 3000
    assert keys.find("old") is not None  # but a source that is away now costs nobody anything


def test_many_at_once_make_one_call() -> None:
    source = Source()
    source.gate = threading.Event()
    keys = source.keys()
    with ThreadPoolExecutor(16) as pool:
        found = [pool.submit(keys.find, "old") for _ in range(16)]
        eventually(lambda: source.asked == 1)
        source.gate.set()
        assert all(future.result(10) for future in found)
    assert source.asked == 1


def test_keys_that_are_not_allowed_are_not_there() -> None:
    keys = Source(NEW).keys(allowed=lambda key_id: key_id != "new")
    assert (keys.find("new"), keys.find("old") is not None) == (None, True)


def test_a_set_has_a_bounded_number_of_keys_and_the_first_of_an_id_stays() -> None:
    many = [jwk(KEYS["EdDSA"], f"key {number}") for number in range(200)]
    assert len(parse_key_set(json.dumps({"keys": many}).encode())) == 100
    twice = parse_key_set(key_set(jwk(KEYS["EdDSA"], "a"), jwk(KEYS["RS256"], "a")))
    assert twice["a"].algorithm == "EdDSA"


def test_a_file_is_read_anew_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(Unavailable, match="No such file"):
        from_file(path)()
    path.write_bytes(NEW)
    assert from_file(path)() == NEW
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(Unavailable, match="too large"):
        from_file(path)()
