"""Sees every socket that this process makes or connects and every name it looks up, whoever does it (PEP 578)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class SocketSpy:
    """`barred`: a connection is noted, and then refused before it goes anywhere."""

    barred: bool = False
    made: int = 0
    connected: list[Any] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        """Nothing was opened, nothing was asked."""
        return not (self.made or self.connected or self.looked_up)


_spies: list[SocketSpy] = []
_hooked: list[bool] = []


def _hear(event: str, told: tuple[Any, ...]) -> None:
    if not _spies or not event.startswith("socket."):
        return
    for spy in _spies:
        if event == "socket.__new__":
            spy.made += 1
        elif event == "socket.getaddrinfo":
            spy.looked_up.append(str(told[0]))
        elif event in ("socket.connect", "socket.sendto"):
            spy.connected.append(told[1])
            if spy.barred:
                raise ConnectionRefusedError(f"barred by the test: {told[1]}")


@contextmanager
def spying(*, barred: bool = False) -> Iterator[SocketSpy]:
    """Begin inside the event loop: the loop itself opens a pair of sockets."""
    if not _hooked:  # a hook stays for the life of the process
        sys.addaudithook(_hear)
        _hooked.append(True)
    spy = SocketSpy(barred)
    _spies.append(spy)
    try:
        yield spy
    finally:
        _spies.remove(spy)
