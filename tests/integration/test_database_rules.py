"""The rules that the database keeps by itself, tried by raw SQL as the role of the API."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import Rows, connect


@pytest.fixture
def rows(database: DatabaseUnderTest) -> Iterator[Rows]:
    with connect(database.api_url) as connection:
        yield Rows(connection)


def refusal(caught: pytest.ExceptionInfo[psycopg.Error]) -> str | None:
    return caught.value.diag.constraint_name


@pytest.mark.req(57)
def test_an_active_account_needs_an_active_connector(rows: Rows) -> None:
    connector = rows.connector()
    account = rows.account(connector)
    with pytest.raises(psycopg.errors.CheckViolation) as update:
        rows.set("channel_account", account, status="active")
    with pytest.raises(psycopg.errors.CheckViolation) as insert:
        rows.account(connector, status="active")
    assert refusal(update) == refusal(insert) == "connector_not_active"
    assert rows.get("channel_account", account, "status") == "inactive"

    other = rows.account(rows.active_connector(), status="active")
    with pytest.raises(psycopg.errors.CheckViolation) as moved:
        rows.set("channel_account", other, connector_id=connector)
    assert refusal(moved) == "connector_not_active"


@pytest.mark.req(57)
@pytest.mark.parametrize("status", ["error", "pending"])
def test_accounts_turn_pending_with_their_connector_and_return_with_it(rows: Rows, status: str) -> None:
    connector = rows.active_connector()
    active = rows.account(connector, status="active")
    inactive = rows.account(connector, status="inactive")
    pending = rows.account(connector, status="pending")
    silenced = rows.account(connector, status="active")
    accounts = (active, inactive, pending, silenced)

    rows.set("channel_connector", connector, status=status)
    assert [rows.get("channel_account", each, "status") for each in accounts] == ["pending", "inactive", "pending", "pending"]
    causes = dict(rows.connection.execute("SELECT account_id::text, cause FROM account_state").fetchall())
    assert causes == {active: f"connector_{status}", silenced: f"connector_{status}"}

    rows.set("channel_account", silenced, status="inactive")  # a person decides while the connector is away
    rows.set("channel_connector", connector, status="active")
    assert [rows.get("channel_account", each, "status") for each in accounts] == ["active", "inactive", "pending", "inactive"]
    assert rows.connection.execute("SELECT count(*) FROM account_state WHERE cause IS NOT NULL").fetchone() == (0,)


@pytest.mark.req(57)
def test_the_cause_follows_the_connector_from_error_to_archived(rows: Rows) -> None:
    connector = rows.active_connector()
    account = rows.account(connector, status="active")
    rows.set("channel_connector", connector, status="error")
    rows.set("channel_connector", connector, status="archived")
    assert rows.get("channel_account", account, "status") == "pending"
    assert rows.connection.execute("SELECT cause FROM account_state").fetchall() == [("connector_archived",)]


def test_a_connector_changes_status_only_where_the_rules_can_see_all_rows(rows: Rows) -> None:
    connector = rows.active_connector()
    rows.connection.execute("SET default_transaction_isolation = 'repeatable read'")
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        rows.set("channel_connector", connector, status="error")
    assert refusal(caught) == "isolation_level"


@pytest.mark.req(16)
@pytest.mark.parametrize("status", ["active", "pending", "error"])
def test_nothing_leaves_archived(rows: Rows, status: str) -> None:
    connector = rows.active_connector()
    rows.set("channel_connector", connector, status="archived")
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        rows.set("channel_connector", connector, status=status)
    assert refusal(caught) == "illegal_transition"


@pytest.mark.req(16)
def test_active_needs_one_check_that_did_not_fail(rows: Rows) -> None:
    connector = rows.connector(tipo="webchat")
    with pytest.raises(psycopg.errors.CheckViolation) as without:
        rows.set("channel_connector", connector, status="active")
    rows.check(connector, "failed")
    with pytest.raises(psycopg.errors.CheckViolation) as failed:
        rows.set("channel_connector", connector, status="active")
    assert refusal(without) == refusal(failed) == "check_missing"
    rows.check(connector, "warning")
    rows.set("channel_connector", connector, status="active")


@pytest.mark.req(16)
def test_a_connector_cannot_be_born_active(rows: Rows) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        rows.insert("channel_connector", tenant_id=rows.tenant, tipo="webchat", nome="x", config="{}", status="active")
    assert refusal(caught) == "check_missing"


@pytest.mark.req(56)
@pytest.mark.parametrize("tipo", ["whatsapp_official", "whatsapp_unofficial", "telegram"])
def test_providers_with_credentials_need_a_valid_token(rows: Rows, tipo: str) -> None:
    connector = rows.connector(tipo=tipo)
    rows.check(connector)

    def refused() -> str | None:
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            rows.set("channel_connector", connector, status="active")
        return refusal(caught)

    assert refused() == "token_missing"
    rows.token(connector, kind="refresh_token")
    assert refused() == "token_missing"
    rows.token(connector, expires_at="2020-01-01 00:00Z")
    assert refused() == "token_expired"
    rows.token(connector)
    rows.set("channel_connector", connector, status="active")


@pytest.mark.req(56)
@pytest.mark.parametrize("tipo", ["webchat", "email"])
def test_other_providers_activate_without(rows: Rows, tipo: str) -> None:
    connector = rows.connector(tipo=tipo)
    rows.check(connector)
    rows.set("channel_connector", connector, status="active")
    assert rows.get("channel_connector", connector, "status") == "active"


@pytest.mark.req(56)
def test_the_last_valid_token_of_an_active_connector_stays(rows: Rows) -> None:
    connector = rows.active_connector()
    (token,) = rows.connection.execute("SELECT id::text FROM channel_token").fetchone() or ("",)
    with pytest.raises(psycopg.errors.CheckViolation) as deleted:
        rows.connection.execute("DELETE FROM channel_token")
    with pytest.raises(psycopg.errors.CheckViolation) as expired:
        rows.set("channel_token", token, expires_at="2020-01-01 00:00Z")
    assert refusal(deleted) == refusal(expired) == "token_missing"

    with rows.connection.transaction():  # a rotation may delete before it inserts
        rows.connection.execute("DELETE FROM channel_token")
        rows.token(connector)
    rows.set("channel_connector", connector, status="archived")
    rows.connection.execute("DELETE FROM channel_token")


@pytest.mark.req(58)
def test_an_account_has_a_unit_or_a_flow(rows: Rows) -> None:
    connector = rows.connector()
    with pytest.raises(psycopg.errors.CheckViolation) as inserted:
        rows.account(connector, org_unit_id=None)
    account = rows.account(connector)
    with pytest.raises(psycopg.errors.CheckViolation) as cleared:
        rows.set("channel_account", account, org_unit_id=None)
    assert refusal(inserted) == refusal(cleared) == "ck_channel_account_route_missing"


@pytest.mark.req(59)
@pytest.mark.parametrize(
    ("category", "published", "expected"),
    [("intake", False, "flow_not_published"), ("marketing", True, "flow_not_intake"), ("intake", True, None)],
)
def test_a_flow_is_published_and_of_category_intake(rows: Rows, category: str, published: bool, expected: str | None) -> None:
    flow = rows.insert("automation_flow", tenant_id=rows.tenant, name="Welcome", category=category, published=published)
    account = rows.account(rows.connector())
    if expected is None:
        rows.set("channel_account", account, intake_flow_id=flow, org_unit_id=None)
        rows.set("automation_flow", flow, published=False)  # later it may go: the router then takes the unit
        rows.set("channel_account", account, intake_flow_id=flow, nome_exibicao="still writable")
        return
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        rows.set("channel_account", account, intake_flow_id=flow)
    assert refusal(caught) == expected


@pytest.mark.req(22, 23)
def test_unit_and_flow_belong_to_the_tenant(rows: Rows, database: DatabaseUnderTest) -> None:
    with connect(database.owner_url) as connection:
        theirs_all = Rows(connection)
        stranger, unit = theirs_all.tenant, theirs_all.unit
        flow = theirs_all.insert("automation_flow", tenant_id=stranger, name="Theirs", category="intake", published=True)
    account = rows.account(rows.connector())
    with pytest.raises(psycopg.errors.CheckViolation) as theirs:
        rows.set("channel_account", account, org_unit_id=unit)
    with pytest.raises(psycopg.errors.CheckViolation) as unknown:
        rows.set("channel_account", account, org_unit_id=stranger)
    with pytest.raises(psycopg.errors.CheckViolation) as their_flow:
        rows.set("channel_account", account, intake_flow_id=flow)
    assert (refusal(theirs), refusal(unknown), refusal(their_flow)) == ("org_unit_unknown", "org_unit_unknown", "flow_unknown")


@pytest.mark.req(64)
def test_the_mapping_triple_is_unique(rows: Rows, database: DatabaseUnderTest) -> None:
    connector = rows.connector()
    with connect(database.worker_url) as worker:
        insert = (
            "INSERT INTO channel_mapping (id, connector_id, chave_externa, entidade_type, entidade_id)"
            " VALUES (gen_random_uuid(), %s, 'k', %s, gen_random_uuid())"
        )
        worker.execute(insert, (connector, "contact"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            worker.execute(insert, (connector, "contact"))
        worker.execute(insert, (connector, "message"))
        worker.execute(insert, (rows.connector(), "contact"))


@pytest.mark.req(65)
@pytest.mark.parametrize("segredo", [None, ""])
def test_an_active_webhook_needs_segredo(rows: Rows, segredo: str | None) -> None:
    connector = rows.connector()
    values = {"connector_id": connector, "evento": "message_in", "url": "https://example.org", "segredo": segredo}
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        rows.insert("channel_webhook", status="active", **values)
    assert refusal(caught) == "ck_channel_webhook_segredo_missing"
    rows.insert("channel_webhook", status="disabled", **values)


@pytest.mark.req(19)
def test_identidade_is_unique_per_connector(rows: Rows) -> None:
    connector = rows.connector()
    rows.account(connector, identidade="5511900000001")
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        rows.account(connector, identidade="5511900000001")
    assert refusal(caught) == "uq_channel_account_connector_id_identidade"
    rows.account(rows.connector(), identidade="5511900000001")


@pytest.mark.req(28)
def test_one_capability_row_per_feature(rows: Rows) -> None:
    connector = rows.connector()
    rows.insert("channel_capability", connector_id=connector, feature="buttons", enabled=True)
    with pytest.raises(psycopg.errors.UniqueViolation):
        rows.insert("channel_capability", connector_id=connector, feature="buttons", enabled=False)


@pytest.mark.req(44)
def test_usage_rows_without_an_account_are_unique_too(rows: Rows, database: DatabaseUnderTest) -> None:
    values = {"connector_id": rows.connector(), "tipo": "rule_trigger", "quantidade": 1, "data": "2026-01-31"}
    with connect(database.owner_url) as owner:  # the service that counts comes later, with a role right of its own
        rows.connection = owner
        rows.insert("channel_usage_log", **values)
        with pytest.raises(psycopg.errors.UniqueViolation):
            rows.insert("channel_usage_log", **values)


@pytest.mark.req(10)
def test_a_connector_stays_with_its_tenant(database: DatabaseUnderTest) -> None:
    with connect(database.owner_url) as connection:  # whom row-level security does not stop first
        rows = Rows(connection)
        connector = rows.connector()
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            rows.connector(tenant=connector)  # no such tenant
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            rows.set("channel_connector", connector, tenant_id=rows.insert("tenant", name="Other"))
        created = rows.get("channel_connector", connector, "created_at")
    assert refusal(caught) == "connector_tenant_fixed"
    assert created.utcoffset().total_seconds() == 0
