"""Faust over transactional topics: its consumer reads uncommitted records unless it produces in transactions itself.

Faust's way to choose the isolation level is its exactly-once mode, which leaks; so the consumer that it made is told before it
starts.
"""

from __future__ import annotations

from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport


class _CommittedThread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class _CommittedConsumer(Consumer):
    def _new_consumer_thread(self) -> Any:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(Transport):
    """For `app.transport`: read_committed, at least once."""

    Consumer = _CommittedConsumer
