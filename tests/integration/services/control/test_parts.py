"""Capabilities, tokens, webhooks and providers over HTTP."""

from __future__ import annotations

import datetime as dt
from typing import Any

import jsonschema
import pytest

from shared.adapters.prepared import PreparedStatements
from shared.domain.enums import ConnectorStatus
from shared.domain.identity import Permission
from shared.management.descriptions import apply_description
from shared.providers import PROVIDERS, provider_of
from shared.providers.describing import AccountDescription
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import connect
from tests.integration.services.control.scene import Scene, code_of

CANARY = "canary-0000000000000000"
NOW = dt.datetime.now(dt.UTC)
SECRET = {"use": "sign", "value": CANARY}


@pytest.mark.req(28, 60)
def test_rule_28_capabilities_are_the_preset_until_changed_by_hand(scene: Scene) -> None:
    connector = scene.connector()
    rows = scene.get(f"connectors/{connector['id']}/capabilities").json()["items"]
    preset = {one.feature: one.enabled for one in provider_of("whatsapp_official").capabilities}
    assert {row["feature"]: row["enabled"] for row in rows} == {row["feature"]: preset.get(row["feature"], False) for row in rows}
    assert len(rows) == 6
    path = f"connectors/{connector['id']}/capabilities/templates"
    before = scene.get(path).json()
    changed = scene.change(path, {"enabled": not before["enabled"]}).json()
    assert changed == {**before, "enabled": not before["enabled"], "manual": ["enabled"]}
    assert scene.change(path, {"enabled": True, "constraints": {"per_minute": 20}}).json()["constraints"] == {"per_minute": 20}
    assert code_of(scene.call("PATCH", path, json={"enabled": True})) == (428, "precondition_required")
    assert code_of(scene.get(f"connectors/{connector['id']}/capabilities/sms")) == (422, "invalid_input")


@pytest.mark.req(60)
def test_what_a_person_set_is_named_and_given_up_again(scene: Scene) -> None:
    connector = scene.connector()
    path = f"connectors/{connector['id']}/capabilities/messages"
    preset = scene.get(path).json()
    assert preset["manual"] == []
    limits = {**preset["constraints"], "rate_per_second": 20}
    changed = scene.change(path, {"enabled": True, "constraints": limits}).json()
    assert (changed["manual"], changed["constraints"]["rate_per_second"]) == (["constraints.rate_per_second"], 20)
    assert scene.change(path, {"enabled": False}).json()["manual"] == ["constraints.rate_per_second", "enabled"]
    listed = scene.get(f"connectors/{connector['id']}/capabilities").json()["items"]
    assert {one["feature"]: one["manual"] for one in listed if one["manual"]} == {
        "messages": ["constraints.rate_per_second", "enabled"]
    }
    tag = scene.get(path).headers["ETag"]
    assert code_of(scene.call("POST", f"{path}:follow")) == (428, "precondition_required")
    assert scene.call("POST", f"{path}:follow", headers={"If-Match": tag}).json() == preset
    assert scene.get(path).json() == preset
    actions = [one["action"] for one in scene.get("audit-log").json()["items"][:1]]
    assert actions == ["capability.followed"]


@pytest.mark.req(20)
def test_the_status_tells_what_the_provider_said_and_whose_the_name_is(scene: Scene) -> None:
    account = scene.account(scene.connector(), nome_exibicao="Balcão")
    path = f"accounts/{account['id']}"
    nothing = dict.fromkeys(("display_name", "verified_name", "tier", "throughput", "quality", "app_id", "changed_at"))
    assert scene.get(f"{path}/status").json()["described"] == {**nothing, "nome_exibicao_manual": True}
    told = AccountDescription(display_name="Loja", verified_name="Loja", tier="TIER_250", quality="GREEN")
    now = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    scene.management.run(lambda session: apply_description(session, account["id"], told, now=now, actor="sync"))
    described = scene.get(f"{path}/status").json()["described"]
    assert (described["tier"], described["quality"], described["changed_at"]) == ("TIER_250", "GREEN", "2030-01-01T00:00:00Z")
    assert scene.get(path).json()["nome_exibicao"] == "Balcão"
    assert scene.change(path, {"nome_exibicao": None}).json()["nome_exibicao"] == "Loja"
    assert not scene.get(f"{path}/status").json()["described"]["nome_exibicao_manual"]


