"""The router writes the events of a batch in reverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.router import app
from shared.domain.outcomes import Publish
from tests.chaos.planted.start import start


def plant() -> None:
    """The last one first."""
    decide = app.decide

    def backwards(*arguments: Any) -> Iterator[Publish]:
        return reversed(list(decide(*arguments)))

    app.decide = backwards


if __name__ == "__main__":
    start("router", plant)
