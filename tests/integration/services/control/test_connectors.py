"""Connectors over HTTP, down to the rows and what they leave."""

from __future__ import annotations

import uuid

import pytest

from shared.domain.enums import ConnectorStatus
from shared.domain.identity import Permission
from tests.integration.services.control.scene import Scene, code_of


@pytest.mark.req(10, 14, 28)
def test_rule_10_14_28_a_connector_is_registered_and_read_back(scene: Scene) -> None:
    response = scene.post("connectors", {"tipo": "whatsapp_official", "nome": " Meta ", "config": {"waba_id": "100000000000000"}})
    made = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/connectors/{made['id']}"
    assert (made["nome"], made["status"], made["ultimo_heartbeat"]) == ("Meta", "pending", None)
    read = scene.get(response.headers["Location"])
    assert read.json() == made
    assert read.headers["ETag"] == response.headers["ETag"]
    assert len(scene.management.read("SELECT 1 FROM channel_capability")) == 6
    ((action, _, after),) = scene.management.audit(made["id"])
    assert (action, after["nome"]) == ("connector.created", "Meta")


@pytest.mark.req(10, 11, 12, 14)
@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"tipo": "future"}, "tipo_reserved", "/tipo"),
        ({"tipo": "sms"}, "invalid_input", "/tipo"),
        ({"nome": " "}, "nome_missing", "/nome"),
        ({"created_at": "2020-01-01T00:00:00Z"}, "field_unknown", "/created_at"),
        ({"tenant_id": str(uuid.uuid4())}, "field_unknown", "/tenant_id"),
        ({"config": {}}, "config_invalid", "/config/waba_id"),
        ({"config": {"waba_id": "1\0"}}, "invalid_input", "/config/waba_id"),
        ({"projeto_referencia": "\ud800"}, "invalid_input", "/projeto_referencia"),
    ],
)
def test_rule_10_11_12_14_a_wrong_field_is_named(scene: Scene, change: dict[str, object], code: str, pointer: str) -> None:
    body = {"tipo": "whatsapp_official", "nome": "Meta", "config": {"waba_id": "100000000000000"}, **change}
    response = scene.post("connectors", body)
    assert code_of(response) == (422, code)
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]
    assert scene.management.read("SELECT 1 FROM channel_connector") == []


@pytest.mark.req(2, 15)
def test_rule_15_a_pasted_token_needs_the_right_to_hand_in_secrets(scene: Scene) -> None:
    config = {"waba_id": "100000000000000", "access_token": "EAAcanary0000000000pasted"}
    body = {"tipo": "whatsapp_official", "nome": "Meta", "config": config}
    weak = scene.tokens.issue(scene.management.tenant, Permission.READ, Permission.MANAGE)
    assert code_of(scene.post("connectors", body, token=weak)) == (403, "forbidden")
    response = scene.post("connectors", body)
    assert response.status_code == 201
    assert "canary" not in response.text
    assert list(response.json()["config"]["token_ids"]) == ["access_token"]


def test_nobody_overwrites_what_he_has_not_seen(scene: Scene) -> None:
    path = f"connectors/{scene.connector()['id']}"
    assert code_of(scene.call("PATCH", path, json={"nome": "x"})) == (428, "precondition_required")
    stale = scene.get(path).headers["ETag"]
    first = scene.call("PATCH", path, json={"nome": "first"}, headers={"If-Match": stale})
    assert first.status_code == 200
    second = scene.call("PATCH", path, json={"nome": "second"}, headers={"If-Match": stale})
    assert code_of(second) == (412, "precondition_failed")
    assert scene.get(path).json()["nome"] == "first"
    again = scene.call("PATCH", path, json={"nome": "again"}, headers={"If-Match": first.headers["ETag"]})
    assert again.json()["nome"] == "again"


@pytest.mark.req(16)
def test_rule_16_states_follow_their_table(scene: Scene) -> None:
    connector = scene.connector()
    path = f"connectors/{connector['id']}"
    assert code_of(scene.change(path, {"status": "active"})) == (409, "token_missing")
    scene.management.token(connector["id"])
    assert code_of(scene.change(path, {"status": "active"})) == (409, "check_missing")
    scene.management.check(connector["id"])
    assert scene.change(path, {"status": "active"}).json()["status"] == "active"
    assert scene.change(path, {"status": "archived"}).json()["status"] == "archived"
    assert code_of(scene.change(path, {"status": "active"})) == (409, "illegal_transition")
    told = [detail for topic, detail in scene.management.notices(connector["id"]) if topic.endswith("status_changed")]
    assert [detail["new_status"] for detail in told] == ["pending", "active", "archived"]
    assert told[1]["actor"].startswith("api:user-")


@pytest.mark.req(18)
def test_rule_18_a_connector_with_accounts_is_archived_not_deleted(scene: Scene) -> None:
    connector = scene.connector()
    scene.account(connector)
    path = f"connectors/{connector['id']}"
    assert code_of(scene.change(path, method="DELETE")) == (409, "connector_in_use")
    assert scene.change(path, {"status": "archived"}).status_code == 200


