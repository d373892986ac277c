"""A tenant sees only itself (design section 5): row-level security of the role `channels_api`, on every table that it may touch.

The tables come from the catalogue, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from shared.adapters.clock import new_uuid7
from shared.adapters.database import _begun_for, act_for, create_engine_for, unit_of_work
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import Rows, connect

_API_TABLES = (
    "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace = 'public'::regnamespace"
    " AND (has_any_column_privilege('channels_api', c.oid, 'SELECT, INSERT, UPDATE') OR"
    "      has_table_privilege('channels_api', c.oid, 'DELETE')) ORDER BY 1"
)
# What the role may not touch at all holds no tenant's configuration: the router's memory, what operators did with dead letters,
# how often providers were called, and which schema this is.
_WITHOUT_RIGHTS = {
    *("claim", "held_record", "delivery_state", "router_progress", "dead_letter_mark", "provider_budget", "alembic_version"),
}
_OF_NOBODY = {"consumer_offset"}  # how far a consumer of a topic came: the topic has all tenants in it


@dataclass
class TwoTenants:
    """Two tenants with one row in every table each, and their ids; made by the owner."""

    ours: str
    theirs: str
    rows: dict[str, dict[str, dict[str, Any]]]  # tenant -> table -> the row


def fill(owner: psycopg.Connection[Any]) -> str:
    """A tenant with a row in every table; its id."""
    rows = Rows(owner)
    owner.execute("SELECT set_config('channels.tenant', '', false)")  # an operator acts for nobody
    connector = rows.active_connector()
    account = rows.account(connector)
    flow = rows.insert("automation_flow", tenant_id=rows.tenant, name="F", category="intake", published=True)
    fallback = rows.insert("channel_fallback", account_id=account, tipo="email_forward", destino="a@example.com", ativo=True)
    webhook = rows.insert("channel_webhook", connector_id=connector, evento="delivery", url="u", status="disabled")
    rows.insert("channel_capability", connector_id=connector, feature="messages", enabled=True)
    rows.insert("channel_usage_log", connector_id=connector, tipo="message_in", quantidade=1, data="2026-01-01")
    rows.insert("channel_mapping", connector_id=connector, chave_externa="k", entidade_type="contact", entidade_id=new_uuid7())
    rows.insert("connector_certificate", connector_id=connector, url="u", pem="p", not_after="now")
    for statement, values in (
        ("INSERT INTO connector_default_fallback VALUES (%s, %s)", (connector, fallback)),
        ("INSERT INTO account_state (account_id) VALUES (%s)", (account,)),
        ("INSERT INTO mailbox_position (account_id) VALUES (%s)", (account,)),
        ("INSERT INTO token_renewal (token_id, task, service, changed_at)"
         " SELECT id, 'none', '', now() FROM channel_token WHERE connector_id = %s", (connector,)),
        ("INSERT INTO health_state (subject_id, connector_id, due_at) VALUES (%s, %s, now())", (connector, connector)),
        ("INSERT INTO account_activity VALUES (%s, '2026-01-01', array_fill(0, ARRAY[24]))", (account,)),
        ("INSERT INTO channel_override (subject_id, field, connector_id, actor) VALUES (%s, 'capability:messages', %s, 'a')", (
            connector, connector)),
        ("INSERT INTO sync_errand (connector_id, cause, detail) VALUES (%s, 'certificate_missing', 'x')", (connector,)),
        ("INSERT INTO account_description (account_id, changed_at) VALUES (%s, now())", (account,)),
        ("INSERT INTO sync_job (subject_id, connector_id, state, asked, asked_since) VALUES (%s, %s, 'idle', 1, now())", (
            connector, connector)),
        ("INSERT INTO secret_rotation (connector_id, use, secret_id, overlap_seconds) VALUES (%s, 'sign', 'x', 1)", (connector,)),
        ("INSERT INTO secret_use VALUES (%s, 0, now())", (webhook,)),
        ("INSERT INTO outbox (topic, subject_id) VALUES ('channel.account.snapshot', %s)", (account,)),
        ("INSERT INTO snapshot_version (subject_id, kind, version) VALUES (%s, 'account', 1)", (account,)),
        ("INSERT INTO data_key VALUES (gen_random_uuid(), %s, 'ingest', 'w')", (rows.tenant,)),
        ("INSERT INTO idempotency_key (tenant_id, key, request_digest) VALUES (%s, 'k', 'd')", (rows.tenant,)),
        ("INSERT INTO audit_log (tenant_id, actor, action, subject_type, subject_id) VALUES (%s, 'a', 'b', 'c', %s)", (
            rows.tenant, flow)),
    ):  # fmt: skip
        owner.execute(statement, values)
    return rows.tenant


@pytest.fixture
def two(database: DatabaseUnderTest) -> TwoTenants:
    with connect(database.owner_url) as owner:
        tables = [name for (name,) in owner.execute(_API_TABLES) if name not in _OF_NOBODY]
        ours = fill(owner)
        mine = {table: _rows_of(owner, table) for table in tables}
        theirs = fill(owner)
        both = {table: _rows_of(owner, table) for table in tables}
    made: dict[str, dict[str, dict[str, Any]]] = {ours: {}, theirs: {}}
    for table in tables:
        old = [json.dumps(row, sort_keys=True) for row in mine[table]]
        new = [row for row in both[table] if json.dumps(row, sort_keys=True) not in old]
        assert mine[table], f"{table}: a test row is missing here, see `fill`"
        assert new, f"{table}: a test row is missing here, see `fill`"
        made[ours][table], made[theirs][table] = mine[table][0], new[0]
    return TwoTenants(ours, theirs, made)


def _rows_of(owner: psycopg.Connection[Any], table: str) -> list[dict[str, Any]]:
    statement = sql.SQL("SELECT to_jsonb(t) FROM {} t").format(sql.Identifier(table))
    return [row for (row,) in owner.execute(statement)]


@pytest.fixture
def engine(database: DatabaseUnderTest) -> Iterator[Engine]:
    made = create_engine_for(database.api_url, pool_size=1)  # one connection: whatever it keeps, the next one finds
    yield made
    made.dispose()


def key_columns(connection: psycopg.Connection[Any], table: str) -> list[str]:
    return [
        name
        for (name,) in connection.execute(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
            " WHERE i.indrelid = %s::regclass AND i.indisprimary ORDER BY a.attnum",
            (table,),
        )
    ]


def allowed(connection: psycopg.Connection[Any], table: str, privilege: str) -> list[str]:
    """Columns that the API's role has the privilege on."""
    return [
        name
        for (name,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attidentity = '' AND has_column_privilege('channels_api', attrelid, attnum, %s) ORDER BY attnum",
            (table, privilege),
        )
    ]


