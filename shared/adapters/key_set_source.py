"""Reads a JSON Web Key Set from a file, or over HTTP: no redirect, bounded in size and in time."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from shared.domain.errors import ConfigError, Unavailable

MAX_BYTES = 262_144
_PIECE_BYTES = 16_384
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_address(source: str) -> bool:
    """Whether the source is an address on the web, not a file."""
    return source.startswith(("https://", "http://"))


def from_file(path: Path) -> Callable[[], bytes]:
    """A function that reads the file; raises Unavailable."""

    def fetch() -> bytes:
        try:
            with path.open("rb") as file:
                return _bounded(file.read(MAX_BYTES + 1))
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from error

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
        try:
            connection.request("GET", path, headers={"Accept": "application/jwk-set+json, application/json"})
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise Unavailable(f"{host} answered {answer.status}")
            return _read(connection, answer, deadline)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{host} cannot be asked: {type(error).__name__}") from error
        finally:
            connection.close()

    return fetch


def _read(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """A server that drips must not hold us: each piece has only the time that is left."""
    found = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unavailable("the key set came too slowly")
        if connection.sock is not None:
            connection.sock.settimeout(left)
        piece = answer.read1(_PIECE_BYTES)
        if not piece:
            return bytes(found)
        found += piece
        _bounded(found)


def _bounded(found: bytes | bytearray) -> bytes:
    if len(found) > MAX_BYTES:
        raise Unavailable("what came is too large for a key set")
    return bytes(found)
