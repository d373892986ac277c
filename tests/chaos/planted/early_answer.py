"""Ingest answers as soon as the record is queued, before Kafka's delivery report."""

from __future__ import annotations

from shared.adapters.durable_producer import Delivered, DurableProducer
from tests.chaos.planted.start import start


def plant() -> None:
    """Tell "delivered" at once, and ignore the report."""
    produce = DurableProducer.produce

    def early(
        self: DurableProducer, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], delivered: Delivered
    ) -> None:
        produce(self, topic, key, value, headers, lambda _error: None)
        delivered(None)

    DurableProducer.produce = early  # type: ignore[method-assign]


if __name__ == "__main__":
    start("ingest", plant)
