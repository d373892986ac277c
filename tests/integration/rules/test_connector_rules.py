"""Rules 10-12, 14, 15, 18 and 56 by the use cases and by raw SQL: what a connector must be."""

from __future__ import annotations

import datetime as dt
from typing import Any

import psycopg
import pytest

from shared.adapters.clock import new_uuid7
from shared.domain.enums import ConnectorStatus, ConnectorType
from shared.domain.errors import Conflict, InvalidInput
from shared.management.connectors import update_connector
from shared.management.tokens import describe_token
from tests.integration.management import ACTOR, TOKEN_VALUE, Management

_INSERT = "INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status) VALUES (%s, %s, %s, %s, '{}', 'pending')"


def changed(management: Management, connector: str, **changes: Any) -> None:
    management.run(lambda session: update_connector(session, management.vault, connector, changes, actor=ACTOR))


@pytest.mark.req(10)
def test_rule_10_the_database_sets_the_time_and_an_index_finds_the_tenant(
    management: Management, sql: psycopg.Connection[Any]
) -> None:
    connector = management.connector()
    with pytest.raises(InvalidInput) as caught:
        changed(management, connector, created_at="2020-01-01T00:00:00Z")
    assert (caught.value.reason, caught.value.pointer) == ("field_unknown", "/created_at")
    ((created,),) = management.read("SELECT created_at FROM channel_connector")
    assert abs((dt.datetime.now(dt.UTC) - created).total_seconds()) < 60
    indexes = sql.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'channel_connector'").fetchall()
    assert any(definition.endswith("(tenant_id)") for (definition,) in indexes)


@pytest.mark.req(10)
def test_rule_10_no_connector_without_its_tenant_by_raw_sql(management: Management, sql: psycopg.Connection[Any]) -> None:
    with pytest.raises((psycopg.errors.ForeignKeyViolation, psycopg.errors.InsufficientPrivilege)):
        sql.execute(_INSERT, (new_uuid7(), new_uuid7(), "webchat", "x"))
    assert management.read("SELECT 1 FROM channel_connector") == []


@pytest.mark.req(11)
def test_rule_11_six_kinds_of_which_one_is_reserved(management: Management, sql: psycopg.Connection[Any]) -> None:
    values = sql.execute("SELECT unnest(enum_range(NULL::channel_type))::text").fetchall()
    assert [value for (value,) in values] == list(ConnectorType)
    with pytest.raises(InvalidInput) as caught:
        management.connector(tipo=ConnectorType.FUTURE)
    assert caught.value.reason == "tipo_reserved"
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        sql.execute(_INSERT, (new_uuid7(), management.tenant, "sms", "x"))


@pytest.mark.req(12)
@pytest.mark.parametrize("nome", ["", "   ", "\t\n"])
def test_rule_12_a_name_is_never_blank(management: Management, sql: psycopg.Connection[Any], nome: str) -> None:
    connector = management.connector()
    with pytest.raises(InvalidInput) as caught:
        changed(management, connector, nome=nome)
    assert (caught.value.reason, caught.value.pointer) == ("nome_missing", "/nome")
    with pytest.raises(psycopg.errors.CheckViolation) as inserted:
        sql.execute(_INSERT, (new_uuid7(), management.tenant, "webchat", nome))
    with pytest.raises(psycopg.errors.CheckViolation):
        sql.execute("UPDATE channel_connector SET nome = %s", (nome,))
    assert inserted.value.diag.constraint_name == "ck_channel_connector_nome_missing"
    with pytest.raises(psycopg.errors.NotNullViolation):
        sql.execute("UPDATE channel_connector SET nome = NULL")
    assert management.read("SELECT nome FROM channel_connector") == [("Meta",)]


@pytest.mark.req(14)
def test_rule_14_a_fault_in_the_config_is_pointed_at_and_nothing_is_changed(management: Management) -> None:
    connector = management.connector()
    version = management.version(connector)
    for config, pointer in (({}, "/config/waba_id"), ({"waba_id": "100000000000000", "instance": "x"}, "/config/instance")):
        with pytest.raises(InvalidInput) as caught:
            changed(management, connector, config=config)
        assert (caught.value.reason, caught.value.pointer) == ("config_invalid", pointer)
    assert management.read("SELECT config FROM channel_connector") == [({"waba_id": "100000000000000"},)]
    assert management.version(connector) == version


@pytest.mark.req(15)
def test_rule_15_a_token_pasted_later_is_lifted_too(management: Management) -> None:
    connector = management.connector()
    changed(management, connector, config={"waba_id": "100000000000000", "access_token": TOKEN_VALUE})
    ((token,),) = management.read("SELECT id::text FROM channel_token")
    ((config,),) = management.read("SELECT config FROM channel_connector")
    assert config == {"waba_id": "100000000000000", "token_ids": {"access_token": token}}
    columns = management.read(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND"
        " data_type IN ('text', 'character varying', 'jsonb') AND column_name <> 'valor_encrypted'"
    )
    held = [
        (table, column)
        for table, column in columns
        if management.read(f'SELECT 1 FROM "{table}" WHERE "{column}"::text LIKE :canary LIMIT 1', canary=f"%{TOKEN_VALUE}%")
    ]
    assert len(columns) > 40
    assert held == []


@pytest.mark.req(18)
def test_rule_18_a_connector_with_accounts_is_not_deleted_by_raw_sql(
    management: Management, sql: psycopg.Connection[Any]
) -> None:
    connector = management.connector()
    management.account(connector)
    sql.execute("DELETE FROM channel_capability")
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
        sql.execute("DELETE FROM channel_connector WHERE id = %s", (connector,))
    assert caught.value.diag.constraint_name == "fk_channel_account_connector_id_channel_connector"
    management.status(connector, ConnectorStatus.ARCHIVED)
    assert management.read("SELECT status FROM channel_connector") == [("archived",)]


@pytest.mark.req(56)
def test_rule_56_a_provider_without_tokens_activates_without(management: Management) -> None:
    connector = management.connector(
        tipo=ConnectorType.WEBCHAT, config={"widget_ids": ["support"], "origins": ["https://example.com"]}
    )
    management.check(connector)
    management.status(connector, ConnectorStatus.ACTIVE)
    assert management.read("SELECT status FROM channel_connector") == [("active",)]
    assert management.read("SELECT 1 FROM channel_token") == []


@pytest.mark.req(33, 56)
def test_rule_33_and_56_no_expiry_counts_for_ever_and_an_expired_token_for_nothing(management: Management) -> None:
    connector = management.active_connector()
    ((token, expires_at),) = management.read("SELECT id::text, expires_at FROM channel_token")
    assert expires_at is None
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    with pytest.raises(Conflict) as caught:  # an active connector does not lose its last valid one
        management.run(lambda s: describe_token(s, token, expires_at=past, metadata=None, actor=ACTOR))
    assert caught.value.reason == "token_missing"
    with pytest.raises(InvalidInput) as naive:
        management.run(lambda s: describe_token(s, token, expires_at=dt.datetime(2030, 1, 1), metadata=None, actor=ACTOR))
    assert naive.value.reason == "time_zone_missing"
    management.status(connector, ConnectorStatus.ERROR)
    management.run(lambda s: describe_token(s, token, expires_at=past, metadata=None, actor=ACTOR))
    with pytest.raises(Conflict) as expired:
        management.status(connector, ConnectorStatus.ACTIVE)
    assert expired.value.reason == "token_expired"