@pytest.mark.req(18)
def test_rule_18_a_connector_that_carried_nothing_is_deleted_with_its_parts(scene: Scene) -> None:
    connector = scene.connector()["id"]
    scene.management.token(connector)
    scene.management.check(connector)
    assert scene.change(f"connectors/{connector}", method="DELETE").status_code == 204
    assert code_of(scene.get(f"connectors/{connector}")) == (404, "not_found")
    assert scene.management.read("SELECT id FROM channel_token UNION ALL SELECT id FROM channel_health_check") == []
    assert scene.management.notices(connector)[-1] == ("channel.connector.snapshot", None)
    assert scene.management.audit(connector)[-1][0] == "connector.deleted"


def test_pages_hold_every_row_once(scene: Scene) -> None:
    made = [scene.connector(nome=f"n{number}")["id"] for number in range(5)]
    scene.management.status(made[3], ConnectorStatus.ARCHIVED)
    seen, cursor, pages = [], None, 0
    while True:
        page = scene.get("connectors", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["id"] for item in page["items"]]
        cursor, pages = page["next"], pages + 1
        if cursor is None:
            break
        scene.connector(nome="inserted meanwhile") if pages == 1 else None
    assert seen[:5] == made
    assert len(seen) == len(set(seen)) == 6
    assert [item["id"] for item in scene.get("connectors?status=archived").json()["items"]] == [made[3]]
    assert [item["id"] for item in scene.get("connectors?nome=n4").json()["items"]] == [made[4]]


def test_a_cursor_belongs_to_its_list_and_filters(scene: Scene) -> None:
    for number in range(3):
        scene.connector(nome=f"n{number}")
    cursor = scene.get("connectors?limit=1").json()["next"]
    assert code_of(scene.get(f"connectors?status=pending&cursor={cursor}")) == (422, "cursor_invalid")
    assert code_of(scene.get(f"accounts?cursor={cursor}")) == (422, "cursor_invalid")
    for forged in ("x", "W10", "%00", cursor[:-4]):
        assert code_of(scene.get(f"connectors?cursor={forged}")) == (422, "cursor_invalid")


@pytest.mark.req(10)
def test_rule_10_another_tenants_connector_does_not_exist(scene: Scene) -> None:
    connector = scene.connector()["id"]
    other = scene.management.another_tenant()
    stranger = scene.tokens.issue(other, *Permission)
    nobody = str(uuid.uuid4())
    for method, path, body in [
        ("GET", "connectors/{}", None),
        ("PATCH", "connectors/{}", {"nome": "x"}),
        ("DELETE", "connectors/{}", None),
        ("GET", "connectors/{}/accounts", None),
        ("POST", "connectors/{}/accounts", {"identidade": "5511900000001"}),
        ("GET", "connectors/{}/default-fallback", None),
    ]:
        answers = [
            scene.call(method, path.format(one), json=body, token=stranger, headers={"If-Match": "*"})
            for one in (connector, nobody)
        ]
        assert [code_of(answer) for answer in answers] == [(404, "not_found")] * 2, (method, path)
        assert answers[0].text.replace(connector, "-") == answers[1].text.replace(nobody, "-")
    assert scene.get("connectors", token=stranger).json() == {"items": [], "next": None}
    assert scene.get(f"connectors/{connector}").json()["nome"] == "Meta"


def test_rights_are_asked_before_anything_else(scene: Scene) -> None:
    nothing = scene.tokens.issue(scene.management.tenant)
    assert code_of(scene.get("connectors", token=nothing)) == (403, "forbidden")
    refused = scene.get("connectors", token="forged")
    assert code_of(refused)[0] == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    reader = scene.tokens.issue(scene.management.tenant, Permission.READ)
    assert code_of(scene.post("connectors", {"tipo": "telegram", "nome": "x", "config": {}}, token=reader)) == (403, "forbidden")


def test_what_is_no_request_is_told_so(scene: Scene) -> None:
    json_header = {"Content-Type": "application/json"}
    assert code_of(scene.call("POST", "connectors", content=b"{", headers=json_header)) == (400, "body_malformed")
    large = scene.call("POST", "connectors", content=b"x" * 1_100_000, headers=json_header)
    assert code_of(large) == (413, "body_too_large")
    assert large.headers["Connection"] == "close"  # what was not read of it would be taken for the next request
    deep = b'{"tipo":"telegram","nome":"x","config":' + b'{"a":' * 40 + b"1" + b"}" * 41
    assert code_of(scene.call("POST", "connectors", content=deep, headers=json_header))[0] == 422
    assert code_of(scene.call("POST", "connectors", content=b"[" * 100_000, headers=json_header))[0] in {400, 422}
    assert code_of(scene.get("nothing-here")) == (404, "not_found")
    assert code_of(scene.call("PUT", "connectors", json={})) == (405, "method_not_allowed")


def test_a_query_parameter_that_is_none_is_told_and_not_ignored(scene: Scene) -> None:
    assert code_of(scene.get("connectors?statos=active")) == (422, "parameter_unknown")
    assert code_of(scene.get("connectors?status=active&status=error")) == (422, "parameter_repeated")
    assert code_of(scene.get("connectors?limit=0")) == (422, "invalid_input")
    assert code_of(scene.get(f"connectors/{uuid.uuid4()}?limit=1")) == (422, "parameter_unknown")
    assert scene.get("accounts?status=active&limit=1").status_code == 200
