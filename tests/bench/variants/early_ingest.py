"""The edge as it would be if it lied: it answers as soon as the record is queued, before Kafka has it. For the bench only."""

from __future__ import annotations

from services.ingest import __main__ as ingest
from shared.adapters.durable_producer import Delivered, DurableProducer, Headers
from shared.runtime.lifecycle import run


class EarlyProducer(DurableProducer):
    """Reports every record as delivered at once, and does not even ask for the real report."""

    def produce(self, topic: str, key: bytes, value: bytes, headers: Headers, delivered: Delivered) -> None:
        """Queue one record and call `delivered`."""
        self._producer.produce(topic, value, key, headers=headers)  # type: ignore[arg-type]
        delivered(None)


if __name__ == "__main__":
    ingest.DurableProducer = EarlyProducer  # type: ignore[misc]
    run(ingest.main)
