"""Routes with a short way: FastAPI declares and describes them, and a call that is in order is read and answered before the
framework sees it, in a fraction of its time. Whatever is odd goes the framework's whole way, which says what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import Scope

from services.control.inputs import Inputs, inputs_of
from services.control.openapi import PROBLEMS
from shared.adapters.event_loop import on_loop

Handler = TypeVar("Handler", bound=Callable[..., Response | None])


def router_of(prefix: str, *tags: str) -> APIRouter:
    """A router of such routes, each of which may answer with every problem there is."""
    return APIRouter(prefix=prefix, tags=list(tags), responses=PROBLEMS)


def looks(handler: Handler) -> Handler:
    """Marks a handler that waits for nothing but `Call.looking` and `off_loop`: it needs no thread."""
    handler.looks = True  # type: ignore[attr-defined]
    return handler


def changes(handler: Handler) -> Handler:
    """Marks a handler that waits for nothing but `Call.changing` and `off_loop`: it needs no thread either."""
    handler.changes = True  # type: ignore[attr-defined]
    return handler


@dataclass(frozen=True, slots=True)
class ShortWay:
    """That of one route, whose handler is a plain function and makes its answer itself (None: it has no content)."""

    route: APIRoute
    inputs: Inputs

    async def answer(self, request: Request) -> Response:
        """Read the call and answer it. Raises OddCall for the whole way, and whatever refuses the call."""
        values, endpoint, parts = await self.inputs.read(request), self.route.endpoint, request.app.state.parts
        needs_no_thread = (hasattr(endpoint, "looks") and parts.readers is not None) or (
            hasattr(endpoint, "changes") and parts.writers is not None
        )
        answer: Response | None = await (on_loop if needs_no_thread else run_in_threadpool)(lambda: endpoint(**values))
        return Response(status_code=self.route.status_code or 204) if answer is None else answer


class Directory:
    """Finds the short way of a call by the words of its path, where the framework would try every pattern in turn."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        known = [(route, route.path.split("/")) for route in routes if isinstance(route, APIRoute)]
        self._words = {part for _, parts in known for part in parts if not part.startswith("{")}
        self._ways: defaultdict[tuple[str, tuple[str, ...]], list[ShortWay]] = defaultdict(list)
        for route, parts in known:
            inputs = inputs_of(route.dependant)
            if inputs is not None:
                for method in route.methods or ():
                    self._ways[method, self._shape(parts)].append(ShortWay(route, inputs))

    def __len__(self) -> int:
        return sum(map(len, self._ways.values()))

    def find(self, scope: Scope) -> tuple[ShortWay, dict[str, str]] | None:
        """With the parts of the path that are values. None: it has none, or there is no such address."""
        path = scope["path"]
        for way in self._ways.get((scope["method"], self._shape(path.split("/"))), ()):
            found = way.route.path_regex.match(path)
            if found is not None:
                return way, found.groupdict()
        return None

    def _shape(self, parts: list[str]) -> tuple[str, ...]:
        return tuple(part if part in self._words else "{}" for part in parts)
