"""Reads the body of an HTTP answer that may be hostile: bounded in size, and in time also when it drips."""

from __future__ import annotations

import http.client
import time

from shared.domain.errors import Unavailable

_PIECE_BYTES = 16_384


def bounded_get(connection: http.client.HTTPConnection, target: str, *, accept: str, max_bytes: int, deadline: float) -> bytes:
    """The body of a 200 answer to GET `target`; `deadline` is of `time.monotonic`. Closes the connection.

    Follows no redirect. Raises Unavailable for everything else than a 200 of at most `max_bytes` in time.
    """
    try:
        connection.request("GET", target, headers={"Accept": accept, "Connection": "close"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise Unavailable(f"{connection.host} answered {answer.status}")
        return _read(connection, answer, max_bytes, deadline)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{connection.host} cannot be asked: {type(error).__name__}") from error
    finally:
        connection.close()


def _read(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse, max_bytes: int, deadline: float) -> bytes:
    """A server that drips must not hold us: each piece has only the time that is left."""
    found = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unavailable(f"the answer of {connection.host} came too slowly")
        if connection.sock is not None:
            connection.sock.settimeout(left)
        piece = answer.read1(_PIECE_BYTES)
        if not piece:
            return bytes(found)
        found += piece
        if len(found) > max_bytes:
            raise Unavailable(f"the answer of {connection.host} is too large")
