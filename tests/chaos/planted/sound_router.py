"""No fault at all: the control for the moments at which the planted routers die or freeze."""

from __future__ import annotations

from tests.chaos.planted.start import start


def plant() -> None:
    """Nothing."""


if __name__ == "__main__":
    start("router", plant)
