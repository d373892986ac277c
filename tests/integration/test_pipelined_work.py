"""Units of work whose statements travel together: the same transaction in fewer round trips, whatever refuses it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, bindparam, func, select, update
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from shared.adapters.clock import new_uuid7
from shared.adapters.database import DatabaseFault, classify, create_engine_for, unit_of_work
from shared.adapters.pipelined_work import PipelinedSession, pipelined_work
from shared.adapters.tables import ChannelAccount, ChannelConnector
from shared.domain.enums import AccountStatus
from shared.domain.errors import Conflict, InvalidInput, Unavailable
from shared.management.accounts import NewAccount, change_account_status, create_account, update_account
from shared.management.ownership import owned_for_change
from shared.management.rules import rules_enforced
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, PUBLIC_URL, Management, management_of
from tests.waiting import allowed

NAMES = select(ChannelConnector.nome).order_by(ChannelConnector.id)
RENAME = update(ChannelConnector.__table__).where(ChannelConnector.id == bindparam("row")).values(nome=bindparam("called"))
TENANT = select(func.current_setting("channels.tenant", True).label("tenant"))


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


@pytest.fixture
def engine(database: DatabaseUnderTest) -> Iterator[Engine]:
    made = create_engine_for(database.api_url, pool_size=1)  # one connection: whatever it keeps, the next one finds
    yield made
    made.dispose()


class Trips:
    """Counts how often the driver waits for an answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        send = psycopg.Connection.wait

        def counted(connection: Any, generator: Any, *more: Any, **named: Any) -> Any:
            before = connection.pgconn.transaction_status, connection.pgconn.pipeline_status
            self.count += before != (psycopg.pq.TransactionStatus.IDLE, psycopg.pq.PipelineStatus.OFF)
            return send(connection, generator, *more, **named)

        monkeypatch.setattr(psycopg.Connection, "wait", counted)


@pytest.mark.req(7)
def test_it_acts_for_one_tenant_and_leaves_nothing(management: Management, engine: Engine) -> None:
    management.connector(nome="ours")
    other = management.another_tenant()
    for _ in range(7):  # also once the server has the statements prepared
        with pipelined_work(engine, tenant_id=management.tenant) as session:
            assert [row.nome for row in session.execute_all((NAMES, {}))[0]] == ["ours"]
            assert session.scalars(NAMES).all() == ["ours"]  # the session's own way, in the same transaction
        with pipelined_work(engine, tenant_id=other) as session:
            assert session.scalars(NAMES).all() == []
            assert session.execute_all((NAMES, {})) == [[]]
    with engine.connect() as connection:
        assert not connection.scalar(TENANT)


