"""A static member is fenced: by its own other life after Kafka was away (it rejoins, once), or by a twin (it goes)."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, TopicPartition

from shared.adapters import kafka_transactions
from shared.adapters.kafka_transactions import TransactionalWorker, WorkerIdentity
from shared.adapters.transaction_parts import OutMessage
from shared.domain.errors import ConfigError, Fenced

FENCED = KafkaError(KafkaError.FENCED_INSTANCE_ID, "planted")
AWAY = KafkaError(KafkaError._ALL_BROKERS_DOWN, "planted")
DOUBT_SECONDS = 120


class Message:
    """One record, or one error, as a consumer hands it out."""

    def __init__(self, error: KafkaError | None = None, offset: int = 0) -> None:
        self._error, self._offset = error, offset

    def error(self) -> KafkaError | None:
        return self._error

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"v"

    def headers(self) -> None:
        return None


class Member:
    """A consumer in the group; hands out what is laid before it."""

    def __init__(self) -> None:
        self.laid: list[list[Message]] = []
        self.closed = False
        self.paused: set[int] = set()

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {one.partition for one in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {one.partition for one in partitions}

    def subscribe(self, *_: object, **__: object) -> None:
        pass

    def consume(self, *_: object) -> list[Message]:
        return self.laid.pop(0) if self.laid else []

    def consumer_group_metadata(self) -> object:
        return object()

    def close(self) -> None:
        self.closed = True


class Writer:
    """The producer half: notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def renew_if_older(self, than: float) -> None:
        self.asked.append(than)

    def commit(self, *_: object) -> None:
        self.asked.append("commit")


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> list[Member]:
    """Every consumer that joined, in order."""
    joined: list[Member] = []

    def join(*_: object, **__: object) -> Member:
        joined.append(Member())
        return joined[-1]

    monkeypatch.setattr(kafka_transactions, "Consumer", join)
    return joined


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(kafka_transactions.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def worker(members: list[Member], clock: list[float]) -> TransactionalWorker:
    made = TransactionalWorker(WorkerIdentity(bootstrap="localhost:1", group="g", slot=0), "t")
    made._join()
    made._assigned, made._new, made._joined = {0}, {0}, True
    return made


def consume(worker: TransactionalWorker) -> list[int]:
    return [message.offset for message in worker.consume(10, 1_000, 0)]


def test_fenced_soon_after_kafka_was_away_it_rejoins_and_fetches_all_again(
    worker: TransactionalWorker, members: list[Member], clock: list[float]
) -> None:
    worker._on_error(AWAY)
    clock[0] += DOUBT_SECONDS - 1
    members[0].laid = [[Message(offset=4), Message(FENCED), Message(offset=5)]]
    assert consume(worker) == []  # what came before is fetched again by the new member
    assert len(members) == 2
    assert members[0].closed
    assert not worker.assigned
    assert not worker.take_new()
    assert not worker.joined


def test_fenced_a_second_time_it_goes(worker: TransactionalWorker, members: list[Member], clock: list[float]) -> None:
    worker._on_error(AWAY)
    members[0].laid = [[Message(FENCED)]]
    consume(worker)
    worker._on_error(AWAY)
    clock[0] += DOUBT_SECONDS - 1
    members[1].laid = [[Message(FENCED)]]
    with pytest.raises(Fenced, match="another process has this slot"):
        consume(worker)
    assert len(members) == 2


def test_a_later_outage_may_be_its_own_doing_again(
    worker: TransactionalWorker, members: list[Member], clock: list[float]
) -> None:
    worker._on_error(AWAY)
    members[0].laid = [[Message(FENCED)]]
    consume(worker)
    clock[0] += DOUBT_SECONDS + 1
    worker._on_error(AWAY)
    members[1].laid = [[Message(FENCED)]]
    assert consume(worker) == []
    assert len(members) == 3


@pytest.mark.parametrize("outage", [False, True])
def test_fenced_without_a_recent_outage_it_goes(
    worker: TransactionalWorker, members: list[Member], clock: list[float], outage: bool
) -> None:
    if outage:
        worker._on_error(AWAY)
        clock[0] += DOUBT_SECONDS + 1
    worker._on_error(KafkaError(KafkaError._TIMED_OUT, "planted"))  # no outage: some request was slow
    members[0].laid = [[Message(FENCED)]]
    with pytest.raises(Fenced):
        consume(worker)
    assert len(members) == 1


def test_a_partition_that_went_elsewhere_while_it_was_paused_is_fetched_again_when_it_comes_back(
    worker: TransactionalWorker, members: list[Member]
) -> None:
    """The client keeps the pause (librdkafka 2.16.1, seen with two members of one group)."""
    both = [TopicPartition("t", 0), TopicPartition("t", 1)]
    worker._on_assign(members[0], both)  # type: ignore[arg-type]
    assert worker.take_new() == {0, 1}
    worker.pause()
    assert members[0].paused == {0, 1}
    worker._on_revoke(members[0], both[:1])  # type: ignore[arg-type]
    worker.resume()
    assert members[0].paused == {0}
    worker._on_assign(members[0], both[:1])  # type: ignore[arg-type]
    assert worker.take_new() == {0}
    assert members[0].paused == set()


def test_a_lost_offset_is_no_reason_to_rejoin(worker: TransactionalWorker, members: list[Member]) -> None:
    worker._on_error(AWAY)
    members[0].laid = [[Message(KafkaError(KafkaError.OFFSET_OUT_OF_RANGE, "planted"))]]
    with pytest.raises(ConfigError, match="adopt"):
        consume(worker)
    assert len(members) == 1


def test_before_each_commit_the_producer_learns_when_kafka_was_last_away(worker: TransactionalWorker, clock: list[float]) -> None:
    writer = Writer()
    worker._writer = writer  # type: ignore[assignment]
    worker.commit([OutMessage("t", b"k", b"v", [])], {0: 1})
    worker._on_error(AWAY)
    worker.commit([], {0: 2})
    assert writer.asked == [float("-inf"), "commit", clock[0], "commit"]
