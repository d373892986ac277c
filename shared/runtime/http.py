"""The HTTP client that the settings ask for."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from shared.adapters.egress import AllowList, Egress, read_allow_list
from shared.adapters.egress_target import Target, read_target
from shared.adapters.http_client import HttpParts
from shared.adapters.http_faults import EgressRefused
from shared.adapters.http_pool import HttpLimits
from shared.domain.errors import ConfigError
from shared.runtime.metrics import HttpMetrics
from shared.runtime.settings import HttpSettings, StackSettings, load

# Providers' own hosts, which no tenant sets. A test holds them to be all that stand in the providers' code.
FIXED_HOSTS = frozenset(
    {
        *("graph.facebook.com", "api.telegram.org", "api.z-api.io", "oauth2.googleapis.com", "login.microsoftonline.com"),
        *("sns.*.amazonaws.com", "sns.*.amazonaws.com.cn"),
    }
)


def http_parts(settings: HttpSettings, registry: CollectorRegistry) -> HttpParts:
    """For `HttpClient` or `BlockingHttpClient`; call it once per process and registry. Raises ConfigError."""
    stand_ins = _stand_ins(settings.http_stand_ins)
    if stand_ins and not _is_development():
        raise ConfigError("CHANNELS_HTTP_STAND_INS is for development: providers are called where they are")
    endpoints = read_allow_list(_listed(settings.http_allow_fixed), "CHANNELS_HTTP_ALLOW_FIXED")
    if endpoints.hosts or endpoints.origins:
        raise ConfigError("CHANNELS_HTTP_ALLOW_FIXED takes networks only: the hosts are fixed")
    return HttpParts(
        fixed=Egress(
            only_hosts=FIXED_HOSTS,
            allow=AllowList(networks=endpoints.networks, origins=frozenset(place.origin for place in stand_ins.values())),
            ports=frozenset({443}),
        ),
        tenant=tenant_egress(settings),
        tls=tls_context(settings),
        limits=HttpLimits(
            connect_seconds=settings.http_connect_seconds,
            max_answer_bytes=settings.http_max_answer_bytes,
            connections=settings.http_connections,
            connections_per_host=settings.http_connections_per_host,
            keepalive_seconds=settings.http_keepalive_seconds,
        ),
        stand_ins=stand_ins,
        watch=HttpMetrics(registry),
    )


def tenant_egress(settings: HttpSettings) -> Egress:
    """The rules of addresses that tenants set. Raises ConfigError."""
    return Egress(
        allow=read_allow_list(_listed(settings.http_allow), "CHANNELS_HTTP_ALLOW"),
        ports=_ports(settings.http_ports),
        plain_http=_is_development(),
    )


def tls_context(settings: HttpSettings) -> ssl.SSLContext:
    """The system's authorities, and those of the bundle. Certificates are always checked. Raises ConfigError."""
    context = ssl.create_default_context()
    if settings.http_ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=settings.http_ca_bundle)
        except OSError as error:  # no file, or no certificate in it
            raise ConfigError(f"CHANNELS_HTTP_CA_BUNDLE: {settings.http_ca_bundle} cannot be read ({error})") from error
    return context


def _is_development() -> bool:
    return load(StackSettings).environment != "production"


def _listed(text: str) -> Iterable[str]:
    return (entry.strip() for entry in text.split(",") if entry.strip())


def _ports(text: str) -> frozenset[int]:
    try:
        ports = frozenset(int(entry) for entry in _listed(text))
    except ValueError as error:
        raise ConfigError("CHANNELS_HTTP_PORTS: numbers with commas between") from error
    if not all(0 < port < 65_536 for port in ports):
        raise ConfigError("CHANNELS_HTTP_PORTS: ports are 1 to 65535")
    return ports


def _stand_ins(text: str) -> dict[str, Target]:
    found: dict[str, Target] = {}
    for entry in _listed(text):
        host, _, url = entry.partition("=")
        try:
            found[read_target(f"https://{host}").host] = read_target(url)
        except EgressRefused as error:
            raise ConfigError(f"CHANNELS_HTTP_STAND_INS: {entry} is not host=URL ({error})") from error
    return found
