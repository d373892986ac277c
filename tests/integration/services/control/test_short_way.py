"""A call in order takes a short way through the framework: it is answered as on the whole way, and anything odd takes that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from services.control import inputs, route
from tests.integration.services.control.scene import Scene, code_of


def _values(scene: Scene) -> dict[str, str]:
    connector = scene.connector()
    account = scene.account(connector)
    webhook = scene.made(
        f"connectors/{connector['id']}/webhooks",
        {
            "evento": "message_in",
            "url": "https://w.example.org/x",
            "secrets": [{"use": "sign", "value": "an invented secret"}],
            "status": "active",
        },
    )
    fallback = scene.made(f"accounts/{account['id']}/fallbacks", {"tipo": "email_forward", "destino": "a@example.org"})
    return {
        "connector_id": connector["id"],
        "account_id": account["id"],
        "webhook_id": webhook["id"],
        "fallback_id": fallback["id"],
        "token_id": scene.management.token(connector["id"]),
        "feature": "messages",
        "tipo": "telegram",
        "number": "0",
    }


def _paths(scene: Scene) -> list[str]:
    values = _values(scene)
    described = scene.app.openapi()["paths"]
    paths = [path.format(**values) for path, operations in described.items() if "get" in operations]
    return [*paths, "connectors?limit=1&status=pending", f"mappings?account_id={values['account_id']}"]


def test_both_ways_answer_the_same(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, taken = _paths(scene), []
    answer = route.ShortWay.answer

    async def counted(self: route.ShortWay, request: Any) -> Any:
        answered = await answer(self, request)
        taken.append(self.route.path)
        return answered

    async def odd(*_: Any) -> Any:
        raise inputs.OddCall

    def told(path: str) -> tuple[int, bytes, dict[str, str]]:
        answer = scene.get(path)
        return answer.status_code, answer.content, dict(answer.headers)

    monkeypatch.setattr(route.ShortWay, "answer", counted)
    refused = 0
    for path in paths:
        short = told(path)
        with monkeypatch.context() as patched:
            patched.setattr(inputs.Inputs, "read", odd)
            whole = told(path)
        assert short == whole, path
        assert short[0] in {200, 404, 422}, path
        refused += short[0] != 200
    assert len(taken) == len(paths) - refused > 20
    assert refused


def test_every_operation_has_the_short_way(scene: Scene) -> None:
    assert len(scene.app._directory) == sum(isinstance(one, APIRoute) for one in scene.app.routes) > 40


def test_a_body_that_was_read_in_vain_is_read_again(scene: Scene) -> None:
    body = json.dumps({"tipo": "telegram", "nome": "By another type", "config": {}})
    made = scene.call("POST", "connectors", content=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert made.status_code == 201, made.text
    refused = scene.post("connectors", {"tipo": "telegram", "nome": "More than there is", "config": {}, "more": 1})
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/more"]


def test_what_nobody_expected_is_told_as_a_problem(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(route.ShortWay, "answer", broken)
    answer = scene.get("connectors")
    assert code_of(answer) == (500, "internal_error")
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "accounts/status", 422),  # a word where an id stands
        ("PUT", "connectors", 405),
        ("GET", "nothing", 404),
        ("GET", "connectors?limit=0", 422),
        ("GET", "connectors?limit=1&limit=2", 422),
        ("GET", "connectors?statos=active", 422),
        ("POST", "connectors", 422),
    ],
)
def test_what_is_odd_is_told_by_the_framework(scene: Scene, method: str, path: str, status: int) -> None:
    answer = scene.call(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert scene.call(method, path, token="nobody").status_code in {401, 404, 405}


def test_what_is_told_is_what_is_described(scene: Scene) -> None:
    values, told = _values(scene), 0
    scene.post(f"accounts/{values['account_id']}:pause", {"cause": "by_hand"}, headers={"If-Match": "*"})
    for one in scene.app.routes:
        if not isinstance(one, APIRoute) or one.methods != {"GET"}:
            continue
        answer = scene.get(one.path.format(**values))
        if answer.status_code == 200:
            described = TypeAdapter(one.response_model)
            read = described.validate_json(answer.content, strict=True, extra="forbid")
            assert json.loads(described.dump_json(read)) == answer.json(), one.path
            told += 1
    assert told > 20
