"""Which kind of network an address belongs to. Pure: nothing is looked up, nothing is opened.

Source of the ranges: https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry. They are
written out here because what `ipaddress` calls global has changed between patch releases of Python.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Where clouds hand out credentials: AWS (instances, tasks, pods), Google, Azure (also its wire server, a public number), Alibaba,
# Oracle, Scaleway.
_METADATA = frozenset(
    {
        *map(IPv4Address, ("169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.42.42", "168.63.129.16")),
        *map(IPv4Address, ("100.100.100.200", "192.0.0.192")),
        *map(IPv6Address, ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fe80::a9fe:a9fe")),
    }
)
# The first that holds an address names it.
_IPV4_KINDS: tuple[tuple[str, IPv4Network], ...] = tuple(
    (kind, IPv4Network(text))
    for kind, text in (
        ("this_network", "0.0.0.0/8"),  # connects to this machine on Linux
        ("loopback", "127.0.0.0/8"),
        ("private", "10.0.0.0/8"),
        ("private", "172.16.0.0/12"),
        ("private", "192.168.0.0/16"),
        ("carrier_nat", "100.64.0.0/10"),
        ("link_local", "169.254.0.0/16"),
        ("protocol_assignments", "192.0.0.0/24"),
        ("documentation", "192.0.2.0/24"),
        ("documentation", "198.51.100.0/24"),
        ("documentation", "203.0.113.0/24"),
        ("relay_anycast", "192.88.99.0/24"),
        ("benchmark", "198.18.0.0/15"),
        ("multicast", "224.0.0.0/4"),
        ("broadcast", "255.255.255.255/32"),
        ("reserved", "240.0.0.0/4"),
    )
)
_IPV6_KINDS: tuple[tuple[str, IPv6Network], ...] = tuple(
    (kind, IPv6Network(text))
    for kind, text in (
        ("loopback", "::1/128"),
        ("this_network", "::/128"),
        ("mapped", "::ffff:0:0/96"),
        ("translated", "::ffff:0:0:0/96"),
        ("compatible", "::/96"),
        ("nat64", "64:ff9b::/96"),
        ("nat64", "64:ff9b:1::/48"),
        ("teredo", "2001::/32"),
        ("benchmark", "2001:2::/48"),
        ("documentation", "2001:db8::/32"),
        ("protocol_assignments", "2001::/23"),
        ("six_to_four", "2002::/16"),
        ("documentation", "3fff::/20"),
        ("unique_local", "fc00::/7"),
        ("link_local", "fe80::/10"),
        ("site_local", "fec0::/10"),
        ("multicast", "ff00::/8"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_ISATAP_MARKS = frozenset({0x0000_5EFE, 0x0200_5EFE})

# No setting opens these: nobody whom we call lives there.
NEVER = frozenset({"metadata", "this_network", "link_local", "multicast", "broadcast"})


def address_kind(address: Address) -> str | None:
    """Why the address is none of the public internet (`loopback`, `private`, `metadata`, …); None if it is one."""
    if _unscoped(address) in _METADATA:
        return "metadata"
    if isinstance(address, IPv4Address):
        return next((kind for kind, network in _IPV4_KINDS if address in network), None)
    found = next((kind for kind, network in _IPV6_KINDS if address in network), None)
    if found is not None:
        return found
    if address.scope_id is not None:
        return "zone_id"
    if address not in _GLOBAL_UNICAST:
        return "reserved"
    return "isatap" if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP_MARKS else None


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address that traffic to this IPv6 address may end at; None where there is none."""
    if not isinstance(address, IPv6Address):
        return None
    match address_kind(address):
        case "mapped" | "translated" | "compatible" | "nat64" | "isatap":
            return IPv4Address(int(address) & 0xFFFF_FFFF)
        case "six_to_four":
            return address.sixtofour
        case "teredo":
            return IPv4Address(~int(address) & 0xFFFF_FFFF)
    return None


def is_within(address: Address, networks: tuple[Network, ...]) -> bool:
    """Whether one of the networks holds the address."""
    return any(address.version == network.version and address in network for network in networks)


def network_of(text: str) -> Network | None:
    """A network or a single address, as a network; None if the text is neither. Host bits must be zero."""
    try:
        return ip_network(text)
    except ValueError:
        return None


def _unscoped(address: Address) -> Address:
    return IPv6Address(int(address)) if isinstance(address, IPv6Address) else address
