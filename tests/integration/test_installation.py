"""Making a database ready, again and twice at once; the unit of work; the command."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from services.cli.database import database as command
from shared.adapters.database import DatabaseFault, classify, constraint_of, create_engine_for, unit_of_work
from shared.adapters.migrations import migrations_directory
from shared.adapters.tables import Tenant
from shared.domain.errors import ConfigError, Unavailable
from shared.management.installation import migrate, prepare_database
from tests.database_fixtures import DatabaseUnderTest, StackAddresses
from tests.integration.rows import Rows, connect
from tests.waiting import eventually

FURTHER = """
from alembic import op

revision, down_revision = "9999", "{head}"


def upgrade():
    op.execute("LOCK TABLE channel_account, health_state")
"""


@pytest.fixture
def fresh_name(stack: StackAddresses) -> Iterator[str]:
    name = f"channels_test_{uuid.uuid4().hex}"
    yield name
    with connect(stack.superuser_url) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def test_two_installers_at_once_prepare_one_database(stack: StackAddresses, fresh_name: str) -> None:
    start = threading.Barrier(2)

    def prepare() -> dict[str, str]:
        start.wait(10)
        return prepare_database(stack.superuser_url, fresh_name)

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result(60) for future in [pool.submit(prepare), pool.submit(prepare)])
    assert first == second
    assert sorted(first) == [f"database_{role}_url" for role in ("api", "credential", "owner", "worker")]
    with connect(first["database_owner_url"]) as connection:
        assert connection.execute("SELECT count(*) FROM channel_connector").fetchone() == (0,)
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert owners.fetchall() == [("channels_owner",)]


def test_the_command_prepares_and_migrates(stack: StackAddresses, fresh_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()
    prepared = runner.invoke(command, ["prepare", "--superuser-url", stack.superuser_url, "--name", fresh_name])
    assert prepared.exit_code == 0
    (owner,) = [line for line in prepared.output.splitlines() if line.startswith("CHANNELS_DATABASE_OWNER_URL=")]
    monkeypatch.setenv("CHANNELS_DATABASE_OWNER_URL", owner.partition("=")[2])
    migrated = runner.invoke(command, ["migrate"])
    head = max(path.name for path in (migrations_directory() / "versions").glob("r*.py"))[1:5]
    assert (migrated.exit_code, migrated.output) == (0, f"schema is at {head}; nothing to do\n")


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The last revision, after which there is now one more that changes two tables."""
    found = max(path.name for path in (migrations_directory() / "versions").glob("r*.py"))[1:5]
    copy = tmp_path / "migrations"
    shutil.copytree(migrations_directory(), copy)
    (copy / "versions" / "r9999_further.py").write_text(FURTHER.format(head=found))
    monkeypatch.setattr("shared.adapters.migrations.migrations_directory", lambda: copy)
    return found


def test_a_migration_gives_way_to_whoever_uses_its_tables(database: DatabaseUnderTest, head: str) -> None:
    waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'health_state'::regclass"
    with (
        ThreadPoolExecutor(1) as pool,
        connect(database.owner_url) as looker,
        connect(database.owner_url, autocommit=False) as user,
    ):
        user.execute("SELECT FROM health_state")
        migrating = pool.submit(migrate, database.owner_url)
        eventually(lambda: looker.execute(waits).fetchone() is not None)
        user.execute("SELECT FROM channel_account")  # which the migration has
        user.commit()
        assert migrating.result(60) == (head, "9999")


def test_a_table_that_is_held_for_long_is_told_and_nothing_is_changed(
    database: DatabaseUnderTest, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.adapters.migrations._PATIENCE_SECONDS", 0.5)
    with ThreadPoolExecutor(1) as pool, connect(database.owner_url, autocommit=False) as user:
        user.execute("SELECT FROM health_state")
        with pytest.raises(Unavailable, match=r"holds a table .* nothing was changed"):
            pool.submit(migrate, database.owner_url).result(60)
    assert migrate(database.owner_url) == (head, "9999")


def test_a_role_without_the_right_is_told_so(database: DatabaseUnderTest) -> None:
    with pytest.raises(ConfigError, match="permission denied"):
        prepare_database(database.api_url, "never_made")
    with pytest.raises(Unavailable, match="does not answer"):
        prepare_database("postgresql://postgres@/postgres?host=/nowhere", "never_made")


def test_a_unit_of_work_keeps_only_what_was_committed(database: DatabaseUnderTest) -> None:
    engine = create_engine_for(database.owner_url, pool_size=1)
    with unit_of_work(engine) as session:
        session.add(Tenant(name="lost"))
        session.flush()

    def fail_midway() -> None:
        with unit_of_work(engine) as session:
            session.execute(insert(Tenant).values(name="lost too"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    with unit_of_work(engine) as session:
        session.add(Tenant(name="kept"))
        session.commit()
    with unit_of_work(engine) as session:
        assert session.scalars(select(Tenant.name)).all() == ["kept"]
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("SELECT 1/0", DatabaseFault.BAD_DATA),
        (
            "SET LOCAL channels.tenant = '01900000-0000-7000-8000-000000000001'; INSERT INTO tenant VALUES (channels_tenant())",
            DatabaseFault.BAD_DATA,
        ),
        ("SELECT chr(0)", DatabaseFault.BAD_DATA),
        ("SELECT (string_agg(md5(n::text), ''))::channel_type FROM generate_series(1, 9) n", DatabaseFault.BAD_DATA),
        ("SET LOCAL statement_timeout = 10; SELECT pg_sleep(5)", DatabaseFault.RETRY),
        ("SELECT pg_terminate_backend(pg_backend_pid())", DatabaseFault.RETRY),
        ("SELECT no_such_column", DatabaseFault.STOP),
        ("SELECT valor_encrypted FROM channel_token", DatabaseFault.STOP),
        ("INSERT INTO tenant (id, name) VALUES (gen_random_uuid(), 'Acme')", DatabaseFault.STOP),  # acting for nobody
    ],
)
def test_real_errors_fall_into_their_class(database: DatabaseUnderTest, statement: str, fault: DatabaseFault) -> None:
    engine = create_engine_for(database.api_url)
    try:
        with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
    assert classify(caught.value) is fault
    assert constraint_of(caught.value) is None


def test_a_key_too_long_for_its_index_is_bad_data(database: DatabaseUnderTest) -> None:
    with connect(database.worker_url) as worker, connect(database.api_url) as api:
        connector = Rows(api).connector()
        with pytest.raises(psycopg.Error) as caught:
            worker.execute(
                "INSERT INTO channel_mapping (id, connector_id, chave_externa, entidade_type, entidade_id)"
                " SELECT gen_random_uuid(), %s, string_agg(md5(n::text), ''), 'message', gen_random_uuid()"
                " FROM generate_series(1, 1000) n",
                (connector,),
            )
    assert classify(caught.value) is DatabaseFault.BAD_DATA


def test_a_server_that_is_away_is_worth_another_try() -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect("host=/nowhere dbname=x", connect_timeout=1)
    assert classify(caught.value) is DatabaseFault.RETRY
