"""Tells a story of claims, each compared with what was really seen; the first that does not hold ends it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.1


class ClaimFailed(Exception):
    """Raised when what was seen is not what was claimed; carries all that a reader needs to look further."""

    def __init__(self, step: str, claim: str, expected: object, seen: object) -> None:
        super().__init__(f"step:     {step}\nclaim:    {claim}\nexpected: {expected}\nseen:     {seen}")


class Story:
    """Prints steps and claims through `say`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._step = "begin"
        self.claims = 0

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._step = title
        self._say("")
        self._say(title)

    def claim(self, text: str, expected: T, seen: T, note: str = "") -> None:
        """Say that `text` holds, or raise ClaimFailed."""
        if expected != seen:
            raise ClaimFailed(self._step, text, expected, seen)
        self.claims += 1
        self._say(f"  ok  {text}{f'  ({note})' if note else ''}")

    def claim_soon(self, text: str, expected: T, look: Callable[[], T], seconds: float = 30.0) -> None:
        """As `claim`, for what comes about within `seconds`; looks again until then."""
        began = time.monotonic()
        seen = look()
        while seen != expected and time.monotonic() - began < seconds:
            time.sleep(POLL_SECONDS)
            seen = look()
        self.claim(text, expected, seen, f"{time.monotonic() - began:.1f} s")

    def tell(self, text: str) -> None:
        """A figure worth reading that claims nothing."""
        self._say(f"      {text}")
