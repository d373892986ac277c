"""A row that its copy has settled goes on naming the record before that copy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from shared.adapters import held_rows
from shared.domain.holding import Settlement
from tests.chaos.planted.start import start


def plant() -> None:
    """Each settlement names the old place."""
    settle = held_rows.settle_held

    def at_the_old_place(cursor: Any, settlements: Iterable[Settlement]) -> None:
        settle(cursor, [replace(one, position=one.row.position) for one in settlements])

    held_rows.settle_held = at_the_old_place


if __name__ == "__main__":
    start("router", plant)
