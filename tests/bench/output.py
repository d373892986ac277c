"""Watches an output topic as a consumer would: when were how many records there?"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from confluent_kafka import Consumer, TopicPartition

from shared.adapters.kafka import KAFKA_LOGGER, client_config

Sample = tuple[float, int, float]  # monotonic seconds, records seen, CPU seconds of the process that writes them


class Output:
    """Reads one single-partition topic from its present end on, `read_committed`."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer(
            client_config(bootstrap, "bench-output")
            | {"group.id": "unused", "enable.auto.commit": False, "isolation.level": "read_committed", "fetch.wait.max.ms": 20},
            logger=KAFKA_LOGGER,
        )
        _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        self._consumer.assign([TopicPartition(topic, 0, end)])

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()

    def watch(self, expected: int, seconds: float, cpu_seconds: Callable[[], float], check: Callable[[], None]) -> list[Sample]:
        """Samples until `expected` records were seen; raises RuntimeError when they do not come, or `check` raises."""
        samples: list[Sample] = []
        seen, deadline = 0, time.monotonic() + seconds
        while seen < expected:
            fetched = self._consumer.consume(1_000, 0.02)
            for message in fetched:
                if message.error() is not None:
                    raise RuntimeError(message.error().str())
            if fetched:
                seen += len(fetched)
                samples.append((time.monotonic(), seen, cpu_seconds()))
            elif time.monotonic() > deadline:
                raise RuntimeError(f"{seen} of {expected} records came within {seconds:.0f} s")
            else:
                check()
        return samples

    def collect(
        self, expected: int, seconds: float, check: Callable[[], None], watch: Callable[[int], None] | None
    ) -> list[tuple[float, bytes]]:
        """(monotonic seconds, value) of so many records; `watch` is told now and then how many have come."""
        arrivals: list[tuple[float, bytes]] = []
        deadline = time.monotonic() + seconds
        while len(arrivals) < expected:
            fetched = self._consumer.consume(1, 0.02) + self._consumer.consume(1_000, 0)
            now = time.monotonic()
            arrivals += [(now, message.value()) for message in fetched if message.error() is None]
            if watch is not None:
                watch(len(arrivals))
            if not fetched:
                check()
                if now > deadline:
                    raise RuntimeError(f"{len(arrivals)} of {expected} records came within {seconds:.0f} s")
        return arrivals


def rates(samples: list[Sample]) -> tuple[float, float]:
    """Records per second, and per CPU second of the writer, once the first tenth was written (start-up excluded)."""
    total = samples[-1][1]
    began, first, cpu = next(sample for sample in samples if sample[1] >= total / 10)
    ended, last, cpu_end = samples[-1]
    if last == first:
        raise RuntimeError("all records came at once: take more of them")
    return (last - first) / (ended - began), (last - first) / max(cpu_end - cpu, 1e-3)
