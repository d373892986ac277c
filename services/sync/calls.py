"""The calls of syncs over the HTTP client: once each, because what is tried again is the job's business."""

from __future__ import annotations

from dataclasses import replace

from shared.adapters.blocking_http import BlockingHttpClient
from shared.adapters.egress import AllowList, Egress
from shared.adapters.egress_target import read_target
from shared.adapters.http_client import HttpParts
from shared.adapters.http_faults import EgressRefused
from shared.domain.errors import ConfigError
from shared.providers.calling import PlacedCall, ProviderAnswer


class HttpCaller:
    """A `Caller`; safe for threads."""

    def __init__(self, client: BlockingHttpClient) -> None:
        self._client = client

    def call(self, placed: PlacedCall, provider: str) -> ProviderAnswer:
        """Blocks within the call's own time limit. Raises Unavailable where the client is closed or hangs."""
        return self._client.call(placed, provider=provider).answer


def parts_for_edge(parts: HttpParts, edge_url: str) -> HttpParts:
    """A client that calls our own edge alone, wherever it is, and keeps no connection: each probe may meet another process.

    Raises ConfigError for an address that is none.
    """
    try:
        origin = read_target(edge_url).origin
    except EgressRefused as error:
        raise ConfigError(f"CHANNELS_SYNC_EDGE_URL (or CHANNELS_PUBLIC_URL): {edge_url[:200]} is no address ({error})") from error
    only = Egress(only_hosts=frozenset(), allow=AllowList(origins=frozenset({origin})))
    return replace(parts, fixed=only, tenant=only, limits=replace(parts.limits, keepalive_seconds=0.0), stand_ins={})
