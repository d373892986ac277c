"""Resolves names and opens sockets for the HTTP client, both under the egress guard.

A name is looked up once for a connection. Each of its addresses is judged, and exactly those are connected to: the
connector never asks for the name again, and `open_socket` judges the address a last time where the socket is made. It also meets
literal addresses, which the connector resolves by itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from shared.adapters.addresses import Address
from shared.adapters.egress import Egress
from shared.adapters.egress_target import Target
from shared.adapters.http_faults import EgressRefused

# name → addresses in text form; raises OSError. A name that ends with a dot is not completed by search domains.
Lookup = Callable[[str], Awaitable[Sequence[str]]]

# The call that runs in this task, and what aiohttp starts for it.
calling: ContextVar[Target | None] = ContextVar("calling", default=None)


class SystemLookup:
    """Asks the system, in threads of its own. A name is asked for once at a time: one that is never answered keeps one thread."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="name-lookup")
        self._under_way: dict[str, asyncio.Future[list[Any]]] = {}

    async def __call__(self, name: str) -> Sequence[str]:
        """Addresses of the name, best first; raises OSError."""
        asking = self._under_way.get(name)
        if asking is None:
            asking = asyncio.get_running_loop().run_in_executor(self._threads, _ask_system, name)
            self._under_way[name] = asking
            asking.add_done_callback(lambda _: self._under_way.pop(name, None))
        # who gives up does not end it for the others; the thread would not stop anyway
        found = await asyncio.shield(asking)
        return _texts(found)

    def close(self) -> None:
        """Look up nothing more; does not wait for those at work."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _ask_system(name: str) -> list[Any]:
    return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


def system_addresses(name: str) -> Sequence[str]:
    """The same without a loop: blocks for as long as the system asks. Raises OSError."""
    return _texts(_ask_system(name))


def _texts(found: list[Any]) -> list[str]:
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def asked_name(egress: Egress, target: Target) -> str:
    """The name to look up. Search domains would complete a public name to one of our own cluster, so it has its final dot."""
    return target.host if egress.allow.names(target) else f"{target.host}."


def judged(egress: Egress, target: Target, found: Sequence[str]) -> list[Address]:
    """What the look-up found, every one admitted; raises OSError for nothing, EgressRefused where one address is refused."""
    if not found:
        raise OSError("the name has no address")
    addresses = [ip_address(text) for text in found]
    for address in addresses:
        egress.admit_address(target, address)
    return addresses


class GuardedResolver(AbstractResolver):
    """Gives the connector only addresses that the guard admits; one that it does not admit refuses the name as a whole."""

    def __init__(self, egress: Egress, lookup: Lookup, seconds: float) -> None:
        self._egress = egress
        self._lookup = lookup
        self._seconds = seconds

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """All addresses of the host; raises OSError, TimeoutError, EgressRefused."""
        target = _target_of(host)
        async with asyncio.timeout(self._seconds):
            found = await self._lookup(asked_name(self._egress, target))
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in judged(self._egress, target, found)
        ]

    async def close(self) -> None:
        """Nothing is held."""


def socket_opener(egress: Egress) -> Callable[[Any], socket.socket]:
    """A function that makes the socket for one `getaddrinfo` entry, or raises EgressRefused."""

    def open_socket(entry: Any) -> socket.socket:
        family, kind, proto, _, where = entry
        target = calling.get()
        if target is None or where[1] != target.port:
            raise EgressRefused("a connection that no call asked for", reason="not_asked_for")
        egress.admit_address(target, ip_address(where[0]))
        return socket.socket(family=family, type=kind, proto=proto)

    return open_socket


def _target_of(host: str) -> Target:
    target = calling.get()
    if target is None or target.host != host:
        raise EgressRefused("a name that no call asked for", reason="not_asked_for")
    return target
