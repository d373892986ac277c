"""The bytes between us and a mail server, within limits: a deadline and a number of bytes for every command.

`imaplib` reads whatever the server announces and waits for as long as the socket lets it. Here every read looks at the
deadline of the command under way, a literal is refused before it is read when it is larger than what was asked for, and
a line has an end. The socket is read through a buffer of our own, so that a notice that came together with an answer is
seen at once.
"""

from __future__ import annotations

import imaplib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imapclient import IMAPClient

from shared.domain.errors import Unavailable

imaplib.Commands.setdefault("IDLE", ("SELECTED",))

_LINE_BYTES = 4_000_000  # a SEARCH answer of the largest window that we ask for is 2.9 MB
_RECEIVE_BYTES = 65_536


class ServerFaulty(Unavailable):
    """Raised when a mail server's answer breaks the protocol or our limits. The connection cannot be used any more."""

    code = "mail_server_faulty"


# (host, port), seconds → a connected socket; raises OSError.
Dial = Callable[[tuple[str, int], float], socket.socket]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a mail server is. `tls` None: plain. `starttls`: plain first, then TLS before anything is told.

    `dial` makes the connection: to whatever address the host has, or, under a guard, to one that it has admitted.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    starttls: bool = False
    dial: Dial = socket.create_connection


class BoundedImap4(imaplib.IMAP4):
    """imaplib's protocol over a socket with limits; raises TimeoutError, OSError, ServerFaulty and imaplib's own errors."""

    def __init__(self, endpoint: Endpoint, connect_seconds: float) -> None:
        self._endpoint = endpoint
        self._received = bytearray()
        self._deadline = 0.0
        self._bytes_left = 0
        self._literal_bytes = 0
        self.allow(connect_seconds, 65_536)
        super().__init__(endpoint.host, endpoint.port)

    def allow(self, seconds: float, size_bytes: int, literal_bytes: int = 65_536) -> None:
        """What the next command may take: time, bytes in all, bytes of one literal."""
        self._deadline = time.monotonic() + seconds
        self._bytes_left, self._literal_bytes = size_bytes, literal_bytes

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        """Connect, and wrap in TLS where that comes first."""
        self.host, self.port = host, port
        plain = self._endpoint.dial((host, port), self._seconds_left())
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            plain.settimeout(self._seconds_left())
            tls, first = self._endpoint.tls, not self._endpoint.starttls
            self.sock = tls.wrap_socket(plain, server_hostname=host) if tls is not None and first else plain
        except BaseException:
            plain.close()
            raise

    def starttls(self, ssl_context: ssl.SSLContext | None = None) -> Any:
        """Go on in TLS. What came before it in the clear is not believed (CVE-2011-0411 and its like)."""
        assert ssl_context is not None  # noqa: S101  our one caller gives it
        kind, data = self._simple_command("STARTTLS")
        if kind != "OK":
            raise self.error("the server refuses STARTTLS")
        if self._received:
            raise ServerFaulty("bytes in the clear after the answer to STARTTLS")
        self.sock.settimeout(self._seconds_left())
        self.sock = ssl_context.wrap_socket(self.sock, server_hostname=self.host)
        self.untagged_responses.clear()
        self._get_capabilities()
        return kind, data

    def read(self, size: int) -> bytes:
        """One literal."""
        if size > self._literal_bytes:
            raise ServerFaulty(f"a literal of {size} bytes where at most {self._literal_bytes} were asked for")
        while len(self._received) < size:
            self._receive()
        return self._take(size)

    def readline(self) -> bytes:
        """One line with its end; empty at the end of the connection."""
        seen = 0
        while (end := self._received.find(b"\n", seen)) < 0:
            seen = len(self._received)
            if seen > _LINE_BYTES:
                raise ServerFaulty(f"a line of more than {_LINE_BYTES} bytes")
            self._receive()
        return self._take(end + 1)

    def line_within(self, seconds: float) -> bytes | None:
        """One line, or None if no whole one comes in time; what came of it is kept."""
        until = time.monotonic() + seconds
        while b"\n" not in self._received:
            if len(self._received) > _LINE_BYTES:
                raise ServerFaulty(f"a line of more than {_LINE_BYTES} bytes")
            left = min(until, self._deadline) - time.monotonic()
            if left <= 0:
                return None
            try:
                self._receive(left)
            except TimeoutError:
                return None
        return self.readline()

    def send(self, data: Any) -> None:
        """Send all of it."""
        self.sock.settimeout(self._seconds_left())
        self.sock.sendall(data)

    def begin_idle(self) -> bytes:
        """Send IDLE and wait until the server idles; returns the tag. https://www.rfc-editor.org/rfc/rfc2177"""
        tag: bytes = self._command("IDLE")
        while self._get_response() is not None:  # None is the `+`; notices may come before it
            if self.tagged_commands[tag] is not None:
                raise self.error("the server refuses IDLE")
        return tag

    def end_idle(self, tag: bytes) -> None:
        """Send DONE and wait for the end of IDLE."""
        self.send(b"DONE\r\n")
        self._command_complete("IDLE", tag)

    def shutdown(self) -> None:
        """Close the socket."""
        self.sock.close()

    def _receive(self, seconds: float | None = None) -> None:
        self.sock.settimeout(seconds or self._seconds_left())
        data = self.sock.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise ServerFaulty("an answer larger than anything that was asked for")
        self._received += data

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._received)[:size])
        del self._received[:size]
        return taken

    def _seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server took too long")
        return left

    def _log(self, line: str) -> None:
        """imaplib keeps its last ten lines, the password among them, to print them some day; we do not."""


class BoundedClient(IMAPClient):  # type: ignore[misc]  # the library has no types
    """IMAPClient over `BoundedImap4`; `wire` is the latter."""

    def __init__(self, endpoint: Endpoint, connect_seconds: float) -> None:
        self._endpoint = endpoint
        self._connect_seconds = connect_seconds
        super().__init__(endpoint.host, endpoint.port, ssl=endpoint.tls is not None and not endpoint.starttls)
        self._imap.debug = 0  # the library turns it on to log every line, mails and all
        self.normalise_times = False

    @property
    def wire(self) -> BoundedImap4:
        """The protocol object below."""
        wire: BoundedImap4 = self._imap
        return wire

    def _create_IMAP4(self) -> BoundedImap4:  # noqa: N802  the library's name
        return BoundedImap4(self._endpoint, self._connect_seconds)

    def _set_read_timeout(self) -> None:
        """The wire sets its time before each read."""
