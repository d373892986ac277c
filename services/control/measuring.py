"""Around every call: a bound on its body, its time and its outcome."""

from __future__ import annotations

import time
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.runtime.metrics import ControlMetrics


class Measured:
    """Around an ASGI application of HTTP alone. Counts by route template, never by path: a path holds ids."""

    def __init__(self, app: ASGIApp, *, metrics: ControlMetrics | None, body_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._body_bytes = body_bytes
        self._log = structlog.get_logger()  # one for all calls: to make one takes longer than to find that nothing is to be told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call; ASGI."""
        began, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, self._bounded(scope, receive), sending)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        told = dict(scope["headers"]).get(b"content-length", b"0")
        seen = int(told) if told.isdigit() and int(told) > self._body_bytes else 0

        async def receiving() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._body_bytes:
                # Answered as every refusal. The rest of the body is not read, so nothing can follow it on this connection.
                raise HTTPException(413, f"a body may have {self._body_bytes} bytes", {"Connection": "close"})
            return message

        return receiving

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        path = getattr(route, "path", "unknown")
        if self._metrics is not None:
            self._metrics.requests.inc((scope["method"] if route else "other", path, str(status)))
            self._metrics.seconds.labels("read" if scope["method"] in {"GET", "HEAD"} else "write").observe(seconds)
        identity = scope.get("state", {}).get("identity")
        self._log.info(
            "call_answered",
            method=scope["method"],
            route=path,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            subject=getattr(identity, "subject", None),
        )