def where(row: dict[str, Any], columns: list[str]) -> sql.Composed:
    return sql.SQL(" AND ").join(sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(row[name])) for name in columns)


@pytest.mark.req(10, 76)
def test_every_table_of_the_api_is_under_forced_row_level_security(database: DatabaseUnderTest) -> None:
    with connect(database.owner_url) as owner:
        tables = {name for (name,) in owner.execute(_API_TABLES)}
        secured = {
            name
            for (name,) in owner.execute(
                "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relrowsecurity"
                " AND c.relforcerowsecurity AND (SELECT array_agg(p.polname::text ORDER BY p.polname) FROM pg_policy p"
                " WHERE p.polrelid = c.oid) = ARRAY['all_tenants', 'own_tenant']"
            )
        }
        everything = {
            name
            for (name,) in owner.execute(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
            )
        }
        loose = owner.execute(
            "SELECT tablename, policyname FROM pg_policies WHERE policyname = 'own_tenant' AND roles <> '{channels_api}'"
            " OR policyname = 'all_tenants' AND 'channels_api' = ANY(roles) OR permissive <> 'PERMISSIVE'"
        ).fetchall()
    assert tables - _OF_NOBODY <= secured, f"without row-level security: {tables - secured - _OF_NOBODY}"
    assert everything - secured == _WITHOUT_RIGHTS | _OF_NOBODY
    assert loose == []


