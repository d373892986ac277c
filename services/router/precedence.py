"""Which of the router's two threads computes: the one that settles goes first, the one that opens works while that one waits.

Python runs one of them at a time. Left alone they take turns until the next batch is open, early in the settling of this one;
the long waits come late (the insert of the messages, both commits), and in those nobody would compute.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Precedence:
    """One thread calls `first` and `waiting`; the other one `give_way`, wherever it can stop."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Inside, the other thread rests, but for what is done in `waiting`."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, this thread mostly waits. May stand anywhere; outside of `first` it changes nothing."""
        was_free = self._free.is_set()
        self._free.set()
        try:
            yield
        finally:
            if not was_free:
                self._free.clear()

    def give_way(self) -> None:
        """Return at once or as soon as the other thread waits. Blocks."""
        if not self._free.is_set():
            self._free.wait()
