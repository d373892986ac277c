"""Reads in one round trip: of one tenant, on connections that keep nothing, with errors as a session would tell them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, bindparam, func, select, text
from sqlalchemy.exc import DBAPIError, NoResultFound

from shared.adapters.database import DatabaseFault, classify, create_engine_for, unit_of_work
from shared.adapters.reading import reading
from shared.adapters.tables import ChannelAccount, ChannelConnector
from shared.management.ownership import looked_up, owned
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of

NAMES = select(ChannelConnector.nome, ChannelConnector.id).order_by(ChannelConnector.id)
ACTING_FOR = select(func.current_setting("channels.tenant", True))


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


@pytest.fixture
def engine(database: DatabaseUnderTest) -> Iterator[Engine]:
    made = create_engine_for(database.api_url, pool_size=1)  # one connection: whatever it keeps, the next one finds
    yield made
    made.dispose()


@pytest.mark.req(10)
def test_a_reader_sees_one_tenant_and_leaves_nothing(management: Management, engine: Engine) -> None:
    ours, other = management.connector(nome="ours"), management.another_tenant()
    for _ in range(7):  # also once the server has the statement prepared
        with reading(engine, management.tenant) as reader:
            assert [(row.nome, row.id) for row in reader.execute(NAMES)] == [("ours", ours)]
        with reading(engine, other) as reader:
            assert reader.execute(NAMES).all() == []
    with engine.connect() as connection:
        assert not connection.scalar(ACTING_FOR)
        assert connection.scalars(select(ChannelConnector.nome)).all() == []


@pytest.mark.req(10)
def test_many_tenants_at_once_on_few_connections(management: Management, database: DatabaseUnderTest) -> None:
    tenants = {management.tenant: management.connector(nome="ours")}
    for _ in range(3):
        other = management.another_tenant()
        tenants[other] = management.connector(tenant_id=other)
    engine, wrong = create_engine_for(database.api_url, pool_size=2), []

    def read(tenant: str) -> None:
        for _ in range(60):
            with reading(engine, tenant) as reader:
                found = [row.id for row in reader.execute(NAMES)]
            if found != [tenants[tenant]]:
                wrong.append(found)

    threads = [threading.Thread(target=read, args=(tenant,)) for tenant in tenants for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    engine.dispose()
    assert wrong == []


def test_one_round_trip_brings_the_answers_of_several(management: Management, engine: Engine) -> None:
    connector = management.connector()
    account = management.account(connector)
    with reading(engine, management.tenant) as reader:
        names, accounts, none = reader.execute_all(
            (NAMES, {}), (select(ChannelAccount.id), {}), (select(text("1 WHERE false")), {})
        )
        assert ([row.id for row in names], accounts.one().id, none.first()) == ([connector], account, None)
        with pytest.raises(NoResultFound):
            none.one()


def test_a_row_that_is_only_looked_at_reads_like_the_object(management: Management, engine: Engine) -> None:
    account = management.account(management.connector(), metadata={"a": 1})
    with management.work() as session:
        row = owned(session, ChannelAccount, account, management.tenant)
    with reading(engine, management.tenant) as reader:
        seen = looked_up(reader, ChannelAccount, account, management.tenant)
    for column in ChannelAccount.__mapper__.column_attrs:
        assert getattr(seen, column.key) == getattr(row, column.key), column.key


def test_a_value_that_cannot_be_is_told_and_the_connection_goes_on(management: Management, engine: Engine) -> None:
    named = select(ChannelConnector.id).where(ChannelConnector.nome == bindparam("nome"))
    for _ in range(3):
        with pytest.raises(DBAPIError) as caught, reading(engine, management.tenant) as reader:
            reader.execute(named, {"nome": "a\0b"})
        assert classify(caught.value) is DatabaseFault.BAD_DATA
        with reading(engine, management.tenant) as reader:
            assert reader.execute(named, {"nome": "a"}).all() == []


@pytest.mark.parametrize("how", ["reader", "session"])
def test_a_connection_that_died_is_replaced(
    management: Management, engine: Engine, database: DatabaseUnderTest, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def ask() -> None:
        if how == "reader":
            with reading(engine, management.tenant) as reader:
                assert reader.execute(NAMES).all() == []
        else:
            with unit_of_work(engine, tenant_id=management.tenant) as session:
                assert session.execute(NAMES).all() == []

    ask()
    _end_sessions(database)
    ask()  # in use a moment ago, so nobody asked whether it lives; its end was seen all the same
    monkeypatch.setattr("shared.adapters.database._FRESH_SECONDS", 0.0)
    _end_sessions(database)
    ask()


def _end_sessions(database: DatabaseUnderTest) -> None:
    with psycopg.connect(database.superuser_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND application_name = 'channels'",
            (database.name,),
        ).fetchall()
    assert (True,) in ended
