from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from shared.adapters import transactional_producer
from shared.adapters.transaction_parts import Aborted, OutMessage, WorkerIdentity
from shared.adapters.transactional_producer import TransactionalProducer
from shared.domain.errors import InvalidInput, Unavailable

IDENTITY = WorkerIdentity(bootstrap="localhost:1", group="g", slot=0)
MESSAGE = OutMessage("t", b"k", b"v", [])


class Made:
    """A producer of librdkafka, as far as it is asked. `faults`: call -> error code; a call named `hang` does not return."""

    def __init__(self, faults: dict[str, object]) -> None:
        self.faults, self.calls, self.release = faults, [], threading.Event()

    def init_transactions(self, *_: object) -> None:
        self._called("init")

    def begin_transaction(self) -> None:
        self._called("begin")

    def produce(self, *_: object, **__: object) -> None:
        self._called("produce")

    def send_offsets_to_transaction(self, *_: object) -> None:
        self._called("offsets")

    def commit_transaction(self, *_: object) -> None:
        self._called("commit")

    def abort_transaction(self, *_: object) -> None:
        self._called("abort")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.faults.get("hang") == name:
            assert self.release.wait(10)
        fault = self.faults.get(name)
        if fault is not None:
            raise KafkaException(fault)


@pytest.fixture
def faults() -> dict[str, object]:
    return {}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, faults: dict[str, object]) -> list[Made]:
    """Every producer that was built, in order."""
    built: list[Made] = []

    def build(*_: object, **__: object) -> Made:
        built.append(Made(faults))
        return built[-1]

    monkeypatch.setattr(transactional_producer, "Producer", build)
    return built


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(transactional_producer.time, "monotonic", lambda: now[0])
    return now


def test_one_transaction_holds_the_messages_and_the_offsets(made: list[Made]) -> None:
    writer = TransactionalProducer(IDENTITY)
    writer.restore()
    writer.restore()  # there is one
    writer.commit([MESSAGE, MESSAGE], [], object())
    assert [one.calls for one in made] == [["init", "begin", "produce", "produce", "offsets", "commit"]]


def test_a_producer_that_knew_kafka_before_it_was_away_is_replaced_once(made: list[Made], clock: list[float]) -> None:
    writer = TransactionalProducer(IDENTITY)
    writer.restore()
    writer.renew_if_older(float("-inf"))  # it was never away
    writer.renew_if_older(999.0)  # that was before it was built
    assert len(made) == 1
    clock[0] = 1_010.0
    writer.renew_if_older(1_005.0)
    writer.renew_if_older(1_005.0)  # the new one was built after it
    assert len(made) == 2
    writer.commit([MESSAGE], [], object())
    assert [one.calls for one in made] == [["init"], ["init", "begin", "produce", "offsets", "commit"]]


def test_a_renewal_that_fails_leaves_no_old_producer_behind(
    made: list[Made], clock: list[float], faults: dict[str, object]
) -> None:
    writer = TransactionalProducer(IDENTITY)
    writer.restore()
    faults["init"] = KafkaError(KafkaError._TIMED_OUT)
    with pytest.raises(Unavailable):
        writer.renew_if_older(1_001.0)
    with pytest.raises(Aborted, match="lost"):
        writer.commit([MESSAGE], [], object())
    del faults["init"]
    writer.restore()
    writer.commit([MESSAGE], [], object())
    assert made[-1].calls[-1] == "commit"


def test_a_producer_whose_call_hangs_is_given_up(
    monkeypatch: pytest.MonkeyPatch, made: list[Made], faults: dict[str, object]
) -> None:
    monkeypatch.setattr(transactional_producer, "_OFFSETS_SECONDS", 0.05)
    faults["hang"] = "offsets"
    writer = TransactionalProducer(IDENTITY)
    writer.restore()
    with pytest.raises(Aborted, match="no answer"):
        writer.commit([], [], object())
    assert "abort" not in made[0].calls  # it is still in the call
    made[0].release.set()
    faults.clear()
    writer.restore()  # another, which fences it
    assert len(made) == 2


@pytest.mark.parametrize(
    ("code", "fatal", "error", "producers"),
    [
        (KafkaError.INVALID_TXN_STATE, False, Aborted, 1),
        (KafkaError.MSG_SIZE_TOO_LARGE, False, InvalidInput, 1),
        (KafkaError._FENCED, True, Aborted, 2),
    ],
)
def test_a_failed_transaction_is_aborted_unless_only_a_new_producer_helps(
    made: list[Made], faults: dict[str, object], code: int, fatal: bool, error: type[Exception], producers: int
) -> None:
    faults["offsets"] = KafkaError(code, "planted", fatal=fatal)
    writer = TransactionalProducer(IDENTITY)
    writer.restore()
    with pytest.raises(error):
        writer.commit([MESSAGE], [], object())
    assert ("abort" in made[0].calls) is not fatal
    writer.restore()
    assert len(made) == producers
