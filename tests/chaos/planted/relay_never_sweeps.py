"""The relay does not look for rows that were forgotten."""

from __future__ import annotations

from services.relay.redelivery import Redelivery
from tests.chaos.planted.start import start


def plant() -> None:
    """No safety net."""

    def never(_self: Redelivery) -> bool:
        return False

    Redelivery._sweep = never  # type: ignore[method-assign]


if __name__ == "__main__":
    start("relay", plant)
