"""The management API in this process on a real database, and a caller of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
from fastapi.testclient import TestClient

from services.control.app import create_app
from services.control.call import Parts
from shared.adapters.event_loop import LoopPool
from shared.adapters.loop_engine import LoopEngine
from shared.domain.errors import Unauthenticated
from shared.domain.identity import Identity, Permission
from tests.integration.management import PUBLIC_URL, Management, management_of


@dataclass
class Tokens:
    """A verifier that knows the tokens it handed out."""

    known: dict[str, Identity] = field(default_factory=dict)

    def issue(self, tenant_id: str, *permissions: Permission) -> str:
        token = f"t{len(self.known)}"
        self.known[token] = Identity(subject=f"user-{token}", tenant_id=tenant_id, permissions=frozenset(permissions))
        return token

    def recall(self, token: str) -> Identity | None:
        return self.known.get(token)

    def verify(self, token: str) -> Identity:
        if token not in self.known:
            raise Unauthenticated("unknown token", reason="token_malformed")
        return self.known[token]


@dataclass
class Scene:
    """`get`, `post`, … call as an administrator of `management.tenant` who may do everything."""

    management: Management
    tokens: Tokens
    app: Any
    client: httpx.Client
    admin: str

    def call(self, method: str, path: str, *, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.admin}", **more.pop("headers", {})}
        return self.client.request(method, path if path.startswith("/") else f"/v1/{path}", headers=headers, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        return self.call("POST", path, content=json.dumps(body), headers=headers, **more)  # escapes: also half a character

    def made(self, path: str, body: Any) -> dict[str, Any]:
        """What a creation answered; fails on anything but 201."""
        response = self.post(path, body)
        assert response.status_code == 201, response.text
        found: dict[str, Any] = response.json()
        return found

    def change(self, path: str, body: Any = None, *, method: str = "PATCH") -> httpx.Response:
        """With the tag that was just read."""
        tag = self.get(path).headers["ETag"]
        return self.call(method, path, json=body, headers={"If-Match": tag})

    def connector(self, **overrides: Any) -> dict[str, Any]:
        body = {"tipo": "whatsapp_official", "nome": "Meta", "config": {"waba_id": "100000000000000"}, **overrides}
        return self.made("connectors", body)

    def account(self, connector: dict[str, Any], **overrides: Any) -> dict[str, Any]:
        body = {
            "identidade": "+55 11 90000-0001",
            "org_unit_id": self.management.unit,
            "config": {"phone_number_id": "100000000000001"},
            **overrides,
        }
        return self.made(f"connectors/{connector['id']}/accounts", body)


@contextmanager
def control_scene(api_url: str, keys: Path) -> Iterator[Scene]:
    """A tenant with a unit and a flow, and the API in front of it."""
    with management_of(api_url, keys) as management:
        tokens = Tokens()
        readers = LoopPool(api_url, size=4, application_name="channels-test-readers")
        writers = LoopEngine(api_url, size=4, application_name="channels-test-writers")
        parts = Parts(engine=management.engine, vault=management.vault, edge_url=PUBLIC_URL, readers=readers, writers=writers)
        app = create_app(parts, tokens)
        try:
            with TestClient(app, raise_server_exceptions=False) as client:
                yield Scene(management, tokens, app, client, tokens.issue(management.tenant, *Permission))
        finally:
            readers.close()
            writers.close()


def code_of(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which must be a problem document."""
    assert response.headers["Content-Type"] == "application/problem+json", response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["type"] == f"urn:channels:problem:{problem['code']}"
    return response.status_code, problem["code"]
