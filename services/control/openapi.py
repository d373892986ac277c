"""The description of the API as OpenAPI 3.1; `python -m services.control.openapi` writes `schemas/openapi.json`."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.control.problems import MEDIA_TYPE, Problem

_REFUSALS = {
    400: "The body is not JSON.",
    401: "No bearer token, or not one to be believed.",
    403: "The token lacks a permission.",
    404: "There is no such object, or it is another tenant's.",
    409: "The present state forbids it.",
    412: "It was changed since the ETag in If-Match was read.",
    413: "The body is too large.",
    422: "What was sent breaks a rule; `errors` names the fields.",
    428: "If-Match is missing.",
    503: "A part this depends on does not answer; try again.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, text in _REFUSALS.items()
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once per application."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, openapi_version="3.1.0", routes=app.routes)
        schemas = document["components"]["schemas"]
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema


def query_names(app: FastAPI, path: str, method: str) -> frozenset[str]:
    """Names of the query parameters that an operation has."""
    known: dict[tuple[str, str], frozenset[str]] | None = getattr(app.state, "query_names", None)
    if known is None:
        known = app.state.query_names = {
            (place, name.upper()): frozenset(one["name"] for one in operation.get("parameters", []) if one["in"] == "query")
            for place, operations in describe(app)["paths"].items()
            for name, operation in operations.items()
        }
    return known[path, method]


def committed() -> Path:
    """Where the document lies in the repository."""
    return Path(str(files("schemas"))) / "openapi.json"


def document_text() -> str:
    """The document of an application without parts, as it is committed."""
    from services.control.app import create_app  # late: the application imports this module

    unused: Any = None
    return json.dumps(create_app(unused, unused).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    committed().write_text(document_text())
    print(committed())
