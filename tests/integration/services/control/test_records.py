"""What is only read: checks, usage, mappings by either side, the audit log."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from shared.adapters.clock import new_uuid7
from shared.domain.enums import HealthStatus
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import connect
from tests.integration.services.control.scene import Scene, code_of


def insert(database: DatabaseUnderTest, table: str, **values: Any) -> str:
    """A row as the services of other issues will write it."""
    values = {"id": new_uuid7(), **values}
    marks = ", ".join(["%s"] * len(values))
    with connect(database.owner_url) as connection:
        connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))
    return str(values["id"])


@pytest.mark.req(39, 40, 41, 52)
def test_rule_52_checks_are_read_newest_first(scene: Scene) -> None:
    connector = scene.connector()["id"]
    made = [scene.management.check(connector, status) for status in (HealthStatus.PASSED, HealthStatus.FAILED)]
    path = f"connectors/{connector}/health-checks"
    assert [item["id"] for item in scene.get(path).json()["items"]] == made[::-1]
    first = scene.get(f"{path}?limit=1").json()
    rest = scene.get(f"{path}?limit=1&cursor={first['next']}").json()
    assert [item["id"] for item in first["items"] + rest["items"]] == made[::-1]
    assert rest["next"] is None
    assert [item["id"] for item in scene.get(f"{path}?status=failed").json()["items"]] == made[1:]
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    assert scene.get(f"{path}?since={later}").json()["items"] == []
    assert code_of(scene.get(f"{path}?since=2026-01-01T00:00:00")) == (422, "invalid_input")


@pytest.mark.req(42, 44, 52, 53)
def test_rule_52_53_usage_is_read_by_connector_and_by_account(scene: Scene, database: DatabaseUnderTest) -> None:
    connector = scene.connector()
    account = scene.account(connector)
    row = {"connector_id": connector["id"], "quantidade": 3}
    days = [dt.date(2026, 1, day) for day in (1, 2, 3)]
    for day in days:
        insert(database, "channel_usage_log", account_id=account["id"], tipo="message_in", data=day, **row)
    insert(database, "channel_usage_log", tipo="message_out", data=days[0], **row)
    of_connector = scene.get(f"connectors/{connector['id']}/usage").json()["items"]
    assert [item["data"] for item in of_connector] == ["2026-01-03", "2026-01-02", "2026-01-01", "2026-01-01"]
    path = f"accounts/{account['id']}/usage"
    assert len(scene.get(path).json()["items"]) == 3
    assert [item["data"] for item in scene.get(f"{path}?from=2026-01-02&to=2026-01-02").json()["items"]] == ["2026-01-02"]
    assert scene.get(f"{path}?tipo=message_out").json()["items"] == []
    page = scene.get(f"{path}?limit=2").json()
    assert [item["data"] for item in scene.get(f"{path}?limit=2&cursor={page['next']}").json()["items"]] == ["2026-01-01"]


@pytest.mark.req(47, 48, 52, 53)
def test_rule_47_52_53_mappings_are_found_by_either_side(scene: Scene, database: DatabaseUnderTest) -> None:
    connector = scene.connector()
    account = scene.account(connector)
    contact = new_uuid7()
    row = {"connector_id": connector["id"], "account_id": account["id"], "entidade_type": "contact", "entidade_id": contact}
    made = [insert(database, "channel_mapping", chave_externa=key, **row) for key in ("phone:5511900000009", "bsuid:BR.1")]
    by = {
        "mappings?chave_externa=phone:5511900000009": made[:1],
        f"mappings?entidade_id={contact}": made,
        f"mappings?entidade_id={contact}&entidade_type=message": [],
        f"connectors/{connector['id']}/mappings": made,
        f"accounts/{account['id']}/mappings": made,
        f"accounts/{account['id']}/mappings?chave_externa=bsuid:BR.1": made[1:],
        "mappings?chave_externa=phone:0": [],
    }
    for path, wanted in by.items():
        assert [item["id"] for item in scene.get(path).json()["items"]] == wanted, path
    assert code_of(scene.get("mappings")) == (422, "filter_missing")


@pytest.mark.req(76)
def test_the_audit_log_tells_who_did_what(scene: Scene) -> None:
    connector = scene.connector()["id"]
    scene.change(f"connectors/{connector}", {"nome": "new name"})
    (updated, created) = scene.get(f"audit-log?subject_id={connector}").json()["items"]
    assert (created["action"], created["before"]) == ("connector.created", None)
    assert (updated["action"], updated["before"], updated["after"]) == (
        "connector.updated",
        {"nome": "Meta"},
        {"nome": "new name"},
    )
    assert updated["actor"] == f"api:user-{scene.admin}"
    assert len(scene.get("audit-log?action=connector.updated").json()["items"]) == 1
    assert scene.get("audit-log?actor=somebody").json()["items"] == []
    assert scene.get("audit-log?until=2020-01-01T00:00:00Z").json()["items"] == []
    everything, cursor = [], ""
    while cursor is not None:
        page = scene.get(f"audit-log?limit=3{cursor and f'&cursor={cursor}'}").json()
        everything, cursor = everything + [item["id"] for item in page["items"]], page["next"]
    assert everything == sorted(set(everything), reverse=True)


@pytest.mark.req(52, 53)
def test_rule_52_53_each_collection_of_the_diagram_has_a_route_and_a_foreign_key(scene: Scene) -> None:
    connector = scene.connector()
    account = scene.account(connector)
    collections = {
        "connector": ["accounts", "capabilities", "tokens", "webhooks", "health-checks", "usage", "mappings"],
        "account": ["fallbacks", "usage", "mappings"],
    }
    for kind, one in (("connector", connector), ("account", account)):
        for collection in collections[kind]:
            assert scene.get(f"{kind}s/{one['id']}/{collection}").status_code == 200, collection
    referring = scene.management.read(
        "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
        " AND conrelid::regclass::text LIKE 'channel_%' AND confrelid::regclass::text IN ('channel_connector', 'channel_account')"
        " AND conrelid::regclass::text <> 'channel_override'"  # a support table of ours
    )
    assert {table for table, target in referring if target == "channel_connector"} == {
        "channel_account",
        "channel_capability",
        "channel_token",
        "channel_webhook",
        "channel_health_check",
        "channel_usage_log",
        "channel_mapping",
    }
    assert {"channel_fallback", "channel_usage_log", "channel_mapping"} <= {
        table for table, target in referring if target == "channel_account"
    }
