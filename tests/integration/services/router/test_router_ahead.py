"""The next batch lies ready while one is settled: whatever becomes of the one in hand, the ready one comes once, and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer, TopicPartition

from services.router.batches import Batch
from shared.adapters.kafka import client_config
from shared.adapters.kafka_transactions import Aborted
from shared.domain.errors import Unavailable
from tests.integration.services.router.conftest import RunningRouter
from tests.integration.services.router.test_router_faults import assert_each_once_in_order, post_numbers
from tests.pipeline import Pipeline

TOTAL, SIZE = 120, 20
SECONDS = 10
Commit = Callable[..., None]


class Ahead:
    """A router of which one commit can be spoilt, at a moment when the batch after it lies ready."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.running = RunningRouter(pipeline, batch_items=SIZE)
        self.worker = self.running.parts.worker
        self.spoilt: list[list[int]] = []  # offsets that lay ready when a commit was spoilt
        self.settled: list[tuple[int, int]] = []  # first and last offset of each batch that was begun

    def spoil_second_commit(self, instead: Callable[[Commit], Commit]) -> None:
        """The second commit is done by what `instead` makes of the real one."""
        commit, calls = self.worker.commit, iter(range(1_000))

        def spoilt(*arguments: object) -> None:
            if next(calls) == 1:
                self.spoilt.append(self.ready())
                return instead(commit)(*arguments)
            return commit(*arguments)  # type: ignore[arg-type]

        self.worker.commit = spoilt  # type: ignore[method-assign, assignment]

    def ready(self) -> list[int]:
        """Offsets of the batch that lies ready, once it does."""
        ahead = self.running.router._batches._ahead
        assert ahead is not None
        batch = ahead.result(SECONDS)
        assert batch is not None
        return [record.offset for record in batch.records]

    def start(self) -> None:
        """Post everything first, so that there is always a next batch."""
        post_numbers(self.pipeline, range(TOTAL))
        settle = self.running.router._settle

        def noted(batch: Batch) -> None:
            self.settled.append((batch.records[0].offset, batch.records[-1].offset))
            settle(batch)

        self.running.router._settle = noted  # type: ignore[method-assign]
        self.running.start()


@pytest.fixture
def ahead(pipeline: Pipeline) -> Iterator[Ahead]:
    made = Ahead(pipeline)
    yield made
    made.running.stop()
    assert made.running.failure is None


def assert_nothing_lost_doubled_or_early(ahead: Ahead) -> None:
    assert_each_once_in_order(ahead.pipeline, TOTAL)
    assert ahead.pipeline.books(10, TOTAL) == {("emitted", "org_unit"): TOTAL}
    assert ahead.spoilt == [list(range(2 * SIZE, 3 * SIZE))]
    assert ahead.settled[1] == (SIZE, 2 * SIZE - 1)
    assert ahead.settled[2][0] == SIZE  # the batch that failed was done again before the one that had lain ready


def aborted_before(commit: Commit) -> Commit:
    def spoilt(*_: object) -> None:
        raise Aborted("planted: nothing of it was written")

    return spoilt


def aborted_after(commit: Commit) -> Commit:
    def spoilt(*arguments: object) -> None:
        commit(*arguments)
        raise Aborted("planted: committed, but nobody told us")

    return spoilt


def kafka_away(commit: Commit) -> Commit:
    def spoilt(*_: object) -> None:
        raise Unavailable("planted: Kafka is away")

    return spoilt


@pytest.mark.parametrize("instead", [aborted_before, kafka_away])
def test_a_batch_fails_while_the_next_lies_ready(ahead: Ahead, instead: Callable[[Commit], Commit]) -> None:
    ahead.spoil_second_commit(instead)
    ahead.start()
    assert_nothing_lost_doubled_or_early(ahead)


def test_a_commit_whose_end_is_unknown_while_the_next_lies_ready(ahead: Ahead) -> None:
    ahead.spoil_second_commit(aborted_after)
    ahead.start()
    assert_each_once_in_order(ahead.pipeline, TOTAL)
    assert ahead.pipeline.books(10, TOTAL) == {("emitted", "org_unit"): TOTAL}
    assert ahead.settled[2][0] == 2 * SIZE  # it went on where the committed offset was


def test_fenced_while_the_next_lies_ready(ahead: Ahead) -> None:
    def stolen(commit: Commit) -> Commit:
        name = f"{ahead.pipeline.prefix}channels-router-0"
        thief = Producer(client_config(ahead.pipeline.bootstrap, "thief") | {"transactional.id": name})
        thief.init_transactions(10)
        return commit

    ahead.spoil_second_commit(stolen)
    ahead.start()
    assert_nothing_lost_doubled_or_early(ahead)


def test_the_partition_goes_elsewhere_while_its_records_lie_ready_and_comes_back(ahead: Ahead) -> None:
    """As a rebalance does it, inside `consume`: gone in one round, back in a later one, from the committed offset."""
    worker, consume = ahead.worker, ahead.worker.consume
    partition = TopicPartition(worker._topic, 0)
    away: list[int] = []  # how many batches were begun before each round without the partition
    lay_ready: list[int] = []

    def consume_and_rebalance(*arguments: object) -> object:
        messages = consume(*arguments)  # type: ignore[arg-type]
        if not away and len(ahead.settled) == 2:
            lay_ready[:] = ahead.ready()
            worker._assigned.discard(0)
            messages = []
        if 0 not in worker._assigned and ahead.settled:
            away.append(len(ahead.settled))
            if len(away) == 4:
                worker.seek(worker.committed({0}))  # where the client begins with what it is assigned
                worker._on_assign(worker._need_consumer(), [partition])
            return []
        return messages

    worker.consume = consume_and_rebalance  # type: ignore[method-assign, assignment]
    ahead.start()
    assert_each_once_in_order(ahead.pipeline, TOTAL)
    assert lay_ready == list(range(2 * SIZE, 3 * SIZE))
    assert away == [2, 2, 2, 2]  # what lay ready was not settled meanwhile
    assert ahead.settled[2][0] == 2 * SIZE
