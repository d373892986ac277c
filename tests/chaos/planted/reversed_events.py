"""The router writes the events of a batch in reverse."""

from __future__ import annotations

from typing import Any

from services.router import app
from services.router.decide import Decided
from tests.chaos.planted.start import start


def plant() -> None:
    """The last one first."""
    decide = app.decide

    def backwards(*arguments: Any) -> Decided:
        decided = decide(*arguments)
        decided.publishes.reverse()
        return decided

    app.decide = backwards


if __name__ == "__main__":
    start("router", plant)
