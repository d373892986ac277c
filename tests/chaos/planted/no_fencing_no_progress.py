"""Neither Kafka nor the database stops a zombie."""

from __future__ import annotations

from tests.chaos.planted import no_fencing, no_progress
from tests.chaos.planted.start import start


def plant() -> None:
    """Both faults together."""
    no_fencing.plant()
    no_progress.plant()


if __name__ == "__main__":
    start("router", plant)
