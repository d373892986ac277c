"""The API's description: committed as it is served, OpenAPI 3.1, every route guarded, no secret in any answer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from services.control.openapi import committed, document_text
from services.control.views import View
from shared.domain.identity import Permission

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(committed().read_text())
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_the_committed_document_is_that_of_the_code() -> None:
    assert committed().read_text() == document_text(), "run `make openapi`"


def test_it_is_openapi_3_1_with_a_problem_for_each_refusal(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert len(operations(document)) > 40
    for method, path, operation in operations(document):
        assert path.startswith("/v1/"), path
        refusals = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert {"401", "403", "404", "422"} <= refusals.keys(), (method, path)
        for answer in refusals.values():
            assert list(answer["content"]) == ["application/problem+json"], (method, path)


@pytest.mark.req(76)
def test_every_route_names_the_permission_it_needs(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        ((scheme, scopes),) = [pair for one in operation["security"] for pair in one.items()]
        assert scheme == "HTTPBearer"
        assert set(scopes) <= set(Permission)
        wanted = Permission.AUDIT if "audit" in path else Permission.READ if method == "get" else Permission.MANAGE
        assert wanted in scopes, (method, path)
        if method != "get" and re.search(r"/tokens|/secrets", path):
            assert Permission.SECRETS in scopes, (method, path)


@pytest.mark.req(55)
def test_rule_55_units_and_flows_have_no_route(document: dict[str, Any]) -> None:
    assert not [path for path in document["paths"] if re.search("unit|flow", path)]


@pytest.mark.req(2)
def test_no_answer_has_a_place_for_a_secret() -> None:
    views, waiting = set(), [View]
    while waiting:
        for view in waiting.pop().__subclasses__():
            views.add(view)
            waiting.append(view)
    names = {name for view in views for name in view.model_fields}
    assert len(views) >= 11
    assert not {"value", "valor_encrypted", "segredo", "secrets", "wrapped"} & names


def test_writes_ask_for_the_tag_and_creations_take_a_key(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        headers = {one["name"].lower() for one in operation.get("parameters", []) if one["in"] == "header"}
        if method in {"put", "patch", "delete"}:
            assert "if-match" in headers, (method, path)
            assert {"412", "428"} <= operation["responses"].keys(), (method, path)
        if path.endswith(":sync"):  # changes nothing that a tag stands for, and asked for twice it is done once
            continue
        if (
            method == "post" and ":" in path and not path.endswith(":rotate")
        ):  # an action on what there is; that one makes a secret
            assert "if-match" in headers, (method, path)
        elif method == "post":
            assert "idempotency-key" in headers, (method, path)
