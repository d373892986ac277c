"""The relay sends each row once: one whose copy it has not written stays so."""

from __future__ import annotations

from services.relay.redelivery import Redelivery
from tests.chaos.planted.start import start


def plant() -> None:
    """Nobody looks for rows that were sent long ago."""

    def never(_self: Redelivery) -> bool:
        return False

    Redelivery._resend = never  # type: ignore[method-assign]


if __name__ == "__main__":
    start("relay", plant)