def test_an_update_takes_two_round_trips(management: Management, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    account = management.account(management.connector())

    def change(name: str) -> None:
        with rules_enforced(), pipelined_work(engine, tenant_id=management.tenant) as session:
            row = owned_for_change(session, ChannelAccount, account, management.tenant)
            update_account(session, row.id, {"nome_exibicao": name}, actor=ACTOR)
            session.commit()

    change("first")  # opens the connection
    trips = Trips(monkeypatch)
    change("second")
    assert trips.count == 2
    [_, first, second] = management.audit(account)
    assert first == ("account.updated", {"nome_exibicao": None}, {"nome_exibicao": "first"})
    assert second == ("account.updated", {"nome_exibicao": "first"}, {"nome_exibicao": "second"})
    assert (management.version(account), len(management.notices(account))) == (3, 3)


def test_what_waits_is_in_order_with_the_session_s_own_statements(management: Management, engine: Engine) -> None:
    connector = management.connector(nome="before")
    with pipelined_work(engine, tenant_id=management.tenant) as session:
        session.send_later(RENAME, {"row": connector, "called": "waited"})
        assert session.scalar(NAMES) == "waited"
        session.execute(RENAME, {"row": connector, "called": "at once"})
        session.send_later(RENAME, {"row": connector, "called": "last"})
        session.commit()
        session.send_later(RENAME, {"row": connector, "called": "rolled back"})
        session.rollback()
        session.send_later(RENAME, {"row": connector, "called": "in the next transaction"})
        session.commit()
    with management.work() as session:
        assert session.scalar(NAMES) == "in the next transaction"


def test_nothing_stays_of_what_was_not_committed(management: Management, engine: Engine) -> None:
    connector = management.connector(nome="before")
    with pipelined_work(engine, tenant_id=management.tenant) as session:
        session.send_later(RENAME, {"row": connector, "called": "never sent"})
    with unit_of_work(engine, tenant_id=management.tenant) as session:  # on the same connection
        assert session.scalar(NAMES) == "before"
    with pipelined_work(engine, tenant_id=management.tenant) as session:
        session.send_later(RENAME, {"row": connector, "called": "sent"})
        assert session.scalar(NAMES) == "sent"
    with unit_of_work(engine, tenant_id=management.tenant) as session:  # on the same connection
        assert session.scalar(NAMES) == "before"
    with pipelined_work(engine, tenant_id=management.tenant) as session:
        session.commit()  # of nothing
        assert session.scalar(NAMES) == "before"


def test_a_refusal_is_told_at_the_commit_and_takes_everything_with_it(management: Management, engine: Engine) -> None:
    account = management.account(management.connector())
    before = management.audit(account), management.notices(account), management.version(account)

    def renamed_and_active(session: PipelinedSession) -> None:
        row = owned_for_change(session, ChannelAccount, account, management.tenant)
        update_account(session, row.id, {"nome_exibicao": "lost with it"}, actor=ACTOR)
        change_account_status(session, account, AccountStatus.ACTIVE, actor=ACTOR)

    for _ in range(3):
        with pytest.raises(Conflict) as refused:
            in_one(engine, management, renamed_and_active)
        assert refused.value.reason == "connector_not_active"
        with management.work() as session:
            assert session.get_one(ChannelAccount, account).nome_exibicao is None
        assert (management.audit(account), management.notices(account), management.version(account)) == before


def test_a_refused_creation_leaves_nothing_and_says_what_is_wrong(management: Management, engine: Engine) -> None:
    connector = management.connector()
    management.account(connector)
    values = {"identidade": "5511900000002", "org_unit_id": management.unit, "config": {"phone_number_id": "100000000000002"}}
    taken, unknown = {"identidade": "5511900000001"}, {"org_unit_id": new_uuid7()}
    for wrong, error, reason in ((taken, Conflict, "identity_taken"), (unknown, InvalidInput, "org_unit_unknown")):
        new = NewAccount(**{**values, **wrong})
        with pytest.raises(error) as refused:
            in_one(engine, management, lambda one: create_account(one, connector, new, public_url=PUBLIC_URL, actor=ACTOR))  # noqa: B023
        assert refused.value.reason == reason
    assert management.read("SELECT count(*) FROM channel_account") == [(1,)]


def test_what_the_driver_forgets_after_a_rollback_is_prepared_again(management: Management, engine: Engine) -> None:
    connector = management.connector(nome="before")
    for number in range(4):
        with pipelined_work(engine, tenant_id=management.tenant) as session:
            session.execute_all((NAMES, {}))
            for _ in range(8):  # so often that the driver prepares it, and lets the server forget all that is prepared
                session.scalar(NAMES)
        with pipelined_work(engine, tenant_id=management.tenant) as session:
            session.send_later(RENAME, {"row": connector, "called": f"after {number}"})
            assert session.execute_all((NAMES, {}))[0].one().nome == f"after {number}"
            session.commit()
    assert management.read("SELECT nome FROM channel_connector") == [("after 3",)]


def test_a_value_that_cannot_be_is_told_and_the_connection_goes_on(management: Management, engine: Engine) -> None:
    connector = management.connector(nome="before")
    for _ in range(3):
        with pytest.raises(DBAPIError) as caught:
            in_one(engine, management, lambda session: session.send_later(RENAME, {"row": connector, "called": "a\0b"}))
        assert classify(caught.value) is DatabaseFault.BAD_DATA
        with pipelined_work(engine, tenant_id=management.tenant) as session:
            assert session.scalar(NAMES) == "before"


@pytest.mark.parametrize("when", ["asking", "committing", "through the session"])
def test_a_connection_that_dies_in_between_is_told_and_replaced(
    management: Management, engine: Engine, database: DatabaseUnderTest, when: str
) -> None:
    connector = management.connector(nome="before")

    def dying(session: PipelinedSession) -> None:
        session.execute_all((NAMES, {}))
        session.send_later(RENAME, {"row": connector, "called": "lost"})
        end_sessions(database)
        if when == "asking":
            session.execute_all((NAMES, {}))
        if when == "through the session":
            session.scalar(NAMES)

    with pytest.raises(Unavailable):
        in_one(engine, management, dying)
    with pipelined_work(engine, tenant_id=management.tenant) as session:
        assert session.execute_all((NAMES, {}))[0].one().nome == "before"


@pytest.mark.req(57)
def test_what_is_read_with_the_lock_is_what_the_one_before_left(management: Management, database: DatabaseUnderTest) -> None:
    account = management.account(management.connector())
    engine, seen = create_engine_for(database.api_url, pool_size=2), list[str | None]()

    def second() -> None:
        with pipelined_work(engine, tenant_id=management.tenant) as session:
            seen.append(owned_for_change(session, ChannelAccount, account, management.tenant).nome_exibicao)

    with pipelined_work(engine, tenant_id=management.tenant) as session:
        row = owned_for_change(session, ChannelAccount, account, management.tenant)
        update_account(session, row.id, {"nome_exibicao": "by the first"}, actor=ACTOR)
        waiting = threading.Thread(target=second)
        waiting.start()
        wait_for_lock(database)
        session.commit()
    waiting.join(20)
    engine.dispose()
    assert seen == ["by the first"]


def test_objects_read_so_are_those_of_the_session(management: Management, engine: Engine) -> None:
    account = management.account(management.connector(), metadata={"a": 1})
    with pipelined_work(engine, tenant_id=management.tenant) as session:
        row = owned_for_change(session, ChannelAccount, account, management.tenant)
        plain = {column.key: getattr(row, column.key) for column in ChannelAccount.__mapper__.column_attrs}
        session.expire_all()
        loaded = {name: getattr(row, name) for name in plain}
        assert loaded == plain  # as the session itself loads them
        assert [type(value) for value in loaded.values()] == [type(value) for value in plain.values()]
        assert session.get(ChannelAccount, account) is row
        row.nome_exibicao = "by a flush"
        assert owned_for_change(session, ChannelAccount, account, management.tenant) is row
        assert row.nome_exibicao == "by a flush"
        session.commit()
    with management.work() as session:
        assert session.get_one(ChannelAccount, account).nome_exibicao == "by a flush"


def test_savepoints_are_refused(management: Management, engine: Engine) -> None:
    with pytest.raises(NotImplementedError):
        in_one(engine, management, lambda session: session.begin_nested())


def in_one(engine: Engine, management: Management, work: Callable[[PipelinedSession], object]) -> None:
    """One committed transaction for our tenant."""
    with rules_enforced(), pipelined_work(engine, tenant_id=management.tenant) as session:
        work(session)
        session.commit()


def end_sessions(database: DatabaseUnderTest) -> None:
    with psycopg.connect(database.superuser_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND application_name = 'channels'",
            (database.name,),
        )


def wait_for_lock(database: DatabaseUnderTest, seconds: float = 10) -> None:
    deadline = time.monotonic() + allowed(seconds)
    with psycopg.connect(database.superuser_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        while connection.execute(waiting, (database.name,)).fetchone() == (0,):
            assert time.monotonic() < deadline, "nobody waits for the lock"
            time.sleep(0.01)


def test_who_goes_on_after_a_refused_statement_is_told_that_nothing_was_committed(management: Management, engine: Engine) -> None:
    connector = management.connector(nome="before")
    with pipelined_work(engine, tenant_id=management.tenant) as session:
        session.send_later(RENAME, {"row": connector, "called": "lost"})
        with pytest.raises(DBAPIError):
            session.execute(select(1 / (func.length("") * 1)))
        with pytest.raises(DBAPIError, match="InFailedSqlTransaction"):
            session.commit()
    with pipelined_work(engine, tenant_id=management.tenant) as session:
        assert session.scalar(NAMES) == "before"


def test_who_goes_on_after_a_refused_flush_sends_nothing_outside_of_a_transaction(
    management: Management, database: DatabaseUnderTest
) -> None:
    connector = management.connector(nome="before")
    engine = create_engine_for(database.owner_url)  # no row-level security would hold up what has no tenant
    with pipelined_work(engine, tenant_id=management.tenant) as session:
        row = session.get_one(ChannelConnector, connector)
        row.tenant_id = new_uuid7()
        with pytest.raises(DBAPIError):
            session.flush()
        with pytest.raises(PendingRollbackError):
            session.send_later(RENAME, {"row": connector, "called": "outside"})
        with pytest.raises(PendingRollbackError):
            session.commit()
    with engine.connect() as connection:
        assert connection.scalar(NAMES) == "before"
    engine.dispose()
