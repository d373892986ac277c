"""The application: routes under `/v1`, refusals as problem documents, its own description as OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.telemetry import TelemetryConfig
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from services.control import problems
from services.control.call import Parts
from services.control.front import ManagementApi, Refusals
from services.control.openapi import describe
from services.control.routes import accounts, capabilities, connectors, fallbacks, providers, records, syncs, tokens, webhooks
from shared.adapters.bearer_tokens import Verifier
from shared.adapters.database import DatabaseFault, classify
from shared.domain.errors import ChannelsError, Unavailable
from shared.runtime.metrics import ControlMetrics

_MODULES = (connectors, accounts, capabilities, tokens, webhooks, fallbacks, records, syncs, providers)
ROUTERS = tuple(module.router for module in _MODULES)
_MAX_BODY_BYTES = 1_048_576
# Ours is in `measuring`; whether somebody wants the framework's is asked at every call.
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
_CODES = {400: "body_malformed", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def create_app(
    parts: Parts, verifier: Verifier, metrics: ControlMetrics | None = None, *, body_bytes: int = _MAX_BODY_BYTES
) -> Any:
    """The ASGI application. Opens nothing; `parts.engine` connects at the first request."""
    app = ManagementApi(
        _REFUSALS,
        metrics,
        body_bytes,
        title="Channels management API",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        routes=[route for router in ROUTERS for route in router.routes],  # an included router is asked anew at every call
        telemetry=_NO_TELEMETRY,
    )
    app.state.parts, app.state.verifier = parts, verifier
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # FastAPI's own way to replace it
    return app


def _expected(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ChannelsError)  # noqa: S101  registered for it alone
    response = problems.of_error(error)
    if response.status_code >= 500:
        structlog.get_logger().error("call_failed", code=error.code, error=str(error))
    return response


def _malformed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it alone
    return problems.of_validation(error)


def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for it alone
    code = _CODES.get(error.status_code, "http_error")
    return problems.answer(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))


def _busy(_: Request, error: Exception) -> JSONResponse:
    return problems.of_error(Unavailable(str(error)))


def _database(_: Request, error: Exception) -> JSONResponse:
    if classify(error) is DatabaseFault.BAD_DATA:
        return problems.answer(422, "value_invalid", "a value is not one that can be stored")
    return _unexpected(_, error)


def _unexpected(_: Request, error: Exception) -> JSONResponse:
    # Without the message: a driver's may repeat the values of a statement.
    structlog.get_logger().error("call_raised", error=type(error.__cause__ or error).__name__)
    return problems.answer(500, "internal_error", "this should not happen; the log has more")


_REFUSALS: Refusals = {
    ChannelsError: _expected,
    RequestValidationError: _malformed,
    HTTPException: _http,
    DBAPIError: _database,
    PoolTimeout: _busy,
    Exception: _unexpected,
}
