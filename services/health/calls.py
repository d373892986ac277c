"""The calls of checks over the one HTTP client: once each, a fault on the way is the policy's business."""

from __future__ import annotations

from shared.adapters.http_client import HttpClient
from shared.providers.calling import PlacedCall, ProviderAnswer


class HttpCaller:
    """A `Caller`."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def call(self, placed: PlacedCall, provider: str) -> ProviderAnswer:
        """The answer, or why there is none."""
        return (await self._client.call(placed, provider=provider)).answer
