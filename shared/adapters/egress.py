"""The egress guard: which URLs and which addresses our calls may go to.

A URL is judged twice: its text before anything happens (`admit`), and each address of its name after resolution
(`admit_address`), which is the address that is then connected to (`guarded_dial`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.adapters.addresses import NEVER, Address, Network, address_kind, embedded_ipv4, is_within, network_of
from shared.adapters.egress_target import MAIL_PORTS, Target, read_target
from shared.adapters.http_faults import EgressRefused
from shared.domain.errors import ConfigError

HTTPS_PORTS = frozenset({443, 8443})
_ORIGIN_PORTS = {"http": 80, "https": 443, **MAIL_PORTS}

# Names under which machines, clusters and clouds call themselves. No public name ends like this (RFC 6761, 6762, 8375).
_LOCAL_ENDS = frozenset(
    {
        *("localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "svc", "onion"),
        *("home.arpa", "in-addr.arpa", "ip6.arpa", "cluster.local", "consul"),
    }
)
_METADATA_NAMES = frozenset(
    {
        *("metadata", "metadata.google.internal", "metadata.goog", "metadata.azure.internal", "metadata.azure.com"),
        *("instance-data", "instance-data.ec2.internal", "metadata.tencentyun.com", "metadata.packet.net"),
        *("metadata.platformequinix.com", "rancher-metadata", "rancher-metadata.rancher.internal", "metadata.exoscale.com"),
        *("kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowList:
    """What the installation opens beyond the public internet.

    `hosts`: names whose addresses may be private. `networks`: addresses that may be called. `origins`: scheme, host and port
    in full, which also opens plain http and that port.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    origins: frozenset[tuple[str, str, int]] = frozenset()

    def names(self, target: Target) -> bool:
        """Whether the target's host is listed by name, or its origin is."""
        return target.host in self.hosts or target.origin in self.origins


NOTHING_ALLOWED = AllowList()


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """One set of rules. `only_hosts`: no host beside these (`*` stands for one label); None: any public one.

    `plain_http`: http on port 80 and on `ports` is allowed (development).
    """

    only_hosts: frozenset[str] | None = None
    allow: AllowList = NOTHING_ALLOWED
    ports: frozenset[int] = HTTPS_PORTS
    plain_http: bool = False

    def admit(self, target: Target) -> None:
        """Judge the URL's text; raises EgressRefused."""
        if target.host in _METADATA_NAMES:
            raise _refused("metadata", f"{target.host} hands out credentials of machines")
        if target.origin not in self.allow.origins:
            self._admit_way(target)
            if self.only_hosts is not None and not self.is_fixed(target.host):
                raise _refused("not_listed", f"{target.host} is no host of a provider")
        if target.address is not None:
            self.admit_address(target, target.address)
        elif not self.allow.names(target) and _is_local_name(target.host):
            raise _refused("local_name", f"{target.host} is no public name")

    def _admit_way(self, target: Target) -> None:
        if target.scheme == "http" and not self.plain_http:
            raise _refused("plain_http", "only https is called")
        if target.port not in self.ports and not (target.scheme == "http" and target.port == 80):
            raise _refused("port", f"port {target.port} is not called")

    def admit_address(self, target: Target, address: Address) -> None:
        """Judge one address of the target's host; raises EgressRefused."""
        kind = address_kind(address)
        if kind is None or (kind not in NEVER and self._is_opened(target, address)):
            return
        raise _refused(kind, f"{target.host} is at an address of kind {kind}")

    def _is_opened(self, target: Target, address: Address) -> bool:
        inner = embedded_ipv4(address)
        if inner is not None:
            inner_kind = address_kind(inner)
            if inner_kind in NEVER or (inner_kind is not None and not is_within(inner, self.allow.networks)):
                return False
        return self.allow.names(target) or is_within(address, self.allow.networks)

    def is_fixed(self, host: str) -> bool:
        """Whether the host is one of `only_hosts`."""
        return any(_fits(host, pattern) for pattern in self.only_hosts or ())


def _fits(host: str, pattern: str) -> bool:
    given, wanted = host.split("."), pattern.split(".")
    return len(given) == len(wanted) and all(want in ("*", label) for label, want in zip(given, wanted, strict=True))


def _is_local_name(host: str) -> bool:
    labels = host.split(".")
    return len(labels) == 1 or labels[-1] in _LOCAL_ENDS or ".".join(labels[-2:]) in _LOCAL_ENDS


def _refused(reason: str, message: str) -> EgressRefused:
    return EgressRefused(message, reason=reason)


def read_allow_list(entries: Iterable[str], setting: str) -> AllowList:
    """Entries are hosts, networks in CIDR form (or addresses), and origins (`http://host:port`); raises ConfigError."""
    hosts: set[str] = set()
    networks: list[Network] = []
    origins: set[tuple[str, str, int]] = set()
    for entry in entries:
        network = network_of(entry)
        if network is not None and network.prefixlen == 0:
            raise ConfigError(f"{setting}: {entry} would open everything")
        try:
            if network is not None:
                networks.append(network)
            elif "://" in entry:
                target = read_target(entry, _ORIGIN_PORTS)
                if target.tail != "/":
                    raise ConfigError(f"{setting}: {entry} must be scheme, host and port alone")
                origins.add(target.origin)
            else:
                hosts.add(_host_alone(entry))
        except EgressRefused as error:
            raise ConfigError(f"{setting}: {entry} is no host, network or origin ({error})") from error
    return AllowList(hosts=frozenset(hosts), networks=tuple(networks), origins=frozenset(origins))


def _host_alone(entry: str) -> str:
    target = read_target(f"https://{entry}")
    if target.tail != "/" or ":" in entry or target.address is not None:
        raise _refused("host_form", "a network needs zero host bits, a port a scheme")
    return target.host
