"""Whose address a request came from, for limits per client: the socket's peer, or what a proxy of ours says of it. Pure.

A header is believed only from the networks that the settings name as proxies, and read from its end: what stands before the
first address that is no proxy was written by strangers. Nobody is told apart by an address of a private network: it is a
proxy that the settings do not name, and a limit would meet all clients behind it at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_Address = IPv4Address | IPv6Address

MAX_HOPS = 8  # read of the header; the rest is no proxy chain of ours
_PREFIX_BITS = 64  # the least that one customer has of IPv6: an address of it costs nothing
_PRIVATE = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)


def networks_in(text: str) -> tuple[str, ...]:
    """Networks with commas between (`10.0.0.0/8, 2001:db8::/32`), each in its one spelling; raises ValueError."""
    return tuple(str(ip_network(part.strip())) for part in text.split(",") if part.strip())


class ClientAddresses:
    """`proxies`: networks of the proxies in front; `header`: what they write the client's address into, lower case."""

    def __init__(self, proxies: Sequence[str] = (), header: str = "x-forwarded-for") -> None:
        self._proxies = tuple(ip_network(text) for text in proxies)
        self._header = header

    def of(self, peer: str | None, headers: Mapping[str, bytes]) -> str | None:
        """The client's IPv4 address or /64 of IPv6; None where nobody can tell."""
        address = _address_in(peer or "")
        if address is not None and self._is_proxy(address):
            address = self._forwarded(headers.get(self._header, b""))
        if address is None or any(address in network for network in _PRIVATE):
            return None
        return str(ip_network((address, _PREFIX_BITS), strict=False)) if isinstance(address, IPv6Address) else str(address)

    def _forwarded(self, value: bytes) -> _Address | None:
        for part in reversed(value.decode("latin-1").rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            address = _address_in(part.strip())
            if address is None or not self._is_proxy(address):
                return address
        return None

    def _is_proxy(self, address: _Address) -> bool:
        return any(address in network for network in self._proxies)


def _address_in(text: str) -> _Address | None:
    """One address, perhaps with a port (`192.0.2.1:80`, `[2001:db8::1]:80`) or a zone; None for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
