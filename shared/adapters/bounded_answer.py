"""Reads the body of an HTTP answer that may be hostile: bounded in size, and in time also when it drips."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time

from shared.domain.errors import Unavailable

_PIECE_BYTES = 16_384


def bounded_get(connection: http.client.HTTPConnection, target: str, *, accept: str, max_bytes: int, deadline: float) -> bytes:
    """The body of a 200 answer to GET `target`; `deadline` is of `time.monotonic`. Closes the connection.

    Follows no redirect. Raises Unavailable for everything else than a 200 of at most `max_bytes` in time.
    """
    # Each piece of the status line and the headers would have the connection's whole time-out: a timer ends them all.
    end = threading.Timer(max(0.0, deadline - time.monotonic()), _hang_up, (connection,))
    end.daemon = True
    end.start()
    try:
        connection.request("GET", target, headers={"Accept": accept, "Connection": "close"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise Unavailable(f"{connection.host} answered {answer.status}")
        return _read(connection, answer, max_bytes, deadline)
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline:
            raise _too_slow(connection) from error
        raise Unavailable(f"{connection.host} cannot be asked: {type(error).__name__}") from error
    finally:
        end.cancel()
        connection.close()


def _hang_up(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)  # of a TLS socket too: whoever reads finds the end


def _read(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse, max_bytes: int, deadline: float) -> bytes:
    """A server that drips must not hold us: each piece has only the time that is left."""
    found = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _too_slow(connection)
        if connection.sock is not None:
            connection.sock.settimeout(left)
        piece = answer.read1(_PIECE_BYTES)
        if not piece:
            return bytes(found)
        found += piece
        if len(found) > max_bytes:
            raise Unavailable(f"the answer of {connection.host} is too large")


def _too_slow(connection: http.client.HTTPConnection) -> Unavailable:
    return Unavailable(f"the answer of {connection.host} came too slowly")
