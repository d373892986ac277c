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

from shared.adapters.bounded_answer import bounded_get
from shared.domain.errors import Unavailable

MAX_BYTES = 65_536


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
        host = parts.hostname or ""
        deadline = time.monotonic() + self.seconds
        connection = http.client.HTTPSConnection(host, 443, timeout=self.seconds, context=self.context)
        try:
            connection.sock = self._connected(host)
        except OSError as error:
            raise Unavailable(f"{host} cannot be asked: {type(error).__name__}") from error
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return bounded_get(connection, target, accept="application/x-pem-file, */*", max_bytes=MAX_BYTES, deadline=deadline)

    def _connected(self, host: str) -> ssl.SSLSocket:
        plain = socket.create_connection(self.dial or (host, 443), self.seconds)
        try:
            return self.context.wrap_socket(plain, server_hostname=host)
        except OSError:
            plain.close()
            raise
