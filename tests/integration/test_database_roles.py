"""What each role may do on the live database, and that nobody else may even connect."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import Rows, connect

_ROLES = ("channels_api", "channels_worker", "channels_credential")


@pytest.fixture
def connector(database: DatabaseUnderTest) -> Iterator[str]:
    with connect(database.api_url) as connection:
        rows = Rows(connection)
        connector = rows.connector()
        rows.token(connector)
        yield connector


def denied(url: str, statement: str) -> bool:
    with connect(url) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
        return False


@pytest.mark.req(74)
@pytest.mark.usefixtures("connector")
def test_only_the_credential_role_reads_tokens(database: DatabaseUnderTest) -> None:
    read = "SELECT valor_encrypted FROM channel_token"
    assert denied(database.worker_url, read)
    assert denied(database.api_url, read)
    with connect(database.credential_url) as connection:
        assert connection.execute(read).fetchall() == [("x",)]
    assert denied(database.worker_url, "SELECT id FROM channel_token")
    assert not denied(database.api_url, "SELECT id, connector_id, kind, expires_at, metadata, created_at FROM channel_token")
    assert denied(database.api_url, "SELECT * FROM channel_token")
    assert denied(database.api_url, "UPDATE channel_token SET valor_encrypted = 'y'")


@pytest.mark.req(74)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE channel_connector SET nome = 'x'",
        "UPDATE channel_account SET status = 'inactive'",
        "DELETE FROM channel_webhook",
        "SELECT 1 FROM audit_log",
        "UPDATE audit_log SET actor = 'me'",
        "INSERT INTO outbox (topic, subject_id) VALUES ('channel.account.snapshot', gen_random_uuid())",
        "UPDATE data_key SET wrapped = 'x'",
        "DELETE FROM channel_mapping",
        "UPDATE delivery_state SET item = ''",
        "CREATE TABLE mine ()",
        "ALTER TABLE claim DISABLE TRIGGER ALL",
    ],
)
def test_the_worker_may_not(database: DatabaseUnderTest, statement: str) -> None:
    assert denied(database.worker_url, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM claim FOR UPDATE",
        "DELETE FROM claim WHERE claimed_at < now() - interval '10 days'",
        "SELECT 1 FROM router_progress FOR UPDATE",
        "SELECT 1 FROM channel_mapping FOR UPDATE",
        "UPDATE outbox SET batch_number = 1",
        "DELETE FROM outbox",
        "SELECT 1 FROM channel_connector, channel_account, channel_webhook, account_state, snapshot_version, data_key",
        "SELECT 1 FROM tenant, org_unit, automation_flow",
        "SELECT 1 FROM dead_letter_mark FOR UPDATE",
        "DELETE FROM dead_letter_mark",
    ],
)
def test_the_worker_may(database: DatabaseUnderTest, statement: str) -> None:
    assert not denied(database.worker_url, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_log",
        "UPDATE audit_log SET actor = 'me'",
        "SELECT 1 FROM dead_letter_mark",
        "DELETE FROM outbox",
        "DELETE FROM data_key",
        "DELETE FROM tenant",
    ],
)
def test_the_api_cannot_cover_its_tracks(database: DatabaseUnderTest, statement: str) -> None:
    assert denied(database.api_url, statement)


def test_no_role_has_a_right_beyond_its_grants(database: DatabaseUnderTest) -> None:
    with connect(database.owner_url) as connection:
        powers = connection.execute(
            "SELECT bool_or(rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls OR rolreplication) FROM pg_roles"
            " WHERE rolname LIKE 'channels\\_%'"
        ).fetchone()
        assert powers == (False,)
        public = connection.execute(
            "SELECT c.relname FROM pg_class c, aclexplode(c.relacl) a"
            " WHERE a.grantee = 0 AND c.relnamespace = 'public'::regnamespace"
        ).fetchall()
        assert public == []
        assert connection.execute("SELECT has_database_privilege('public', current_database(), 'CONNECT')").fetchone() == (False,)
        for role in _ROLES:
            owned = connection.execute("SELECT count(*) FROM pg_class WHERE relowner = %s::regrole", (role,)).fetchone()
            assert owned == (0,)
