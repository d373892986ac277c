"""What a handler is called with, read from a call by the framework's own description of the handler (`Dependant`).

Its validators and its dependencies are used, so that nothing is decided here. What the framework does beside (exit stacks,
overrides, caches, forms, cookies) no handler of this API asks for; `inputs_of` sees it if one does.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import ClientDisconnect

_JSON = "application/json"
_PLAIN = (str, int, bool, type(None))  # such a default needs no copy

Dependency = Callable[..., Awaitable[Any]]


class OddCall(Exception):
    """Raised where a call is not as it is described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A parameter: `name` for the handler, `key` for the caller."""

    name: str
    key: str
    validate: Callable[[Any], tuple[Any, list[Any]]]
    required: bool
    default: Any

    def of(self, told: Mapping[str, str]) -> Any:
        """What the handler gets; raises OddCall."""
        given = told.get(self.key)
        if given is None and not self.required:
            return self.default
        value, errors = self.validate(given)
        if given is None or errors:
            raise OddCall(self.key)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Of a handler or of one of its dependencies. `fixed`: arguments that are the same for every call."""

    dependencies: tuple[tuple[str | None, Dependency, Inputs], ...]
    path: tuple[Value, ...]
    query: tuple[Value, ...]
    headers: tuple[Value, ...]
    body: Value | None
    request: tuple[str, ...]
    fixed: dict[str, Any]

    async def read(self, request: Request) -> dict[str, Any]:
        """The arguments. Raises OddCall, and what a dependency raises."""
        told: Any = None
        if self.body is not None:  # before anything is decided, as the framework does
            if request.headers.get("content-type") != _JSON:
                raise OddCall(_JSON)
            try:
                told = await request.json()
            except (ValueError, RecursionError, ClientDisconnect) as error:
                raise OddCall(_JSON) from error
        values = await self._values(request)
        if self.body is not None:
            values[self.body.name], errors = self.body.validate(told)
            if errors:
                raise OddCall(self.body.key)
        return values

    async def _values(self, request: Request) -> dict[str, Any]:
        values = dict(self.fixed)
        values |= dict.fromkeys(self.request, request)
        for name, call, inputs in self.dependencies:
            found = await call(**await inputs._values(request))
            if name is not None:
                values[name] = found
        for value in self.path:
            values[value.name] = value.of(request.path_params)
        if self.query:
            told = request.query_params if request.scope["query_string"] else {}
            for value in self.query:
                values[value.name] = value.of(told)
        for value in self.headers:
            values[value.name] = value.of(request.headers)
        return values


def inputs_of(dependant: Dependant) -> Inputs | None:
    """None if it asks for something that only the framework gives."""
    # A security scheme only describes what `identity_of` proves; its value has a name that nobody reads.
    schemes = [one for one in dependant.dependencies if isinstance(one.call, SecurityBase) and one.name == "_"]
    below: list[Any] = [(one.name, one.call, inputs_of(one)) for one in dependant.dependencies if one not in schemes]
    fields = [*dependant.path_params, *dependant.query_params, *dependant.header_params]
    if (
        dependant.cookie_params
        or dependant.background_tasks_param_name
        or dependant.websocket_param_name
        or dependant.response_param_name
        or dependant.concurrency
        or len(dependant.body_params) > 1
        or not all(field.field_info.is_required() or isinstance(field.default, _PLAIN) for field in fields)
        or not all(_is_awaited(call) and inputs is not None and inputs.body is None for _, call, inputs in below)
    ):
        return None
    needed = [*(dependant.parent_oauth_scopes or ()), *(dependant.own_oauth_scopes or ())]
    fixed: dict[str, Any] = dict.fromkeys((one.name for one in schemes if one.name), None)
    if dependant.security_scopes_param_name:
        fixed[dependant.security_scopes_param_name] = SecurityScopes(needed)
    return Inputs(
        dependencies=tuple(below),
        path=tuple(map(_value, dependant.path_params)),
        query=tuple(map(_value, dependant.query_params)),
        headers=tuple(map(_value, dependant.header_params)),
        body=next(map(_value, dependant.body_params), None),
        request=tuple(filter(None, (dependant.request_param_name, dependant.http_connection_param_name))),
        fixed=fixed,
    )


def _value(field: Any) -> Value:
    return Value(
        name=field.name,
        key=field.alias,
        validate=field.validate,
        required=field.field_info.is_required(),
        default=None if field.field_info.is_required() else field.default,
    )


def _is_awaited(call: Any) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)