@pytest.mark.req(2, 15)
def test_a_credential_among_limits_or_in_an_address_is_refused_and_null_takes_limits_away(scene: Scene) -> None:
    connector = f"connectors/{scene.connector()['id']}"
    path = f"{connector}/capabilities/messages"
    for limits, place in (({"access_token": "canary"}, "access_token"), ({"a": ["Bearer canary"]}, "a/0")):
        refused = scene.change(path, {"enabled": True, "constraints": limits})
        assert code_of(refused) == (422, "secret_in_config")
        assert refused.json()["errors"][0]["pointer"] == f"/constraints/{place}"
    address = {"evento": "message_in", "url": "https://user:canary@example.com/x", "status": "disabled"}
    refused = scene.post(f"{connector}/webhooks", address)
    assert code_of(refused) == (422, "secret_in_config")
    assert (refused.json()["errors"][0]["pointer"], "canary" in refused.text) == ("/url", False)
    limited = scene.change(path, {"enabled": True, "constraints": {"per_minute": 20}}).json()
    assert scene.change(path, {"enabled": True}).json() == limited
    assert scene.change(path, {"enabled": True, "constraints": None}).json()["constraints"] == {}


@pytest.mark.req(2, 31, 33)
def test_rule_31_33_a_token_goes_in_and_never_comes_out(scene: Scene) -> None:
    connector = scene.connector()["id"]
    path = f"connectors/{connector}/tokens"
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    first = scene.post(path, {"kind": "access_token", "value": CANARY, "metadata": {"scopes": ["a"]}})
    second = scene.post(path, {"kind": "access_token", "value": CANARY + "2", "expires_at": soon})
    listed = scene.get(path)
    assert [item["id"] for item in listed.json()["items"]] == [first.json()["id"], second.json()["id"]]
    assert (first.json()["expires_at"], first.json()["metadata"]) == (None, {"scopes": ["a"]})
    audit = scene.get("audit-log?limit=200")
    read = scene.get(f"tokens/{first.json()['id']}")
    assert not any("canary" in answer.text or "fingerprint" in answer.text for answer in (first, second, listed, read))
    assert "canary" not in audit.text
    described = scene.change(f"tokens/{first.json()['id']}", {"metadata": {"scopes": ["a", "b"]}})
    assert described.json()["metadata"] == {"scopes": ["a", "b"]}
    cleared = scene.change(f"tokens/{second.json()['id']}", {"expires_at": None})
    assert (cleared.json()["expires_at"], scene.get(f"tokens/{second.json()['id']}").json()) == (None, cleared.json())
    assert scene.change(f"tokens/{first.json()['id']}", {"metadata": None}).json()["metadata"] is None
    assert scene.change(f"tokens/{first.json()['id']}", method="DELETE").status_code == 204
    assert [item["id"] for item in scene.get(path).json()["items"]] == [second.json()["id"]]


def _plan(database: DatabaseUnderTest, token: str, **columns: Any) -> None:
    values = {"task": "renew", "service": "meta", "state": "planned", "attempt": 0, "changed_at": NOW, **columns}
    with connect(database.owner_url) as rows:
        rows.execute(
            f"INSERT INTO token_renewal (token_id, {', '.join(values)}) VALUES (%s{', %s' * len(values)})",
            (token, *values.values()),
        )


