"""What comes in a conversation does not wait for what waits before it."""

from __future__ import annotations

from typing import Any

from services.router.lines import Lines
from tests.chaos.planted.start import start


def plant() -> None:
    """No conversation is ever blocked."""

    def never(_self: Lines, *_arguments: Any) -> bool:
        return False

    Lines.conversation_blocked = never  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
