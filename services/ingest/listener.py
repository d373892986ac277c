"""The listening sockets: several processes share a port, and a process that ends loses no connection.

A listening socket that is closed takes with it the connections which the kernel has accepted for it but nobody has fetched.
So a process that ends first drops new SYN packets (the client's kernel repeats them, and another process or the next one takes
them), fetches what was accepted, and only then closes.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from contextlib import suppress

from shared.domain.errors import ConfigError

_SO_ATTACH_FILTER = 26
# Classic BPF over the TCP header (socket filters begin there): byte 13 holds the flags; SYN without ACK -> drop, else keep.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # ldb [13]
    (0x54, 0, 0, 0x12),  # and SYN|ACK
    (0x15, 0, 1, 0x02),  # jeq SYN, next, next but one
    (0x06, 0, 0, 0),  # ret 0: drop
    (0x06, 0, 0, 0xFFFFFFFF),  # ret all: keep
)


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """One bound socket per address of `host`. Raises ConfigError when the port is taken by somebody who does not share it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [_bind(family, address) for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found)]
    except OSError as error:
        raise ConfigError(
            f"ingest cannot listen on {host}:{port}: {error.strerror or error}; set CHANNELS_INGEST_PORT"
        ) from error


def _bind(family: int, address: tuple[str | int, ...] | tuple[int, bytes]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    bound.bind(address)
    return bound


def refuse_new_connections(bound: socket.socket) -> None:
    """Drop SYN packets to this socket from now on; a no-op where the system is not Linux or does not let us."""
    if not sys.platform.startswith("linux"):
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _DROP_SYN))
    with suppress(OSError):
        bound.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HxxxxxxP", len(_DROP_SYN), ctypes.addressof(program)))
