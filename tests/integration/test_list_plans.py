"""Every list begins at an index entry: what PostgreSQL would do, for the very statements that the lists run."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.database import unit_of_work
from shared.adapters.tables import ChannelCapability, ChannelToken, ChannelWebhook
from shared.domain.enums import AccountStatus, ConnectorStatus, HealthStatus, UsageType
from shared.management import lists
from shared.management.lists import AccountFilter, AuditFilter, CheckFilter, ConnectorFilter, MappingFilter, UsageFilter
from shared.management.paging import Slice
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of
from tests.integration.rows import connect

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ID = new_uuid7()
AFTER_ID = Slice(limit=50, after=(ID,))
AFTER_PAIR = Slice(limit=50, after=(ID, ID))
AFTER_TIME = Slice(limit=50, after=(NOW, ID))
AFTER_DAY = Slice(limit=50, after=(NOW.date(), ID))

Run = Callable[[Session, str, str, str], Any]
LISTS: dict[str, Run] = {
    "connectors": lambda s, t, c, a: lists.list_connectors(s, t, ConnectorFilter(), Slice()),
    "connectors after": lambda s, t, c, a: lists.list_connectors(s, t, ConnectorFilter(), AFTER_ID),
    "connectors by state": lambda s, t, c, a: lists.list_connectors(
        s, t, ConnectorFilter(status=ConnectorStatus.ACTIVE, nome="x"), Slice()
    ),
    "accounts": lambda s, t, c, a: lists.list_accounts(s, t, AccountFilter(), Slice()),
    "accounts after": lambda s, t, c, a: lists.list_accounts(s, t, AccountFilter(), AFTER_PAIR),
    "accounts by state": lambda s, t, c, a: lists.list_accounts(s, t, AccountFilter(status=AccountStatus.ACTIVE), Slice()),
    "accounts of a connector": lambda s, t, c, a: lists.list_accounts(s, t, AccountFilter(connector_id=c), AFTER_PAIR),
    "accounts by identity": lambda s, t, c, a: lists.list_accounts(s, t, AccountFilter(identidade="1"), Slice()),
    "accounts by unit": lambda s, t, c, a: lists.list_accounts(s, t, AccountFilter(org_unit_id=ID), Slice()),
    "accounts by flow": lambda s, t, c, a: lists.list_accounts(s, t, AccountFilter(intake_flow_id=ID), Slice()),
    "capabilities": lambda s, t, c, a: lists.list_parts(s, t, ChannelCapability, c, AFTER_ID),
    "tokens": lambda s, t, c, a: lists.list_parts(s, t, ChannelToken, c, AFTER_ID),
    "webhooks": lambda s, t, c, a: lists.list_parts(s, t, ChannelWebhook, c, AFTER_ID),
    "fallbacks": lambda s, t, c, a: lists.list_fallbacks(s, t, a, AFTER_ID),
    "checks of a connector": lambda s, t, c, a: lists.list_checks(
        s, t, CheckFilter(connector_id=c, status=HealthStatus.FAILED, since=NOW), AFTER_TIME
    ),
    "checks of an account": lambda s, t, c, a: lists.list_checks(s, t, CheckFilter(account_id=a), AFTER_TIME),
    "usage of a connector": lambda s, t, c, a: lists.list_usage(
        s, t, UsageFilter(connector_id=c, tipo=UsageType.MESSAGE_IN, first_day=NOW.date()), AFTER_DAY
    ),
    "usage of an account": lambda s, t, c, a: lists.list_usage(s, t, UsageFilter(account_id=a), AFTER_DAY),
    "mappings by key": lambda s, t, c, a: lists.list_mappings(s, t, MappingFilter(chave_externa="x"), Slice()),
    "mappings by id": lambda s, t, c, a: lists.list_mappings(s, t, MappingFilter(entidade_id=ID), AFTER_PAIR),
    "mappings of a connector": lambda s, t, c, a: lists.list_mappings(s, t, MappingFilter(connector_id=c), AFTER_PAIR),
    "mappings of an account": lambda s, t, c, a: lists.list_mappings(s, t, MappingFilter(account_id=a), AFTER_PAIR),
    "audit": lambda s, t, c, a: lists.list_audit(s, t, AuditFilter(), AFTER_ID_NUMBER),
    "audit of one": lambda s, t, c, a: lists.list_audit(s, t, AuditFilter(subject_id=c, actor="x"), Slice()),
    "audit of a time": lambda s, t, c, a: lists.list_audit(s, t, AuditFilter(since=NOW, until=NOW), Slice()),
}
AFTER_ID_NUMBER = Slice(limit=50, after=(5,))


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


@pytest.mark.req(39, 47)
def test_no_list_reads_a_whole_table(management: Management, database: DatabaseUnderTest) -> None:
    connector = management.connector()
    account = management.account(connector)
    _fill(database, connector, management.tenant, management.unit)
    found: dict[str, str] = {}
    for name, run in LISTS.items():
        statements: list[tuple[str, Any]] = []

        def keep(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            statements.append((statement, parameters))  # noqa: B023  emptied and read within the round

        with unit_of_work(management.engine, tenant_id=management.tenant) as session:
            event.listen(management.engine, "before_cursor_execute", keep)
            try:
                run(session, management.tenant, connector, account)
            finally:
                event.remove(management.engine, "before_cursor_execute", keep)
            statement, parameters = statements[-1]
            plan = session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
        lines = "\n".join(plan)
        scanned = re.findall(r"Seq Scan on (channel_\w+|audit_log)", lines)
        if scanned:
            found[name] = f"{scanned}\n{lines}"
    assert found == {}, "\n\n".join(f"{name}: {plan}" for name, plan in found.items())


def _fill(database: DatabaseUnderTest, connector: str, tenant: str, unit: str) -> None:
    """Enough rows of this and of other connectors that reading a whole table would be the dear way."""
    with connect(_superuser(database)) as connection:
        connection.execute("SET session_replication_role = replica")  # no triggers: this is about plans
        connection.execute(
            "INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)"
            " SELECT gen_random_uuid(), CASE WHEN mod(n, 10) = 0 THEN %(t)s::uuid ELSE gen_random_uuid() END, 'telegram', 'n',"
            " '{}', 'pending' FROM generate_series(1, 2000) n",
            {"t": tenant},
        )
        connection.execute(
            "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id)"
            " SELECT gen_random_uuid(), c.id, n::text, 'pending', gen_random_uuid()"
            " FROM channel_connector c, generate_series(1, 10) n"
        )
        for statement in (
            "INSERT INTO channel_capability (id, connector_id, feature, enabled)"
            " SELECT gen_random_uuid(), id, 'messages', true FROM channel_connector ON CONFLICT DO NOTHING",
            "INSERT INTO channel_token (id, connector_id, kind, valor_encrypted)"
            " SELECT gen_random_uuid(), id, 'secret', 'x' FROM channel_connector",
            "INSERT INTO channel_webhook (id, connector_id, evento, url, status)"
            " SELECT gen_random_uuid(), id, 'delivery', 'x', 'disabled' FROM channel_connector",
            "INSERT INTO channel_fallback (id, account_id, tipo, destino, ativo)"
            " SELECT gen_random_uuid(), id, 'voicemail', 'x', true FROM channel_account",
            "INSERT INTO channel_health_check (id, connector_id, account_id, status, executado_em)"
            " SELECT gen_random_uuid(), connector_id, id, 'passed', now() FROM channel_account",
            "INSERT INTO channel_usage_log (id, connector_id, account_id, tipo, quantidade, data)"
            " SELECT gen_random_uuid(), connector_id, id, 'message_in', 1, '2026-01-01' FROM channel_account",
            "INSERT INTO channel_mapping (id, connector_id, account_id, chave_externa, entidade_type, entidade_id)"
            " SELECT gen_random_uuid(), connector_id, id, id::text, 'contact', gen_random_uuid() FROM channel_account",
            "INSERT INTO audit_log (tenant_id, actor, action, subject_type, subject_id)"
            " SELECT gen_random_uuid(), 'a', 'b', 'c', id FROM channel_account",
            "ANALYZE",
        ):
            connection.execute(statement)


def _superuser(database: DatabaseUnderTest) -> str:
    head, _, query = database.superuser_url.partition("?")
    return f"{head.rpartition('/')[0]}/{database.name}?{query}"
