"""Refusals as problem documents (RFC 9457, https://www.rfc-editor.org/rfc/rfc9457) with a stable `code`.

A field at fault is named by a JSON pointer into the body (RFC 6901), a query parameter or header by its name. No value that
was sent is ever repeated: it may be a credential that went into the wrong field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from services.control.identity import challenge, scope_challenge
from shared.domain.errors import (
    ChannelsError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthenticated,
)

MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = "1"
_STATUSES: tuple[tuple[type[ChannelsError], int], ...] = (
    (InvalidInput, 422),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
)
# What a caller is told where the cause is ours: the log has more.
_BLAND = {500: "this should not happen; the log has more", 503: "a part this depends on does not answer; try again"}


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str | None = Field(default=None, description="JSON pointer into the body (RFC 6901).")
    parameter: str | None = Field(default=None, description="Name of a path or query parameter or of a header.")
    code: str
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457). `code` is stable; `detail` is for people."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(description="`urn:channels:problem:` and the code.")
    title: str
    status: int = Field(ge=400, le=599)
    code: str
    detail: str
    errors: list[Fault] = []


class Refusal(ChannelsError):
    """Raised for what only HTTP knows: preconditions, cursors, sizes."""

    code = "refusal"

    def __init__(self, status: int, reason: str, detail: str, *, parameter: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.parameter = parameter


def answer(
    status: int, code: str, detail: str, *, errors: Sequence[Fault] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    """A problem document as a response."""
    problem = Problem(
        type=f"urn:channels:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        code=code,
        detail=detail,
        errors=list(errors),
    )
    return JSONResponse(problem.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)


def of_error(error: ChannelsError) -> JSONResponse:
    """What a use case refused."""
    status = error.status if isinstance(error, Refusal) else _status(error)
    code = getattr(error, "reason", error.code)
    detail = _BLAND.get(status, str(error))
    errors: list[Fault] = []
    headers: dict[str, str] = {}
    if isinstance(error, InvalidInput):
        errors = [Fault(pointer=error.pointer, code=code, detail=detail)]
    elif isinstance(error, Refusal) and error.parameter:
        errors = [Fault(parameter=error.parameter, code=code, detail=detail)]
    elif isinstance(error, Unauthenticated):
        headers = {"WWW-Authenticate": challenge(error)}
    elif isinstance(error, Forbidden):
        headers = {"WWW-Authenticate": scope_challenge()}
    elif error.retryable:
        headers = {"Retry-After": _RETRY_SECONDS}
    return answer(status, code, detail, errors=errors, headers=headers)


def _status(error: ChannelsError) -> int:
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return 503 if error.retryable else 500


def of_validation(error: RequestValidationError) -> JSONResponse:
    """What does not even have the form of a request: all faults at once."""
    found = error.errors()
    if any(fault["type"] == "json_invalid" for fault in found):
        return answer(400, "body_malformed", "the body is not JSON")
    faults = [_fault(fault) for fault in found]
    return answer(422, faults[0].code if len(faults) == 1 else "invalid_input", faults[0].detail, errors=faults)


def _fault(fault: dict[str, Any]) -> Fault:
    place, *path = fault["loc"]
    code = {"extra_forbidden": "field_unknown", "missing": "field_missing"}.get(fault["type"], "invalid_input")
    if place != "body":
        return Fault(parameter=str(path[0]) if path else str(place), code=code, detail=fault["msg"])
    inner = (fault.get("ctx") or {}).get("path", ())  # where in a body our own check stopped
    return Fault(pointer=pointer([*path, *inner]), code=code, detail=fault["msg"])


def pointer(path: Sequence[object]) -> str:
    """A JSON pointer; each part is cut, because names in a body are the caller's."""
    return "".join("/" + str(part)[:64].replace("~", "~0").replace("/", "~1") for part in path[:16])
