"""The router takes what must wait for held, and writes no row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.adapters import held_rows
from shared.domain.holding import NewHold
from tests.chaos.planted.start import start


def plant() -> None:
    """Nothing is inserted."""

    def nothing(_cursor: Any, _holds: Sequence[NewHold]) -> None:
        return None

    held_rows.insert_holds = nothing


if __name__ == "__main__":
    start("router", plant)
