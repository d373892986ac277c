"""Rules that hold only if two transactions see each other, raced by raw SQL on two connections as the role of the API."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import Rows, connect

_RACES = 1000
_PATIENCE_SECONDS = 20

# The account's rule without its lock: what somebody might write who thinks that a plain look is enough.
_WITHOUT_LOCK = """
CREATE OR REPLACE FUNCTION account_needs_active_connector() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (SELECT status FROM channel_connector WHERE id = NEW.connector_id) <> 'active' THEN
        PERFORM channels_refuse('connector_not_active', '');
    END IF;
    RETURN NEW;
END $$
"""


class Racers:
    """Two connections that run one transaction each at the same moment."""

    def __init__(self, database: DatabaseUnderTest) -> None:
        self._connections = [connect(database.api_url, autocommit=False) for _ in range(2)]
        self._pool = ThreadPoolExecutor(2)
        self._random = random.Random(57)

    def __enter__(self) -> Racers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    def act_for(self, tenant: str) -> None:
        """Both act for this tenant from here on."""
        for connection in self._connections:
            connection.execute("SELECT set_config('channels.tenant', %s, false)", (tenant,))
            connection.commit()

    def run(self, *transactions: Sequence[tuple[str, tuple[Any, ...]]]) -> list[str]:
        """Start both at once, each lingering a moment before its commit; per transaction `committed` or the refusal."""
        start = threading.Barrier(2)
        pauses = [(self._random.random() * 0.001, self._random.random() * 0.002) for _ in transactions]

        def one(connection: psycopg.Connection[Any], statements: Any, before: float, linger: float) -> str:
            start.wait(_PATIENCE_SECONDS)
            try:
                connection.execute("SELECT pg_sleep(%s)", (before,))
                for statement, values in statements:
                    connection.execute(statement, values)
                connection.execute("SELECT pg_sleep(%s)", (linger,))
                connection.commit()
            except (psycopg.errors.CheckViolation, psycopg.errors.DeadlockDetected) as error:
                connection.rollback()
                return error.diag.constraint_name or "deadlock"
            return "committed"

        started = [
            self._pool.submit(one, connection, statements, *pause)
            for connection, statements, pause in zip(self._connections, transactions, pauses, strict=True)
        ]
        return [future.result(_PATIENCE_SECONDS) for future in started]


def race_activation(database: DatabaseUnderTest, races: int, reset: Callable[[Rows, str, str], None]) -> tuple[int, set[str]]:
    """Activate an account while its connector leaves active; (violations, how the activations ended)."""
    violations, ends = 0, set()
    with connect(database.api_url) as connection, Racers(database) as racers:
        rows = Rows(connection)
        racers.act_for(rows.tenant)
        connector = rows.active_connector()
        account = rows.account(connector)
        for _ in range(races):
            activation, _ = racers.run(
                [("UPDATE channel_account SET status = 'active' WHERE id = %s", (account,))],
                [("UPDATE channel_connector SET status = 'error' WHERE id = %s", (connector,))],
            )
            ends.add(activation)
            violated = "SELECT 1 FROM channel_account a JOIN channel_connector c ON c.id = a.connector_id"
            found = connection.execute(f"{violated} WHERE a.status = 'active' AND c.status <> 'active'").fetchone()
            violations += found is not None
            reset(rows, connector, account)
    return violations, ends


def back_to_start(rows: Rows, connector: str, account: str) -> None:
    rows.set("channel_account", account, status="inactive")
    rows.set("channel_connector", connector, status="active")


@pytest.mark.req(57)
def test_no_race_leaves_an_active_account_under_an_inactive_connector(database: DatabaseUnderTest) -> None:
    violations, ends = race_activation(database, _RACES, back_to_start)
    assert violations == 0
    assert {"committed", "connector_not_active"} <= ends  # both orders happened, so it was a race


@pytest.mark.req(57)
def test_the_race_finds_a_rule_without_its_lock(database: DatabaseUnderTest) -> None:
    with connect(database.owner_url) as owner:
        owner.execute(_WITHOUT_LOCK)
    violations, _ = race_activation(database, 100, back_to_start)
    assert violations > 0


@pytest.mark.req(57)
def test_new_accounts_race_too(database: DatabaseUnderTest) -> None:
    with connect(database.api_url) as connection, Racers(database) as racers:
        rows = Rows(connection)
        racers.act_for(rows.tenant)
        connector = rows.active_connector()
        insert = (
            "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id)"
            " VALUES (gen_random_uuid(), %s, gen_random_uuid()::text, 'active', %s)"
        )
        for _ in range(100):
            racers.run(
                [(insert, (connector, rows.unit))],
                [("UPDATE channel_connector SET status = 'error' WHERE id = %s", (connector,))],
            )
            assert connection.execute("SELECT count(*) FROM channel_account WHERE status = 'active'").fetchone() == (0,)
            connection.execute("DELETE FROM channel_account")
            rows.set("channel_connector", connector, status="active")


@pytest.mark.req(56)
def test_two_transactions_cannot_each_take_one_of_the_last_two_tokens(database: DatabaseUnderTest) -> None:
    with connect(database.api_url) as connection, Racers(database) as racers:
        rows = Rows(connection)
        racers.act_for(rows.tenant)
        connector = rows.active_connector()
        for _ in range(100):
            rows.token(connector)
            tokens = [row[0] for row in connection.execute("SELECT id FROM channel_token").fetchall()]
            delete = "DELETE FROM channel_token WHERE id = %s"
            ends = racers.run([(delete, (tokens[0],))], [(delete, (tokens[1],))])
            assert sorted(ends) == ["committed", "token_missing"]
            assert connection.execute("SELECT count(*) FROM channel_token").fetchone() == (1,)
