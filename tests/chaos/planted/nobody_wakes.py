"""Who leaves a line does not tell the next one in it."""

from __future__ import annotations

from typing import Any

from shared.adapters import held_rows
from tests.chaos.planted.start import start


def plant() -> None:
    """Nobody is woken."""

    def nothing(*_arguments: Any) -> None:
        return None

    held_rows.wake_heads = nothing


if __name__ == "__main__":
    start("router", plant)
