from __future__ import annotations

import threading

import pytest

from shared.adapters.bounded_call import Overdue, call_bounded
from shared.adapters.kafka_transactions import Aborted, TransactionalWorker, WorkerIdentity


def test_a_call_that_returns_is_waited_for():
    seen = []
    call_bounded(lambda: seen.append(1), 5)
    assert seen == [1]


def test_what_a_call_raises_is_raised_here():
    def refuse():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        call_bounded(refuse, 5)


def test_a_call_that_hangs_is_left_behind():
    release = threading.Event()
    with pytest.raises(Overdue):
        call_bounded(release.wait, 0.05)
    release.set()


class HangingProducer:
    """As librdkafka behaves when the group coordinator goes away while it is asked."""

    def __init__(self):
        self.release = threading.Event()
        self.aborted = False

    def begin_transaction(self):
        pass

    def send_offsets_to_transaction(self, *_):
        self.release.wait(10)

    def abort_transaction(self, *_):
        self.aborted = True


class Group:
    def consumer_group_metadata(self):
        return object()


def test_a_worker_gives_up_the_producer_whose_call_hangs(monkeypatch):
    monkeypatch.setattr("shared.adapters.kafka_transactions._OVERDUE_SECONDS", 0.05)
    worker = TransactionalWorker(WorkerIdentity(bootstrap="localhost:1", group="g", slot=0), "t")
    producer = worker._producer = HangingProducer()
    worker._consumer = Group()

    with pytest.raises(Aborted, match="no answer"):
        worker.commit([], {0: 1})

    assert worker._producer is None  # `rewind` builds another, which fences this one
    assert not producer.aborted  # it is still in the call
    producer.release.set()
