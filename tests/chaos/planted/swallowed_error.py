"""Ingest waits for the delivery report, but takes a report of failure for success."""

from __future__ import annotations

from shared.adapters.durable_producer import Delivered, DurableProducer
from tests.chaos.planted.start import start


def plant() -> None:
    """Drop the error of each report."""
    produce = DurableProducer.produce

    def swallowing(
        self: DurableProducer, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], delivered: Delivered
    ) -> None:
        produce(self, topic, key, value, headers, lambda _error: delivered(None))

    DurableProducer.produce = swallowing  # type: ignore[method-assign]


if __name__ == "__main__":
    start("ingest", plant)
