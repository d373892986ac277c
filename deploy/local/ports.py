"""Ports for the embedded stack: the given one, else the one used before, else a free one."""

from __future__ import annotations

import random
import socket

from shared.domain.errors import ConfigError

# Below the range from which systems take ports for outgoing connections, so that a restart finds its port free.
_RANGE = range(20000, 32000)
LOCALHOST = "127.0.0.1"


def is_free(port: int, host: str = LOCALHOST) -> bool:
    """Can a server listen there now?"""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closing connection of before is no obstacle
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def choose_port(
    *, given: int | None, before: int | None, purpose: str, variable: str, taken: frozenset[int] = frozenset()
) -> int:
    """The port to listen on. A busy `given` raises ConfigError that names `variable`; a busy `before` is replaced."""
    if given is not None:
        if not is_free(given):
            raise ConfigError(f"port {given} for {purpose} is taken by another program; free it, or set {variable} to another")
        return given
    if before is not None and before not in taken and is_free(before):
        return before
    for port in random.sample(_RANGE, len(_RANGE)):
        if port not in taken and is_free(port):
            return port
    raise ConfigError(f"no free port for {purpose} between {_RANGE.start} and {_RANGE.stop}")
