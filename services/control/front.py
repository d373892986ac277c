"""In front of the framework: calls that are in order are answered here, and every call is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import Message, Receive, Scope, Send

from services.control.inputs import OddCall
from services.control.measuring import Measured
from services.control.route import Directory
from shared.runtime.metrics import ControlMetrics

Refusals = Mapping[type[Exception], Callable[[Request, Exception], Response]]  # by the class of what was raised, `Exception` too


class ManagementApi(FastAPI):
    """FastAPI, whose own way through middlewares, routers and exit stacks took longer than what it led to."""

    def __init__(self, refusals: Refusals, metrics: ControlMetrics | None, body_bytes: int, **more: Any) -> None:
        super().__init__(**more)
        for kind, refusal in refusals.items():
            self.add_exception_handler(kind, refusal)
        self._refusals = refusals
        self._directory = Directory(self.routes)
        self._measured = Measured(self._answer, metrics=metrics, body_bytes=body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            await self._measured(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._directory.find(scope)
        if found is None:
            await super().__call__(scope, receive, send)
            return
        way, values = found
        scope.update(app=self, route=way.route, path_params=values)
        request = Request(scope, receive)
        try:
            answer = await way.answer(request)
        except OddCall:
            await super().__call__(scope, _read_again(request), send)
            return
        except Exception as error:
            answer = self._refused(request, error)
        await answer(scope, receive, send)

    def _refused(self, request: Request, error: Exception) -> Response:
        # By the nearest class, as the framework does.
        return next(self._refusals[kind] for kind in type(error).__mro__ if kind in self._refusals)(request, error)


def _read_again(request: Request) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": await request.body(), "more_body": False}

    return receive