@pytest.mark.req(10)
def test_no_rule_of_rows_can_be_planned_as_a_list_of_all_connectors_of_the_tenant(database: DatabaseUnderTest) -> None:
    # `EXISTS` can: a page of twelve rows then cost what a tenant's thousands of connectors cost (migration 0020).
    with connect(database.owner_url) as owner:
        told = owner.execute(
            "SELECT tablename FROM pg_policies"
            " WHERE policyname = 'own_tenant' AND (qual || coalesce(with_check, '')) ~ 'EXISTS| IN '"
        ).fetchall()
    assert told == []


@pytest.mark.req(10)
def test_a_table_that_is_forgotten_is_found(database: DatabaseUnderTest) -> None:
    with connect(database.owner_url) as owner:
        owner.execute("CREATE TABLE forgotten (tenant_id uuid)")
        owner.execute("GRANT SELECT ON forgotten TO channels_api")
    with pytest.raises(AssertionError, match="forgotten"):
        test_every_table_of_the_api_is_under_forced_row_level_security(database)


@pytest.mark.req(10)
def test_another_tenants_rows_are_neither_read_nor_changed_nor_deleted(database: DatabaseUnderTest, two: TwoTenants) -> None:
    tried = 0
    with connect(database.api_url, tenant=two.ours) as api, connect(database.owner_url) as owner:
        for table, theirs in two.rows[two.theirs].items():
            keys, name = key_columns(owner, table), sql.Identifier(table)
            seen = sql.SQL("SELECT count(*) FROM {} t WHERE {}")
            assert api.execute(seen.format(name, where(theirs, keys))).fetchone() == (0,), table
            assert api.execute(seen.format(name, where(two.rows[two.ours][table], keys))).fetchone() == (1,), table
            statements = []
            if owner.execute("SELECT has_table_privilege('channels_api', %s, 'DELETE')", (table,)).fetchone() == (True,):
                statements.append(sql.SQL("DELETE FROM {} WHERE {}").format(name, where(theirs, keys)))
            for column in allowed(owner, table, "UPDATE"):
                change = sql.SQL("UPDATE {} SET {} = {} WHERE {}")
                statements.append(change.format(name, sql.Identifier(column), sql.Identifier(column), where(theirs, keys)))
            if allowed(owner, table, "UPDATE"):
                statements.append(sql.SQL("SELECT 1 FROM {} WHERE {} FOR UPDATE").format(name, where(theirs, keys)))
            for statement in statements:
                assert api.execute(statement).rowcount == 0, statement.as_string()
                tried += 1
        left = {table: _rows_of(owner, table) for table in two.rows[two.theirs]}
    assert all(row in left[table] for table, row in two.rows[two.theirs].items())
    assert tried > 80


@pytest.mark.req(10)
def test_no_row_is_written_into_another_tenant_or_moved_there(database: DatabaseUnderTest, two: TwoTenants) -> None:
    """Each uuid column of each of our rows is pointed, one at a time, at what is theirs."""
    moved = written = 0
    with connect(database.api_url, tenant=two.ours) as api, connect(database.owner_url) as owner:
        for table, ours in two.rows[two.ours].items():
            theirs, keys = two.rows[two.theirs][table], key_columns(owner, table)
            foreign = {name: theirs[name] for name in theirs if _points_outside(name, table) and theirs[name] is not None}
            for column in sorted(foreign.keys() & set(allowed(owner, table, "UPDATE"))):
                change = sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(
                    sql.Identifier(table), sql.Identifier(column), sql.Literal(foreign[column]), where(ours, keys)
                )
                assert refused(api, change), change.as_string()
                moved += 1
            columns = allowed(owner, table, "INSERT")
            fresh = {"id": new_uuid7(), "key": "new", "identidade": "new", "key_id": new_uuid7(), "feature": "typing"}
            for column in sorted(foreign.keys() & set(columns)):
                row = {**ours, **{name: fresh[name] for name in fresh if name in ours}, column: foreign[column]}
                assert refused(api, insertion(table, columns, row)), (table, column)
                written += 1
            if table == "tenant":
                assert refused(api, insertion(table, columns, {**ours, "id": new_uuid7()}))
            for row in (ours, theirs):
                assert row in _rows_of(owner, table), table
    assert (moved >= 12, written >= 20) == (True, True), (moved, written)


