"""Accounts over HTTP: routes, identities, states."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from shared.domain.enums import ConnectorStatus
from shared.domain.identity import Permission
from shared.management.reference import FlowFacts, put_flow, put_org_unit
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, PUBLIC_URL
from tests.integration.services.control.scene import Scene, code_of
from tests.integration.services.control.test_records import insert


@pytest.mark.req(19, 25, 27)
def test_rule_19_25_27_an_account_is_registered_with_its_own_address(scene: Scene) -> None:
    connector = scene.connector()
    made = scene.account(connector, nome_exibicao="Sales", metadata={"labels": ["a"]})
    assert (made["identidade"], made["status"], made["metadata"]) == ("5511900000001", "pending", {"labels": ["a"]})
    assert made["webhook_url"] == f"{PUBLIC_URL}/webhooks/{connector['id']}/{made['id']}"
    assert scene.get(f"accounts/{made['id']}").json() == made
    assert scene.get(f"connectors/{connector['id']}/accounts").json()["items"] == [made]


def flow_of(scene: Scene, **facts: Any) -> str:
    known = FlowFacts(**{"name": "f", "category": "intake", "published": True, **facts})
    return scene.management.run(lambda session: put_flow(session, scene.management.tenant, None, known, actor=ACTOR)).id


@pytest.mark.req(22, 23, 27, 58, 59)
@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"org_unit_id": None}, "route_missing", "/org_unit_id"),
        ({"org_unit_id": str(uuid.uuid4())}, "org_unit_unknown", "/org_unit_id"),
        ({"intake_flow_id": str(uuid.uuid4())}, "flow_unknown", "/intake_flow_id"),
        ({"metadata": {"a": "x" * 17_000}}, "metadata_too_large", "/metadata"),
        ({"metadata": {"password": "hunter22"}}, "secret_in_config", "/metadata/password"),
    ],
)
def test_rule_22_23_27_58_59_a_wrong_field_is_named(scene: Scene, change: dict[str, Any], code: str, pointer: str) -> None:
    connector = scene.connector()
    body = {
        "identidade": "5511900000001",
        "org_unit_id": scene.management.unit,
        "config": {"phone_number_id": "100000000000001"},
        **change,
    }
    response = scene.post(f"connectors/{connector['id']}/accounts", body)
    assert code_of(response) == (422, code)
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


@pytest.mark.req(22)
def test_rule_22_another_tenants_unit_is_unknown(scene: Scene) -> None:
    manage = scene.management
    other = manage.another_tenant()
    unit = manage.run(lambda session: put_org_unit(session, other, None, "Theirs", actor=ACTOR), tenant=other).id
    path = f"accounts/{scene.account(scene.connector())['id']}"
    assert code_of(scene.change(path, {"org_unit_id": unit})) == (422, "org_unit_unknown")


@pytest.mark.req(58, 59)
def test_rule_58_59_the_last_route_stays_and_a_flow_must_be_fit(scene: Scene) -> None:
    path = f"accounts/{scene.account(scene.connector())['id']}"
    assert code_of(scene.change(path, {"org_unit_id": None})) == (409, "route_missing")
    assert code_of(scene.change(path, {"intake_flow_id": flow_of(scene, published=False)})) == (422, "flow_not_published")
    assert code_of(scene.change(path, {"intake_flow_id": flow_of(scene, category="billing")})) == (422, "flow_not_intake")
    changed = scene.change(path, {"org_unit_id": None, "intake_flow_id": scene.management.flow})
    assert (changed.json()["org_unit_id"], changed.json()["intake_flow_id"]) == (None, scene.management.flow)


@pytest.mark.req(25)
def test_rule_25_the_address_of_an_account_may_be_changed_to_another_one(scene: Scene) -> None:
    path = f"accounts/{scene.account(scene.connector())['id']}"
    refused = scene.change(path, {"webhook_url": "ftp://x"})
    assert code_of(refused) == (422, "url_invalid")
    assert refused.json()["errors"][0]["pointer"] == "/webhook_url"
    assert scene.change(path, {"webhook_url": "https://w.example.org/x"}).json()["webhook_url"] == "https://w.example.org/x"


@pytest.mark.req(19)
def test_rule_19_one_identity_per_connector(scene: Scene) -> None:
    connector = scene.connector()
    scene.account(connector)
    body = {
        "identidade": "5511900000001",
        "org_unit_id": scene.management.unit,
        "config": {"phone_number_id": "100000000000002"},
    }
    assert code_of(scene.post(f"connectors/{connector['id']}/accounts", body)) == (409, "identity_taken")
    other = scene.connector(nome="second")
    assert scene.post(f"connectors/{other['id']}/accounts", body).status_code == 201


@pytest.mark.req(57)
def test_rule_57_accounts_are_active_under_an_active_connector_only_and_follow_it(scene: Scene) -> None:
    connector = scene.connector()
    path = f"accounts/{scene.account(connector)['id']}"
    assert code_of(scene.change(path, {"status": "active"})) == (409, "connector_not_active")
    assert scene.get(path).json()["status"] == "pending"
    scene.management.token(connector["id"])
    scene.management.check(connector["id"])
    scene.management.status(connector["id"], ConnectorStatus.ACTIVE)
    assert scene.change(path, {"status": "active"}).json()["status"] == "active"
    for state, follows in [("error", "pending"), ("active", "active")]:
        scene.change(f"connectors/{connector['id']}", {"status": state})
        assert scene.get(path).json()["status"] == follows


def test_accounts_are_listed_over_connectors_by_what_is_asked_for(scene: Scene) -> None:
    first, second = scene.connector(nome="a"), scene.connector(nome="b")
    made = [
        scene.account(connector, identidade=f"551190000000{number}", config={"phone_number_id": f"10000000000000{number}"})["id"]
        for number, connector in enumerate([first, first, second, second])
    ]
    seen, cursor = [], None
    while True:
        page = scene.get("accounts", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made
    by = {
        f"connector_id={second['id']}": made[2:],
        "identidade=5511900000001": [made[1]],
        f"org_unit_id={scene.management.unit}&limit=2": made[:2],
        f"intake_flow_id={scene.management.flow}": [],
        "status=active": [],
    }
    for query, wanted in by.items():
        assert [item["id"] for item in scene.get(f"accounts?{query}").json()["items"]] == wanted, query


def test_an_account_that_carried_nothing_is_deleted(scene: Scene) -> None:
    connector = scene.connector()
    account = scene.account(connector)["id"]
    assert scene.change(f"accounts/{account}", method="DELETE").status_code == 204
    assert code_of(scene.get(f"accounts/{account}")) == (404, "not_found")
    assert scene.management.notices(account)[-1] == ("channel.account.snapshot", None)


@pytest.mark.req(5)
def test_the_status_of_an_account_tells_what_is_kept(scene: Scene, database: DatabaseUnderTest) -> None:
    connector = scene.connector()
    account = scene.account(connector)["id"]
    path = f"accounts/{account}/status"
    assert scene.get(path).json()["connectivity"]["last_check"] is None
    scene.management.token(connector["id"])
    check = scene.management.check(connector["id"])
    scene.management.status(connector["id"], ConnectorStatus.ACTIVE)
    scene.change(f"accounts/{account}", {"status": "active"})
    body = {"evento": "message_in", "url": "https://edge.example.org/w", "secrets": [{"use": "sign", "value": "s3cret"}]}
    webhook = scene.made(f"connectors/{connector['id']}/webhooks", body)
    scene.management.status(connector["id"], ConnectorStatus.ERROR)
    today = scene.get(path).json()["limits"]["today"]
    counted = {"connector_id": connector["id"], "account_id": account, "tipo": "message_in", "quantidade": 7}
    insert(database, "channel_usage_log", data=today, **counted)
    insert(database, "channel_usage_log", data="2020-01-01", **counted)
    told = scene.get(path).json()
    assert (told["connectivity"]["connector"], told["connectivity"]["account"]) == ("error", "pending")
    assert told["connectivity"]["cause"] == "connector_error"
    assert told["connectivity"]["last_check"]["id"] == check
    assert (told["route"]["state"], told["route"]["org_unit_id"]) == ("open", scene.management.unit)
    assert told["limits"]["used_today"] == {"message_in": 7}
    assert len(told["limits"]["capabilities"]) == 6
    assert told["webhooks"] == [webhook]
    assert code_of(scene.get(f"accounts/{uuid.uuid4()}/status")) == (404, "not_found")


def test_the_status_tells_the_account_s_own_check_first_and_what_is_set_by_hand(
    scene: Scene, database: DatabaseUnderTest
) -> None:
    connector = scene.connector()["id"]
    account, neighbour = (
        scene.account({"id": connector}, identidade=number, config={"phone_number_id": f"1{number}"})["id"]
        for number in ("5511900000001", "5511900000002")
    )
    scene.management.check(connector)
    checked = {"connector_id": connector, "account_id": account, "status": "warning"}
    insert(database, "channel_health_check", **checked, mensagem="older", executado_em="2020-01-01T00:00:00Z")
    insert(database, "channel_health_check", **checked, mensagem="newer", executado_em="2020-01-02T00:00:00Z")
    assert scene.get(f"accounts/{account}/status").json()["connectivity"]["last_check"]["mensagem"] == "newer"
    assert scene.get(f"accounts/{neighbour}/status").json()["connectivity"]["last_check"]["account_id"] is None
    scene.change(f"connectors/{connector}/capabilities/messages", {"enabled": False})
    listed = scene.get(f"connectors/{connector}/capabilities").json()["items"]
    assert [one["manual"] for one in listed if one["feature"] == "messages"] == [["enabled"]]
    assert scene.get(f"accounts/{account}/status").json()["limits"]["capabilities"] == listed


@pytest.mark.req(72)
def test_a_route_is_paused_and_resumed_and_every_view_tells(scene: Scene) -> None:
    connector = scene.connector()
    path = f"accounts/{scene.account(connector)['id']}"

    def act(action: str, body: Any = None) -> Any:
        tag = scene.get(path).headers["ETag"]
        answer = scene.call("POST", f"{path}:{action}", json=body, headers={"If-Match": tag})
        assert answer.headers.get("ETag", scene.get(path).headers["ETag"]) == scene.get(path).headers["ETag"]
        return answer

    told = act("pause", {"cause": "maintenance"}).json()
    assert told["pause_cause"] == "maintenance"
    assert scene.get(path).json() == told == scene.get(f"connectors/{connector['id']}/accounts").json()["items"][0]
    route = scene.get(f"{path}/status").json()["route"]
    assert (route["state"], route["pause_cause"]) == ("paused", "maintenance")
    assert route["paused_since"] is not None
    assert act("pause", {"cause": "maintenance"}).json() == told  # again: nothing changes, not even the tag
    assert code_of(act("pause", {"cause": "Not a code"})) == (422, "invalid_input")
    opened = act("resume").json()
    assert (opened["pause_cause"], opened["paused_since"]) == (None, None)
    assert scene.get(f"{path}/status").json()["route"]["state"] == "open"
    reader = scene.tokens.issue(scene.management.tenant, Permission.READ)
    for action, body in (("pause", {"cause": "x"}), ("resume", None)):
        assert code_of(scene.call("POST", f"{path}:{action}", json=body, token=reader, headers={"If-Match": "*"}))[0] == 403
