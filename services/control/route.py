"""Routes with a short way: FastAPI declares and describes them, and a call that is in order is read and answered in a fraction
of the framework's time. Whatever is not in order goes the framework's whole way, which says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from services.control.inputs import OddCall, inputs_of
from services.control.openapi import PROBLEMS
from shared.adapters.event_loop import on_loop

_JSON = "application/json"

Handler = TypeVar("Handler", bound=Callable[..., Any])


def router_of(prefix: str, *tags: str) -> APIRouter:
    """A router of such routes, each of which may answer with every problem there is."""
    return APIRouter(prefix=prefix, tags=list(tags), responses=PROBLEMS, route_class=ShortRoute)


def looks(handler: Handler) -> Handler:
    """Marks a handler that waits for nothing but `Call.looking` and `off_loop`: it needs no thread."""
    handler.looks = True  # type: ignore[attr-defined]
    return handler


def changes(handler: Handler) -> Handler:
    """Marks a handler that waits for nothing but `Call.changing` and `off_loop`: it needs no thread either."""
    handler.changes = True  # type: ignore[attr-defined]
    return handler


class ShortRoute(APIRoute):
    """One operation; its handler is a plain function."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook: what makes a response of a request."""
        whole_way, inputs = super().get_route_handler(), inputs_of(self.dependant)
        looks, changes = hasattr(self.endpoint, "looks"), hasattr(self.endpoint, "changes")
        if inputs is None or self._embed_body_fields:
            return whole_way

        async def short_way(request: Request) -> Response:
            answer = Response(status_code=self.status_code or 200)
            try:
                values = await inputs.read(request, answer)
            except OddCall:
                return await whole_way(request)
            parts = request.app.state.parts
            if (looks and parts.readers is not None) or (changes and parts.writers is not None):
                return await on_loop(self._answer, values, answer)
            return await run_in_threadpool(self._answer, values, answer)

        return short_way

    def _answer(self, values: dict[str, Any], answer: Response) -> Response:
        result = self.endpoint(**values)
        if isinstance(result, Response):
            return result
        if self.response_field is not None:
            answer.body = self._written(result)
            answer.headers["content-length"] = str(len(answer.body))
            answer.headers["content-type"] = _JSON
        return answer

    def _written(self, result: Any) -> bytes:
        if type(result) is self.response_model and isinstance(result, BaseModel):
            return result.__pydantic_serializer__.to_json(result)  # it was checked when it was made
        assert self.response_field is not None  # noqa: S101  asked by the caller
        told, errors = self.response_field.validate(result, loc=("response",))
        if errors:
            raise TypeError(f"{self.path} does not answer as it is described")
        return self.response_field.serialize_json(told)


class Directory(BaseRoute):
    """Finds a route by the words of its path, where the framework would try every pattern in turn. What it does not find (a
    wrong method or address, an id that is a word) is left to the routes after it."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        known = [(route, route.path.split("/")) for route in routes if isinstance(route, APIRoute)]
        self._words = {part for _, parts in known for part in parts if not part.startswith("{")}
        self._routes = {(method, self._shape(parts)): route for route, parts in known for method in route.methods or ()}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette's question."""
        if scope["type"] != "http":
            return Match.NONE, {}
        route = self._routes.get((scope["method"], self._shape(scope["path"].split("/"))))
        return route.matches(scope) if route is not None else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What was found takes it."""
        await scope["route"].handle(scope, receive, send)

    def _shape(self, parts: list[str]) -> tuple[str, ...]:
        return tuple(part if part in self._words else "{}" for part in parts)
