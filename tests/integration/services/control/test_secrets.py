"""Receiving secrets over HTTP: told of without their values, added beside the old ones, ended when another one is live."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared.domain.identity import Permission
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import connect
from tests.integration.services.control.scene import Scene, code_of

OLD, NEW = "canary-old-secret", "canary-new-secret"
MINUTE_MS = 60_000


def webhook_of(scene: Scene, *events: str, **connector: Any) -> list[str]:
    """Webhooks of one connector that share the old secret; their ids."""
    path = f"connectors/{scene.connector(**connector)['id']}/webhooks"
    secrets = {"url": "https://edge.example.org/w", "secrets": [{"use": "sign", "value": OLD}]}
    return [scene.made(path, {"evento": event, **secrets})["id"] for event in events]


def told(scene: Scene, webhook: str) -> list[dict[str, Any]]:
    response = scene.get(f"webhooks/{webhook}/secrets")
    assert response.status_code == 200, response.text
    assert "canary" not in response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


@pytest.mark.req(2, 77)
def test_a_secret_is_replaced_with_an_overlap(scene: Scene, database: DatabaseUnderTest) -> None:
    first, second = webhook_of(scene, "message_in", "delivery")
    (old,) = told(scene, first)
    both = {"state": "live", "not_before_ms": None, "not_after_ms": None, "webhooks": ["message_in", "delivery"]}
    assert old == {"id": f"{first}/0", "use": "sign", "last_used_at": None, **both}
    path = f"webhooks/{second}/secrets"
    end = {"not_after_ms": int(time.time() * 1000) + MINUTE_MS}
    assert code_of(scene.change(f"{path}/0", end)) == (409, "secret_last")
    added = scene.post(path, {"use": "sign", "value": NEW})
    assert (added.status_code, added.json()["id"], added.json()["state"]) == (201, f"{second}/1", "live")
    assert "canary" not in added.text
    assert added.headers["Location"] == f"/v1/webhooks/{second}/secrets/1"
    read = scene.get(added.headers["Location"])
    assert (read.json(), read.headers["ETag"]) == (added.json(), added.headers["ETag"])
    assert [one["id"] for one in told(scene, first)] == [f"{first}/0", f"{first}/1"]
    with connect(database.owner_url) as owner:  # as the router notes it
        owner.execute("INSERT INTO secret_use VALUES (%s, 1, '2026-01-02T03:04:05Z')", (first,))
    assert told(scene, second)[1]["last_used_at"] == "2026-01-02T03:04:05Z"
    assert scene.change(f"{path}/0", end).json()["not_after_ms"] == end["not_after_ms"]
    assert [one["state"] for one in told(scene, first)] == ["live", "live"]  # until then
    assert scene.change(f"{path}/0", {"not_after_ms": 1}).json()["state"] == "expired"
    assert [one["state"] for one in told(scene, first)] == ["expired", "live"]
    audit = scene.get("audit-log?limit=200")
    actions = [row["action"] for row in audit.json()["items"]]
    assert (actions.count("webhook.secret_added"), actions.count("webhook.secret_expired")) == (2, 4)
    assert "canary" not in audit.text


@pytest.mark.req(76, 77)
def test_secrets_are_told_and_changed_with_their_own_right_and_tag(scene: Scene) -> None:
    (webhook,) = webhook_of(scene, "message_in")
    path = f"webhooks/{webhook}/secrets"
    manager = scene.tokens.issue(scene.management.tenant, Permission.READ, Permission.MANAGE)
    keeper = scene.tokens.issue(scene.management.tenant, Permission.READ, Permission.SECRETS)
    for method, place, body in [("GET", "", None), ("POST", "", {"use": "sign", "value": NEW}), ("GET", "/0", None)]:
        assert code_of(scene.call(method, path + place, json=body, token=manager)) == (403, "forbidden")
    assert scene.get(path, token=keeper).status_code == 200
    assert code_of(scene.post(path, {"use": "sign", "value": NEW}, token=keeper)) == (403, "forbidden")
    assert scene.post(path, {"use": "sign", "value": NEW}).status_code == 201
    end = {"not_after_ms": 1}
    assert code_of(scene.call("PATCH", f"{path}/0", json=end)) == (428, "precondition_required")
    stale = scene.get(f"{path}/0").headers["ETag"]
    later = {"not_after_ms": int(time.time() * 1000) + MINUTE_MS}
    assert scene.call("PATCH", f"{path}/0", json=later, headers={"If-Match": stale}).status_code == 200
    assert code_of(scene.call("PATCH", f"{path}/0", json=end, headers={"If-Match": stale})) == (412, "precondition_failed")
    assert code_of(scene.get(f"{path}/7")) == (404, "not_found")
    assert code_of(scene.call("PATCH", f"{path}/7", json=end, headers={"If-Match": "*"})) == (404, "not_found")


def test_a_repeated_addition_adds_once_and_wrong_ones_are_refused(scene: Scene) -> None:
    (webhook,) = webhook_of(scene, "message_in")
    path, body, key = f"webhooks/{webhook}/secrets", {"use": "sign", "value": NEW}, {"Idempotency-Key": "k1"}
    first, again = scene.post(path, body, headers=key), scene.post(path, body, headers=key)
    assert (first.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (201, first.json(), "true")
    assert len(told(scene, webhook)) == 2
    assert code_of(scene.post(path, body)) == (409, "secret_known")
    times = scene.post(path, {"use": "sign", "value": "x", "not_before_ms": 9, "not_after_ms": 9})
    assert code_of(times) == (422, "secret_times")
    assert times.json()["errors"][0]["pointer"] == "/not_after_ms"
    for number in range(14):
        assert scene.post(path, {"use": "sign", "value": f"more {number}"}).status_code == 201
    assert code_of(scene.post(path, {"use": "sign", "value": "one too many"})) == (409, "secrets_too_many")


@pytest.mark.req(77)
def test_a_tag_of_a_secret_does_not_serve_for_another_that_came_to_its_number(scene: Scene) -> None:
    (webhook,) = webhook_of(scene, "message_in")
    path = f"webhooks/{webhook}/secrets"
    assert scene.post(path, {"use": "sign", "value": NEW}).status_code == 201
    stale = scene.get(f"{path}/1").headers["ETag"]
    tag = scene.get(f"webhooks/{webhook}").headers["ETag"]
    without = {"secrets": [{"use": "sign", "value": OLD}]}
    assert scene.call("PUT", path, json=without, headers={"If-Match": tag}).status_code == 200
    assert scene.post(path, {"use": "sign", "value": "canary-third"}).json()["id"] == f"{webhook}/1"
    ended = scene.call("PATCH", f"{path}/1", json={"not_after_ms": 1}, headers={"If-Match": stale})
    assert code_of(ended) == (412, "precondition_failed")


TELEGRAM = {"tipo": "telegram", "nome": "Bot", "config": {}}


@pytest.mark.req(36, 77)
@pytest.mark.parametrize("value", [NEW, None])
def test_a_secret_that_we_register_is_rotated(scene: Scene, database: DatabaseUnderTest, value: str | None) -> None:
    first, second = webhook_of(scene, "message_in", "delivery", **TELEGRAM)
    path, body = f"webhooks/{second}/secrets", {"use": "sign", "overlap_seconds": 60, **({"value": value} if value else {})}
    key = {"Idempotency-Key": "r1"}
    made = scene.post(f"{path}:rotate", body, headers=key)
    assert (made.status_code, made.json()["id"], made.json()["state"]) == (201, f"{second}/1", "live")
    assert made.headers["Location"] == f"/v1/webhooks/{second}/secrets/1"
    assert scene.get(made.headers["Location"]).json() == made.json()
    again = scene.post(f"{path}:rotate", body, headers=key)
    assert (again.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (201, made.json(), "true")
    # The old one holds until the provider has the new one.
    assert [(one["state"], one["not_after_ms"]) for one in told(scene, first)] == [("live", None), ("live", None)]
    with connect(database.owner_url) as owner:
        begun = owner.execute("SELECT use, secret_id, overlap_seconds FROM secret_rotation").fetchall()
        asked = owner.execute("SELECT detail->>'cause' FROM outbox WHERE topic = 'channel.account.sync_required'").fetchall()
    assert begun == [("sign", f"{first}/1", 60)]
    assert [cause for (cause,) in asked].count("secret_rotation") == 1
    audit = scene.get("audit-log?limit=200")
    assert [row["action"] for row in audit.json()["items"]].count("webhook.secret_rotation_begun") == 1
    assert not [answer for answer in (made.text, again.text, audit.text) if "canary" in answer]


@pytest.mark.req(76, 77)
def test_a_rotation_that_may_not_be(scene: Scene) -> None:
    (webhook,) = webhook_of(scene, "message_in")
    path = f"webhooks/{webhook}/secrets:rotate"
    for rights in ([Permission.READ, Permission.MANAGE], [Permission.READ, Permission.SECRETS]):
        token = scene.tokens.issue(scene.management.tenant, *rights)
        assert code_of(scene.post(path, {"use": "handshake"}, token=token)) == (403, "forbidden")
    assert code_of(scene.post(path, {"use": "sign"})) == (409, "not_registered_here")  # Meta makes its app secret
    for wrong in ({}, {"use": "both"}, {"use": "handshake", "overlap_seconds": -1}, {"use": "handshake", "value": ""}):
        assert scene.post(path, wrong).status_code == 422
    assert code_of(scene.post(path, {"use": "sign"}, headers={"Idempotency-Key": "r2"})) == (409, "not_registered_here")
    assert len(told(scene, webhook)) == 1