def _points_outside(column: str, table: str) -> bool:
    # An audit row may name anything as its subject; it stays with its own tenant. An id of our own points nowhere.
    return column.endswith("_id") and (table, column) not in {
        ("audit_log", "subject_id"), ("channel_mapping", "entidade_id"), ("data_key", "key_id"),
        ("secret_rotation", "secret_id")}  # fmt: skip


def insertion(table: str, columns: list[str], row: dict[str, Any]) -> sql.Composed:
    names = [name for name in columns if row.get(name) is not None]
    values = [json.dumps(row[name]) if isinstance(row[name], dict) else row[name] for name in names]
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join(map(sql.Literal, values))
    )


def refused(api: psycopg.Connection[Any], statement: sql.Composed) -> bool:
    try:
        api.execute(statement)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation):
        return True
    return False


@pytest.mark.req(10)
@pytest.mark.parametrize("acting", ["", "01900000-0000-7000-8000-00000000ffff"])
def test_who_acts_for_nobody_sees_and_writes_nothing(database: DatabaseUnderTest, two: TwoTenants, acting: str) -> None:
    with connect(database.api_url, tenant=acting or None) as api, connect(database.owner_url) as owner:
        for table, row in two.rows[two.ours].items():
            name = sql.Identifier(table)
            assert api.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone() == (0,), table
            columns = allowed(owner, table, "INSERT")
            if columns:
                assert refused(api, insertion(table, columns, {**row, **({"id": new_uuid7()} if "id" in row else {})})), table
    with connect(database.api_url, tenant="nonsense") as api, pytest.raises(psycopg.DataError):
        api.execute("SELECT 1 FROM channel_connector")


def test_a_second_reference_must_be_ours_too(database: DatabaseUnderTest, two: TwoTenants) -> None:
    ours, theirs = two.rows[two.ours], two.rows[two.theirs]
    with connect(database.api_url, tenant=two.ours) as api:
        check = {"id": new_uuid7(), "connector_id": ours["channel_connector"]["id"], "status": "passed", "executado_em": "now"}
        names = [*check, "account_id"]
        assert refused(api, insertion("channel_health_check", names, {**check, "account_id": theirs["channel_account"]["id"]}))
        assert not refused(api, insertion("channel_health_check", names, {**check, "account_id": ours["channel_account"]["id"]}))
        # A notice in our name about what is theirs would make the relay speak for them.
        for subject in (theirs["channel_connector"]["id"], theirs["channel_account"]["id"]):
            notice = {"topic": "channel.connector.status_changed", "subject_id": subject}
            assert refused(api, insertion("outbox", list(notice), notice))
            version = {"subject_id": subject, "kind": "account", "version": 9}
            assert refused(api, insertion("snapshot_version", list(version), version))
        gone = {"topic": "channel.account.snapshot", "subject_id": new_uuid7()}  # a deletion is announced after the row
        assert not refused(api, insertion("outbox", list(gone), gone))


