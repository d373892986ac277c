from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from prometheus_client import CollectorRegistry

from services.router.batches import AT_ONCE, Batch, Batches
from services.router.facts import Opened
from shared.adapters.kafka_transactions import RawMessage
from shared.domain.errors import Unavailable
from shared.runtime.metrics import RouterMetrics
from tests.unit.services.router.builders import KnownAccounts, account, message, opened

SECONDS = 10


class Opener:
    """Opens what is set before it: as many items as the value says; notes in which thread."""

    def __init__(self) -> None:
        self.threads: dict[int, int] = {}
        self.away: set[int] = set()
        self.go_on = threading.Event()
        self.go_on.set()

    def open_some(self, messages: Sequence[RawMessage], max_items: int, max_bytes: int) -> list[Opened]:
        found: list[Opened] = []
        for raw in messages:
            if found and (raw.offset in self.away or items_in(found) > max_items or size_of(found) > max_bytes):
                break
            found.append(self.open(raw))
        return found

    def open(self, raw: RawMessage) -> Opened:
        assert self.go_on.wait(SECONDS)
        self.threads[raw.offset] = threading.get_ident()
        if raw.offset in self.away:
            raise Unavailable("no snapshot yet")
        items = [message(f"wamid.{raw.offset}.{place}", path=f"/m/{place}") for place in range(int(raw.value))]
        return opened(raw.offset, *items, partition=raw.partition, size_bytes=len(raw.value))


def items_in(records: Sequence[Opened]) -> int:
    return sum(len(record.items) for record in records)


def size_of(records: Sequence[Opened]) -> int:
    return sum(record.size_bytes for record in records)


class BrokenAccounts(KnownAccounts):
    def account_by_ref(self, connector_id: str, ref: str) -> None:
        raise ZeroDivisionError


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def batches(opener: Opener) -> Iterator[Batches]:
    made = Batches(opener, KnownAccounts(account()), RouterMetrics(CollectorRegistry()), 3, 100)  # type: ignore[arg-type]
    yield made
    opener.go_on.set()
    made.close()


def raws(*offsets: int, partition: int = 0, items: int = 1) -> list[RawMessage]:
    return [RawMessage(partition, offset, b"key", b"%d" % items, None) for offset in offsets]


def offsets(batch: Batch | None) -> list[int]:
    return [] if batch is None else [record.offset for record in batch.records]


def wait_ready(batches: Batches) -> None:
    assert batches._ahead is not None
    batches._ahead.exception(SECONDS)


def test_batches_end_at_the_bound_and_keep_the_order(batches: Batches) -> None:
    batches.add([*raws(0, 1), *raws(2, items=9), *raws(3, 4, 5, 6)])
    taken = []
    while batch := batches.take():
        batches.open_ahead()
        taken.append(offsets(batch))
    assert taken == [[0, 1], [2], [3, 4, 5], [6]]


def test_many_records_without_items_and_many_with_one_end_at_the_same_bounds(opener: Opener) -> None:
    full = 2 * AT_ONCE
    batches = Batches(opener, KnownAccounts(account()), RouterMetrics(CollectorRegistry()), full, 10_000)  # type: ignore[arg-type]
    batches.add([*raws(*range(100)), *raws(*range(100, 300), items=0), *raws(*range(300, 400))])
    assert offsets(batches.take()) == list(range(200 + full))
    assert offsets(batches.take()) == list(range(200 + full, 400))
    batches.add([*raws(*range(full)), *raws(*range(full, full + 9), items=0), *raws(full + 9)])
    assert offsets(batches.take()) == list(range(full + 9))
    assert offsets(batches.take()) == [full + 9]
    batches.close()


def test_the_next_batch_is_opened_by_another_thread_while_one_is_in_hand(batches: Batches, opener: Opener) -> None:
    batches.add(raws(*range(6)))
    assert offsets(batches.take()) == [0, 1, 2]
    batches.open_ahead()
    wait_ready(batches)
    assert {opener.threads[offset] for offset in (0, 1, 2)} == {threading.get_ident()}
    assert threading.get_ident() not in {opener.threads[offset] for offset in (3, 4, 5)}
    batch = batches.take()
    assert offsets(batch) == [3, 4, 5]
    assert batch is not None
    assert [one.item.dedup_key for one in batch.candidates or ()] == [f"wamid.{n}.0" for n in (3, 4, 5)]


def test_what_was_opened_ahead_is_forgotten_with_all_that_waits(batches: Batches, opener: Opener) -> None:
    batches.add(raws(*range(9)))
    batches.take()
    opener.go_on.clear()
    batches.open_ahead()
    threading.Timer(0.05, opener.go_on.set).start()
    batches.clear()
    assert batches.empty
    assert batches.take() is None
    batches.add(raws(0))
    assert offsets(batches.take()) == [0]


def test_records_of_a_partition_that_went_elsewhere_are_dropped_also_when_they_lie_ready(batches: Batches) -> None:
    batches.add(raws(0, 1, 2))
    batches.add([*raws(10), *raws(70, partition=7), *raws(11), *raws(12), *raws(71, partition=7)])
    assert offsets(batches.take()) == [0, 1, 2]
    batches.open_ahead()
    wait_ready(batches)
    assert batches.partitions() == {0, 7}
    batches.drop({7})
    assert batches.partitions() == {0}
    assert [offsets(batches.take()), offsets(batches.take()), offsets(batches.take())] == [[10, 11], [12], []]


def test_a_partition_that_lay_ready_alone_leaves_nothing_behind(batches: Batches) -> None:
    batches.add([*raws(0, 1, 2), *raws(70, 71, partition=7)])
    batches.take()
    batches.open_ahead()
    batches.drop({7})
    assert batches.partitions() == set()
    assert batches.take() is None


def test_a_part_that_is_away_ends_the_batch_before_it_and_is_told_when_its_turn_comes(batches: Batches, opener: Opener) -> None:
    opener.away = {1, 2}
    batches.add(raws(0, 1, 2))
    assert offsets(batches.take()) == [0]
    batches.open_ahead()
    wait_ready(batches)
    with pytest.raises(Unavailable):
        batches.take()
    opener.away.clear()
    assert offsets(batches.take()) == [1, 2]  # nothing was lost by the attempt


def test_a_fault_of_ours_in_sorting_is_left_to_whoever_settles(opener: Opener) -> None:
    batches = Batches(opener, BrokenAccounts(), RouterMetrics(CollectorRegistry()), 3, 100)  # type: ignore[arg-type]
    batches.add(raws(0))
    assert batches.take() == Batch([opener.open(raws(0)[0])], None)
    batches.close()


def test_more_is_fetched_while_less_than_one_batch_waits_beside_the_one_that_lies_ready(batches: Batches) -> None:
    assert batches.wanted() == 6
    batches.add(raws(*range(6)))
    assert batches.wanted() == 0
    batches.take()
    batches.open_ahead()
    assert batches.wanted() == 3
    batches.add([RawMessage(0, 9, b"", b"9" * 100, None)])
    assert batches.wanted() == 0  # enough bytes wait
    batches.clear()
    assert batches.wanted() == 6
