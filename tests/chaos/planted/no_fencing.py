"""The router's transactions are not bound to its place in the group, nor to its slot: a zombie may commit."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer

from shared.adapters import transactional_producer
from tests.chaos.planted import moments
from tests.chaos.planted.start import start


class _Unfenced(transactional_producer.Producer):
    """A transactional id per process; offsets in the name of a member that never joined (no generation to compare)."""

    has_moments = True

    def __init__(self, config: dict[str, Any], **more: Any) -> None:
        super().__init__({**config, "transactional.id": f"{config['transactional.id']}-{uuid4()}"}, **more)
        group = str(config["client.id"]).rpartition("-")[0]
        self._stranger = Consumer({"bootstrap.servers": config["bootstrap.servers"], "group.id": group})

    def send_offsets_to_transaction(self, positions: Any, _metadata: Any, timeout: float) -> Any:
        moments.reach("produced")
        result = super().send_offsets_to_transaction(positions, self._stranger.consumer_group_metadata(), timeout)
        moments.reach("offsets_sent")
        return result


def plant() -> None:
    """Another producer."""
    transactional_producer.Producer = _Unfenced  # type: ignore[misc]


if __name__ == "__main__":
    start("router", plant)