@pytest.mark.req(10)
@pytest.mark.parametrize(
    ("table", "columns", "of"),
    [
        ("channel_health_check", ["account_id"], "channel_account"),
        ("channel_usage_log", ["account_id"], "channel_account"),
        ("channel_mapping", ["account_id"], "channel_account"),
        ("channel_override", ["account_id", "subject_id"], "channel_account"),
        ("sync_job", ["account_id", "subject_id"], "channel_account"),
        ("connector_default_fallback", ["fallback_id"], "channel_fallback"),
    ],
)
def test_the_rule_alone_refuses_a_second_reference_to_another_tenant(
    database: DatabaseUnderTest, two: TwoTenants, table: str, columns: list[str], of: str
) -> None:
    # Triggers, checks and missing rights refuse some of these first, and would hide that the rule had gone.
    named = sql.Identifier(table)
    with connect(database.owner_url) as owner:
        owner.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(named))
        owner.execute(sql.SQL("GRANT UPDATE ON {} TO channels_api").format(named))
        owner.execute("ALTER TABLE channel_override DROP CONSTRAINT ck_channel_override_field")

    def refer_to(api: psycopg.Connection[Any], tenant: str) -> None:
        other = sql.Literal(two.rows[tenant][of]["id"])
        changes = [sql.SQL("{} = {}").format(sql.Identifier(column), other) for column in columns]
        api.execute(sql.SQL("UPDATE {} SET {}").format(named, sql.SQL(", ").join(changes)))

    with connect(database.api_url, tenant=two.ours) as api:
        refer_to(api, two.ours)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            refer_to(api, two.theirs)


@pytest.mark.req(10)
@pytest.mark.parametrize("end", ["commit", "rollback", "error", "sql error", "cancelled", "connection lost", "switched"])
def test_the_pool_hands_on_nobodys_connection(engine: Engine, two: TwoTenants, end: str) -> None:
    statements = {"sql error": "SELECT 1/0", "cancelled": "SET LOCAL statement_timeout = 5; SELECT pg_sleep(5)"}
    statements["connection lost"] = "SELECT pg_terminate_backend(pg_backend_pid())"
    try:
        with unit_of_work(engine, tenant_id=two.theirs) as session:
            assert names(session) == [two.theirs]
            if end == "commit":
                session.commit()
                assert names(session) == [two.theirs]  # the next transaction of the same session acts for the same tenant
            if end == "switched":
                act_for(session, two.ours)
                assert names(session) == [two.ours]
                session.commit()
                assert names(session) == [two.ours]
            if end == "error":
                raise ZeroDivisionError  # noqa: TRY301
            if end in statements:
                session.connection().exec_driver_sql(statements[end])
    except (ZeroDivisionError, DBAPIError):
        assert end not in {"commit", "rollback", "switched"}
    with unit_of_work(engine) as session:
        assert names(session) == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_setting('channels.tenant', true)")).scalar() in {None, ""}
    with unit_of_work(engine, tenant_id=two.ours) as session:
        assert names(session) == [two.ours]


def names(session: Any) -> list[str]:
    return [str(found) for found in session.execute(text("SELECT id FROM tenant")).scalars()]


def test_a_transaction_whose_beginning_was_cancelled_is_begun_anew(engine: Engine, two: TwoTenants) -> None:
    with engine.connect() as connection:
        assert not _begun_for(connection, "' || 1 / 0 || '")  # fails after BEGIN, as a cancelled statement does
        act = text("SELECT set_config('channels.tenant', :tenant, true), (SELECT count(*) FROM channel_connector)")
        assert connection.execute(act, {"tenant": two.ours}).one()[0] == two.ours


def test_a_switch_inside_a_savepoint_goes_with_it(engine: Engine, two: TwoTenants) -> None:
    with unit_of_work(engine, tenant_id=two.ours) as session:
        with session.begin_nested():
            act_for(session, two.theirs)
        assert names(session) == [two.theirs]
        with session.begin_nested() as savepoint:
            assert names(session) == [two.theirs]
            savepoint.rollback()
        assert names(session) == [two.theirs]
    with pytest.raises(ValueError, match="hexadecimal"), unit_of_work(engine, tenant_id="x'; DROP TABLE tenant; --"):
        pass


