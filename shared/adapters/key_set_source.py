"""Reads a JSON Web Key Set from a file, or over HTTP: no redirect, bounded in size and in time."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from shared.adapters.bounded_answer import bounded_get
from shared.domain.errors import ConfigError, Unavailable

MAX_BYTES = 262_144
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_address(source: str) -> bool:
    """Whether the source is an address on the web, not a file."""
    return source.startswith(("https://", "http://"))


def from_file(path: Path) -> Callable[[], bytes]:
    """A function that reads the file; raises Unavailable."""

    def fetch() -> bytes:
        try:
            with path.open("rb") as file:
                found = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from error
        if len(found) > MAX_BYTES:
            raise Unavailable(f"{path} is too large for a key set")
        return found

    return fetch


def from_address(url: str, *, seconds: float = 3.0, tls: ssl.SSLContext | None = None) -> Callable[[], bytes]:
    """A function that gets the URL's body; blocks for about `seconds` at most, raises Unavailable.

    Raises ConfigError for plain http to another machine: whoever sits between could then sign as anybody.
    """
    parts = urlsplit(url)
    host = parts.hostname
    if not host or (parts.scheme == "http" and host not in _LOOPBACK):
        raise ConfigError(f"the key set's address must be https (plain http only on this machine): {parts.scheme}://{host}")
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"

    def fetch() -> bytes:
        deadline = time.monotonic() + seconds
        connection = (
            http.client.HTTPConnection(host, parts.port, timeout=seconds)
            if parts.scheme == "http"
            else http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=tls or ssl.create_default_context())
        )
        accept = "application/jwk-set+json, application/json"
        return bounded_get(connection, path, accept=accept, max_bytes=MAX_BYTES, deadline=deadline)

    return fetch
