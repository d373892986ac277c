"""A tour of the management API of a running installation: secrets handed in where they belong and where they do not, then
everything read. What was answered is kept, for a search."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from shared.adapters.development_keys import DEVELOPMENT_ISSUER, DevelopmentKey, development_directory
from shared.domain.identity import Permission
from tests.integration.services.control.foreign_walk import VALUES, Operation, operations

HANDED_IN, MISPLACED = "canary-api-secret-5f1c", "canary-misplaced-5f1c"
UNKNOWN = "01900000-0000-7000-8000-0000000000ff"
TOO_LARGE = 1_100_000
# Permanent answers that show that the tour met what it went for.
WANTED = {200, 201, 400, 401, 404, 405, 409, 412, 413, 422, 428}


@dataclass
class Tour:
    """`known`: an id for each path parameter."""

    client: httpx.Client
    document: Mapping[str, Any]
    known: dict[str, str]
    answers: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self.client.request(method, path, **more)
        self.answers.append(f"{answer.status_code} {dict(answer.headers)} {answer.text}")
        self.statuses.add(answer.status_code)
        return answer

    def hand_in(self) -> None:
        """A secret by each way that takes one, twice over, so that refusals tell of it too."""
        body = {"tipo": "whatsapp_official", "nome": "Second", "config": {"waba_id": "100000000000000"}}
        pasted = {**body, "config": {**body["config"], "access_token": f"{HANDED_IN}-pasted"}}  # type: ignore[dict-item]
        made = [self.ask("POST", "/v1/connectors", json=pasted, headers={"Idempotency-Key": "tour"}) for _ in range(2)]
        assert [one.status_code for one in made] == [201, 201], made[0].text
        connector = made[0].json()["id"]
        token = {"kind": "access_token", "value": HANDED_IN}
        self.known["token_id"] = self.ask("POST", f"/v1/connectors/{connector}/tokens", json=token).json()["id"]
        assert self.ask("POST", f"/v1/connectors/{UNKNOWN}/tokens", json=token).status_code == 404
        secret = {"use": "sign", "value": HANDED_IN}
        webhook = {"evento": "message_in", "url": "https://edge.example.org/w", "secrets": [secret]}
        path = f"/v1/connectors/{connector}/webhooks"
        self.known["webhook_id"] = self.ask("POST", path, json=webhook).json()["id"]
        assert self.ask("POST", path, json=webhook).status_code == 409
        path = f"/v1/webhooks/{self.known['webhook_id']}/secrets"
        assert self.ask("POST", path, json=secret).status_code == 409
        assert self.ask("POST", path, json={**secret, "value": f"{HANDED_IN}-2"}).status_code == 201
        assert self.ask("PUT", path, json={"secrets": [secret]}, headers={"If-Match": '"0"'}).status_code == 412
        assert self.ask("PUT", path, json={"secrets": [secret]}).status_code == 428
        destination = {"tipo": "voicemail", "destino": "ops@example.com"}
        path = f"/v1/accounts/{self.known['account_id']}/fallbacks"
        self.known["fallback_id"] = self.ask("POST", path, json=destination).json()["id"]
        path = f"/v1/connectors/{self.known['connector_id']}/default-fallback"
        default = {"fallback_id": self.known["fallback_id"]}
        assert self.ask("PUT", path, json=default, headers={"If-None-Match": "*"}).status_code == 200

    def misplace(self) -> None:
        """A secret where none belongs: in each field, in an unknown one, in a path, a query, a header, in what is no JSON."""
        for one in operations(self.document):
            path, headers = one.path.format(**VALUES, **self.known), {"If-Match": "*"}
            for body in _misplaced(one):
                answer = self.ask(one.method, path, json=body, headers=headers)
                assert answer.status_code in {404, 409, 422}, (one, answer.text)
            if one.fields:
                text = {"Content-Type": "application/json"} | headers
                assert self.ask(one.method, path, content=f'{{"value": {MISPLACED}', headers=text).status_code == 400
                large = json.dumps({"value": MISPLACED + "x" * TOO_LARGE})
                assert self.ask(one.method, path, content=large, headers=text).status_code == 413
            if one.objects:
                wrong = one.path.format(**VALUES, **{**self.known, one.objects[0]: MISPLACED})
                assert self.ask(one.method, wrong, json={}).status_code == 422
            for name in (*one.queries, "token"):
                if name not in {"nome", "identidade", "chave_externa", "actor", "action"}:  # these take any text, and repeat none
                    assert self.ask(one.method, path, params={name: MISPLACED}, json={}).status_code in {422, 428}, (one, name)
        for name in ("nome", "identidade"):
            self.ask("GET", "/v1/accounts" if name == "identidade" else "/v1/connectors", params={name: MISPLACED})
        assert self.ask("GET", f"/v1/{MISPLACED}").status_code == 404
        assert self.ask("TRACE", "/v1/connectors", headers={"X-Token": MISPLACED}).status_code == 405
        assert self.ask("GET", "/v1/connectors", headers={"Authorization": f"Bearer {MISPLACED}"}).status_code == 401
        assert self.ask("GET", "/v1/connectors", headers={"Authorization": f"Basic {MISPLACED}"}).status_code == 401

    def read_all(self) -> None:
        """Every GET, each page of it."""
        for one in operations(self.document):
            if one.method != "GET":
                continue
            path = one.path.format(**VALUES, **self.known)
            params = {"chave_externa": "phone:5511900000009"} if one.path == "/v1/mappings" else {}
            params |= {"limit": "200"} if "limit" in one.queries else {}
            while True:
                answer = self.ask("GET", path, params=params)
                assert answer.status_code == 200, (one, answer.text)
                told = answer.json()
                if not isinstance(told, dict) or not told.get("next"):
                    break
                params["cursor"] = told["next"]
        assert self.statuses >= WANTED, self.statuses


def _misplaced(one: Operation) -> Iterator[dict[str, Any]]:
    for name in one.fields:
        yield {name: [MISPLACED]} if name not in {"secrets", "config", "metadata", "constraints"} else {name: MISPLACED}
        yield (
            {name: {"inner": {"value": MISPLACED}}} if name not in {"config", "metadata", "constraints"} else {name: [MISPLACED]}
        )
    if one.fields:
        yield {"access_token": MISPLACED}
        yield {"metadata": {"access_token": MISPLACED}, "config": {"password": MISPLACED}}


def caller(home: Path, tenant_id: str) -> httpx.Client:
    """Somebody who may do everything in the installation's API, for one tenant."""
    settings = json.loads((home / "stack.json").read_text())["settings"]
    claims = {"iss": DEVELOPMENT_ISSUER, "aud": "channels", "sub": "tour", "tenant_id": tenant_id}
    claims |= {"permissions": [permission.value for permission in Permission]}
    token = DevelopmentKey(development_directory(home)).sign(claims, seconds=600)
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{settings['control_port']}", headers=headers, timeout=30)


def toured(home: Path, tenant_id: str, connector_id: str) -> str:
    """Everything that the API of this installation answered on the tour."""
    with caller(home, tenant_id) as client:
        accounts = client.get(f"/v1/connectors/{connector_id}/accounts").json()["items"]
        known = {"connector_id": connector_id, "account_id": accounts[0]["id"]}
        tour = Tour(client, client.get("/openapi.json").json(), known)
        tour.hand_in()
        tour.misplace()
        tour.read_all()
        return "\n".join(tour.answers)