@pytest.mark.req(10)
def test_tenants_that_share_a_small_pool_never_meet(database: DatabaseUnderTest, two: TwoTenants) -> None:
    engine, rounds, wrong = create_engine_for(database.api_url, pool_size=2), 150, []
    start = threading.Barrier(6)

    def work(number: int) -> None:
        tenant = (two.ours, two.theirs, None)[number % 3]
        start.wait(10)
        for turn in range(rounds):
            try:
                with unit_of_work(engine, tenant_id=tenant) as session:
                    found = names(session)
                    if found != ([tenant] if tenant else []):
                        wrong.append((tenant, found))
                    if turn % 3 == 0:
                        session.commit()
                    if turn % 5 == 0:
                        session.execute(text("SELECT 1/0"))
            except DBAPIError:
                continue

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work, number) for number in range(6)]:
            future.result(60)
    engine.dispose()
    assert wrong == []


@pytest.mark.req(10)
def test_the_lookups_of_operators_give_ids_and_no_more(database: DatabaseUnderTest, two: TwoTenants) -> None:
    connector = two.rows[two.theirs]["channel_connector"]["id"]
    with connect(database.api_url) as api:
        assert str(api.execute("SELECT tenant_of_connector(%s)", (connector,)).fetchone()) == f"(UUID('{two.theirs}'),)"
        found = [str(tenant) for (tenant,) in api.execute("SELECT tenants_named('Acme')")]
        assert sorted(found) == sorted([two.ours, two.theirs])
        assert api.execute("SELECT name FROM tenant").fetchall() == []
    for url in (database.worker_url, database.credential_url):
        with connect(url) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute("SELECT tenants_named('Acme')")


def test_a_notice_by_an_operator_is_its_subjects_tenants(database: DatabaseUnderTest, two: TwoTenants) -> None:
    with connect(database.owner_url) as owner:
        found = owner.execute("SELECT tenant_id::text, count(*) FROM outbox GROUP BY 1").fetchall()
        assert sorted(found) == sorted([(two.ours, 1), (two.theirs, 1)])
        owner.execute("INSERT INTO outbox (topic, subject_id) VALUES ('channel.account.snapshot', gen_random_uuid())")
        assert owner.execute("SELECT count(*) FROM outbox WHERE tenant_id IS NULL").fetchone() == (1,)


def test_the_other_roles_work_for_all_tenants(database: DatabaseUnderTest, two: TwoTenants) -> None:
    for url in (database.owner_url, database.worker_url, database.credential_url):
        with connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM channel_connector").fetchone() == (2,)


_LISTS = {
    "SELECT * FROM channel_connector ORDER BY id LIMIT 50": "ix_channel_connector_tenant_id",
    "SELECT a.* FROM channel_account a JOIN channel_connector c ON c.id = a.connector_id"
    " WHERE c.tenant_id = channels_tenant() ORDER BY a.connector_id, a.id LIMIT 50": "ix_channel_account_connector_id",
    "SELECT * FROM channel_account WHERE id = '01900000-0000-7000-8000-000000000001'": "pk_channel_account",
}


def test_lists_under_row_level_security_use_an_index(database: DatabaseUnderTest) -> None:
    """Figures: docs/DECISIONS.md. 5 000 connectors of 100 tenants, so that reading all would be the planner's worse choice."""
    with connect(database.owner_url) as owner:
        owner.execute(
            "INSERT INTO tenant SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'T'"
            " FROM generate_series(1, 100) n"
        )
        owner.execute("INSERT INTO org_unit (id, tenant_id, name) SELECT id, id, 'U' FROM tenant")
        owner.execute(
            "INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)"
            " SELECT gen_random_uuid(), t.id, 'telegram', 'c', '{}', 'pending' FROM tenant t, generate_series(1, 50)"
        )
        owner.execute(
            "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id)"
            " SELECT gen_random_uuid(), c.id, n::text, 'pending', c.tenant_id FROM channel_connector c, generate_series(1, 2) n"
        )
        owner.execute("ANALYZE")
    with connect(database.api_url, tenant="00000000-0000-7000-8000-000000000007") as api:
        for query, index in _LISTS.items():
            plan = "\n".join(line for (line,) in api.execute(f"EXPLAIN {query}"))
            assert index in plan, plan
            assert "Seq Scan" not in plan, plan
