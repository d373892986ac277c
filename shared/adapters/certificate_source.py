"""Fetches one small document over HTTPS (a certificate, a confirmation): no redirect, bounded in size and time.

The caller decides which addresses are allowed.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.domain.errors import Unavailable

MAX_BYTES = 65_536
_PIECE_BYTES = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSource:
    """`tls`: whom to trust (None: the system's authorities). `dial`: where to connect instead of the named host (tests, relays).

    The certificate of the server is checked against the host of the URL either way.
    """

    seconds: float = 10.0
    tls: ssl.SSLContext | None = None
    dial: tuple[str, int] | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """The TLS context in force."""
        return self.tls if self.tls is not None else ssl.create_default_context()

    def get(self, url: str) -> bytes:
        """The body of a 200 answer. Blocks for `seconds` at most; raises Unavailable for everything else."""
        parts = urlsplit(url)
        deadline = time.monotonic() + self.seconds
        connection = http.client.HTTPSConnection(parts.hostname or "", 443, timeout=self.seconds, context=self.context)
        try:
            connection.sock = self._connected(parts.hostname or "")
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.request("GET", target, headers={"Accept": "application/x-pem-file, */*", "Connection": "close"})
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise Unavailable(f"{parts.hostname} answered {answer.status}")
            return _read(connection, answer, deadline)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{parts.hostname} cannot be asked: {type(error).__name__}") from error
        finally:
            connection.close()

    def _connected(self, host: str) -> ssl.SSLSocket:
        plain = socket.create_connection(self.dial or (host, 443), self.seconds)
        try:
            return self.context.wrap_socket(plain, server_hostname=host)
        except OSError:
            plain.close()
            raise


def _read(connection: http.client.HTTPSConnection, answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """A server that drips must not hold us: each piece has only the time that is left."""
    found = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unavailable("the answer came too slowly")
        if connection.sock is not None:
            connection.sock.settimeout(left)
        piece = answer.read1(_PIECE_BYTES)
        if not piece:
            return bytes(found)
        found += piece
        if len(found) > MAX_BYTES:
            raise Unavailable("the answer is too large")
