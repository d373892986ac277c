"""The rotator's calls over the one HTTP client: once each, because what is tried again is the schedule's business."""

from __future__ import annotations

from shared.adapters.blocking_http import BlockingHttpClient
from shared.providers.calling import PlacedCall, ProviderAnswer


class HttpCaller:
    """A `Caller`; safe for threads."""

    def __init__(self, client: BlockingHttpClient) -> None:
        self._client = client

    def call(self, placed: PlacedCall, service: str) -> ProviderAnswer:
        """Blocks within the call's own time limit. Raises Unavailable where the client is closed or hangs."""
        return self._client.call(placed, provider=service).answer