def test_tokens_show_what_is_planned_for_them(scene: Scene, database: DatabaseUnderTest) -> None:
    path = f"connectors/{scene.connector()['id']}/tokens"
    made = [scene.made(path, {"kind": "access_token", "value": f"{CANARY}{number}"}) for number in range(7)]
    assert {one["renewal"] for one in made} == {None}
    ids = [one["id"] for one in made]
    later = NOW + dt.timedelta(hours=1)
    _plan(database, ids[0], due_at=later)
    _plan(database, ids[1], due_at=later, attempt=2, cause="retryable")
    _plan(database, ids[2], state="stopped", cause="consent_needed", action="renew_token")
    _plan(database, ids[3], task="watch")
    _plan(database, ids[4], task="none")
    _plan(database, ids[5], task="retire", due_at=later)
    tag = scene.get(f"tokens/{ids[0]}").headers["etag"]
    shown = {one["id"]: one["renewal"] for one in scene.get(path).json()["items"]}
    states = [shown[one] and shown[one]["state"] for one in ids]
    assert states == ["planned", "failing", "stopped", "watched", "none", "retiring", None]
    assert shown[ids[2]] == {"state": "stopped", "due_at": None, "cause": "consent_needed", "action": "renew_token"}
    assert dt.datetime.fromisoformat(shown[ids[1]]["due_at"]) == later
    for one in ids:
        assert scene.get(f"tokens/{one}").json()["renewal"] == shown[one]
    # The rotator's work is no change by a person: a tag that was read before it still holds.
    with connect(database.owner_url) as rows:
        rows.execute("UPDATE token_renewal SET attempt = 5 WHERE token_id = %s", (ids[0],))
    assert scene.get(f"tokens/{ids[0]}").json()["renewal"]["state"] == "failing"
    assert scene.get(f"tokens/{ids[0]}").headers["etag"] == tag
    assert scene.change(f"tokens/{ids[0]}", {"metadata": {"owner": "ops"}}).json()["renewal"]["state"] == "failing"


def test_what_is_planned_costs_no_round_trip_per_token(
    scene: Scene, database: DatabaseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"connectors/{scene.connector()['id']}/tokens"
    asked: list[int] = []
    execute = PreparedStatements.execute

    def counted(self: PreparedStatements, *args: Any, **more: Any) -> Any:
        asked.append(1)
        return execute(self, *args, **more)

    monkeypatch.setattr(PreparedStatements, "execute", counted)

    def round_trips() -> int:
        asked.clear()
        scene.get(path)
        return len(asked)

    empty = round_trips()
    for number in range(7):
        _plan(database, scene.made(path, {"kind": "access_token", "value": f"{CANARY}{number}"})["id"], due_at=NOW)
    assert round_trips() == empty > 0


@pytest.mark.req(31, 33, 56)
def test_rule_31_33_56_what_is_no_token_is_refused(scene: Scene) -> None:
    connector = scene.connector()["id"]
    path = f"connectors/{connector}/tokens"
    assert code_of(scene.post(path, {"kind": "password", "value": "x"})) == (422, "invalid_input")
    assert code_of(scene.post(path, {"kind": "secret", "value": " "})) == (422, "token_empty")
    refused = scene.post(path, {"kind": "secret", "value": CANARY, "expires_at": "2026-01-01T00:00:00"})
    assert code_of(refused) == (422, "invalid_input")
    assert refused.json()["errors"][0]["pointer"] == "/expires_at"
    assert "canary" not in scene.post(path, {"kind": "secret", "value": [CANARY]}).text
    token = scene.made(path, {"kind": "access_token", "value": CANARY})["id"]
    scene.management.check(connector)
    scene.management.status(connector, ConnectorStatus.ACTIVE)
    assert code_of(scene.change(f"tokens/{token}", method="DELETE")) == (409, "token_missing")


@pytest.mark.req(16, 56)
def test_rule_16_56_active_needs_a_valid_token_where_the_provider_asks_for_one(scene: Scene) -> None:
    connector = scene.connector(tipo="telegram", config={})["id"]
    path = f"connectors/{connector}"
    scene.management.check(connector)
    assert code_of(scene.change(path, {"status": "active"})) == (409, "token_missing")
    ended = {"kind": "secret", "value": "of another kind"}
    scene.made(f"{path}/tokens", ended)
    assert code_of(scene.change(path, {"status": "active"})) == (409, "token_missing")
    kind = scene.get("providers/telegram").json()["required_token"]
    past = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)).isoformat()
    scene.made(f"{path}/tokens", {"kind": kind, "value": "110201543:old", "expires_at": past})
    assert code_of(scene.change(path, {"status": "active"})) == (409, "token_expired")
    assert scene.get(path).json()["status"] == "pending"
    scene.made(f"{path}/tokens", {"kind": kind, "value": "110201543:new"})
    assert scene.change(path, {"status": "active"}).json()["status"] == "active"
    free = scene.connector(tipo="webchat", nome="Site", config={"widget_ids": ["site"], "origins": ["https://www.example.com"]})
    scene.management.check(free["id"])
    assert scene.change(f"connectors/{free['id']}", {"status": "active"}).json()["status"] == "active"


