"""The calls of checks: over the one HTTP client, or as a login at a mail server. Once each; faults are the policy's business."""

from __future__ import annotations

from shared.adapters.http_client import HttpClient
from shared.adapters.mail_logins import METHODS, MailLogins
from shared.providers.calling import PlacedCall, ProviderAnswer


class HttpCaller:
    """A `Caller`."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def call(self, placed: PlacedCall, provider: str) -> ProviderAnswer:
        """The answer, or why there is none."""
        return (await self._client.call(placed, provider=provider)).answer


class ByMethod:
    """A `Caller`: mail servers by `mail`, everything else by `http`."""

    def __init__(self, http: HttpCaller, mail: MailLogins) -> None:
        self._http = http
        self._mail = mail

    async def call(self, placed: PlacedCall, provider: str) -> ProviderAnswer:
        """The answer, or why there is none."""
        caller = self._mail if placed.call.method in METHODS else self._http
        return await caller.call(placed, provider)
