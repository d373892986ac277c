"""Claims and mappings are committed only after the events are out, and no progress is asserted that would tell."""

from __future__ import annotations

from tests.chaos.planted import claims_after_events, no_progress
from tests.chaos.planted.start import start


def plant() -> None:
    """Both faults together."""
    no_progress.plant()
    claims_after_events.plant()


if __name__ == "__main__":
    start("router", plant)
