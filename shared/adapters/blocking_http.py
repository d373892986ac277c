"""The HTTP client for workers without an event loop: the same client, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as WaitedTooLong
from typing import Any, Self

from shared.adapters.bounded_call import Overdue
from shared.adapters.http_client import Exchange, HttpClient, HttpParts
from shared.adapters.http_retries import ONCE, Effort
from shared.domain.errors import Unavailable
from shared.providers.calling import PlacedCall

_SLACK_SECONDS = 10.0  # the client keeps its own deadlines; this is for a loop that hangs


class BlockingHttpClient:
    """Use as `with`; any number of threads may call at once."""

    def __init__(self, parts: HttpParts) -> None:
        self._client = HttpClient(parts)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http-client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._client.__aenter__(), self._loop).result(_SLACK_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_SLACK_SECONDS)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_SLACK_SECONDS)
            if not self._thread.is_alive():
                self._loop.close()

    async def _end(self) -> None:
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._client.__aexit__()
        await self._loop.shutdown_asyncgens()

    def call(self, placed: PlacedCall, *, effort: Effort = ONCE, **more: Any) -> Exchange:
        """As HttpClient.call; blocks for the call's `timeout_seconds`, with repetitions for `effort.seconds` at most.

        Raises Unavailable where the client is closed meanwhile, Overdue if its loop hangs: nobody knows what has left.
        """
        longest = effort.seconds if effort.attempts > 1 else placed.call.timeout_seconds
        running = asyncio.run_coroutine_threadsafe(self._client.call(placed, effort=effort, **more), self._loop)
        try:
            return running.result(longest + _SLACK_SECONDS)
        except CancelledError:
            raise Unavailable("the HTTP client was closed") from None
        except WaitedTooLong:
            running.cancel()
            raise Overdue("the HTTP client does not come back") from None
