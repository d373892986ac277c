"""One connection to a mail server, to addresses that the guard has admitted; it can be cut while a thread waits on it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress


def first_connection(addresses: Sequence[str], port: int, seconds_left: Callable[[], float]) -> socket.socket:
    """To the first of the addresses that takes it; each may take what is left. Raises OSError."""
    fault: OSError = ConnectionError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), seconds_left())
        except OSError as error:
            fault = error
    raise fault


class MailLine:
    """`dial` and `seconds_left` are for the thread that talks, `cut` for whoever watches it. `seconds`: from now to the end."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._is_cut = False
        self._held: socket.socket | None = None
        self.addresses: Sequence[str] = ()
        self.is_connected = False  # was once

    def dial(self, where: tuple[str, int], seconds: float) -> socket.socket:
        """A connection to the first admitted address that takes it; the name in `where` is not looked up. Raises OSError."""
        found = first_connection(self.addresses, where[1], lambda: min(seconds, self.seconds_left()))
        self._hold(found)
        return found

    def seconds_left(self) -> float:
        """Until the end of the whole session; raises TimeoutError when it is over."""
        left = self._deadline - time.monotonic()
        if left <= 0 or self._is_cut:
            raise TimeoutError("the session took too long")
        return left

    def cut(self) -> None:
        """End the connection, now or as soon as it is made: whoever reads from it sees its end. Any number of times."""
        with self._lock:
            self._is_cut = True
            if self._held is not None:
                with suppress(OSError):  # the server was quicker
                    self._held.shutdown(socket.SHUT_RDWR)
                self._held.close()
                self._held = None

    def _hold(self, found: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                found.close()
                raise TimeoutError("the session took too long")
            # A handle of our own: TLS takes the socket itself away.
            self._held = found.dup()
            self.is_connected = True
