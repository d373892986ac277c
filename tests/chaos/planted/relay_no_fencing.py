"""Each relay process has a transactional id of its own, so that a standby that takes over fences nobody."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from shared.adapters import numbered_publisher
from tests.chaos.planted.start import start


class _Unfenced(numbered_publisher.Producer):
    def __init__(self, config: dict[str, Any], **more: Any) -> None:
        super().__init__({**config, "transactional.id": f"{config['transactional.id']}-{uuid4()}"}, **more)


def plant() -> None:
    """Another producer."""
    numbered_publisher.Producer = _Unfenced  # type: ignore[misc]


if __name__ == "__main__":
    start("relay", plant)