@pytest.mark.req(2, 76)
def test_secrets_need_a_right_of_their_own(scene: Scene) -> None:
    connector = scene.connector()["id"]
    manager = scene.tokens.issue(scene.management.tenant, Permission.READ, Permission.MANAGE)
    webhook = {"evento": "message_in", "url": "https://edge.example.org/w"}
    tokens, webhooks = f"connectors/{connector}/tokens", f"connectors/{connector}/webhooks"
    assert code_of(scene.post(tokens, {"kind": "secret", "value": CANARY}, token=manager)) == (403, "forbidden")
    assert code_of(scene.post(webhooks, {**webhook, "secrets": [SECRET]}, token=manager)) == (403, "forbidden")
    made = scene.post(webhooks, {**webhook, "status": "disabled"}, token=manager)
    assert made.status_code == 201
    path = f"webhooks/{made.json()['id']}/secrets"
    assert code_of(scene.call("PUT", path, json={"secrets": [SECRET]}, token=manager)) == (403, "forbidden")
    assert code_of(scene.get("audit-log", token=manager)) == (403, "forbidden")


@pytest.mark.req(2, 35, 65)
def test_rule_65_an_active_webhook_has_a_secret_that_nobody_reads(scene: Scene) -> None:
    connector = scene.connector()["id"]
    path = f"connectors/{connector}/webhooks"
    body = {"evento": "message_in", "url": "https://edge.example.org/w"}
    assert code_of(scene.post(path, body)) == (409, "segredo_missing")
    made = scene.post(path, {**body, "secrets": [SECRET]})
    assert (made.status_code, made.json()["has_secret"], made.json()["status"]) == (201, True, "active")
    assert "canary" not in made.text + scene.get(path).text
    assert code_of(scene.post(path, {**body, "secrets": [SECRET]})) == (409, "webhook_exists")
    one = f"webhooks/{made.json()['id']}"
    tag = scene.get(one).headers["ETag"]
    rotated = {"secrets": [SECRET, {"use": "sign", "value": CANARY + "new"}]}
    assert scene.call("PUT", f"{one}/secrets", json=rotated, headers={"If-Match": tag}).status_code == 200
    again = scene.call("PUT", f"{one}/secrets", json=rotated, headers={"If-Match": tag})
    assert code_of(again) == (412, "precondition_failed")
    assert code_of(scene.change(one, {"url": "ftp://x"})) == (422, "url_invalid")
    assert scene.change(one, {"status": "disabled"}).json()["status"] == "disabled"
    assert scene.change(one, method="DELETE").status_code == 204
    assert scene.get(path).json()["items"] == []


@pytest.mark.req(14, 87)
@pytest.mark.parametrize("tipo", [provider.tipo.value for provider in PROVIDERS])
def test_rule_14_a_providers_schema_is_that_of_its_own_models(scene: Scene, tipo: str) -> None:
    schema = scene.get(f"providers/{tipo}/schema").json()
    for part in ("connector", "account"):
        jsonschema.Draft202012Validator.check_schema(schema[part])
        assert schema[part]["additionalProperties"] is False
    assert schema == provider_of(tipo).settings.schema()
    assert scene.get(f"providers/{tipo}").json()["tipo"] == tipo


def test_the_reserved_type_has_no_schema(scene: Scene) -> None:
    assert code_of(scene.get("providers/future/schema")) == (422, "tipo_reserved")
    assert {item["tipo"] for item in scene.get("providers").json()} == {provider.tipo.value for provider in PROVIDERS}
