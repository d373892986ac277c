"""Leases and progress of mailboxes on a real PostgreSQL, raced where they can race."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from shared.adapters.database import create_engine_for
from shared.adapters.mailbox_positions import Lease, MailboxPositions, Position
from shared.domain.errors import Fenced
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import Rows, connect
from tests.waiting import eventually

READ = Position(server="ana@mail.example.com:993/INBOX", uid_validity=7, last_uid=12)


@pytest.fixture
def accounts(database: DatabaseUnderTest) -> list[str]:
    with connect(database.owner_url) as connection:
        rows = Rows(connection)
        connector = rows.insert(
            "channel_connector", tenant_id=rows.tenant, tipo="email", nome="Mail", config='{"dialect": "imap"}', status="pending"
        )
        return [rows.account(connector, identidade=f"box{number}@example.com") for number in range(4)]


@pytest.fixture
def holders(database: DatabaseUnderTest) -> Iterator[list[MailboxPositions]]:
    engine = create_engine_for(database.worker_url, pool_size=8)
    yield [MailboxPositions(engine, f"holder {number}", lease_seconds=1) for number in range(8)]
    engine.dispose()


def test_a_mailbox_has_one_holder_and_the_next_takes_over_when_its_time_is_up(
    accounts: list[str], holders: list[MailboxPositions]
) -> None:
    first, second = holders[:2]
    (lease,) = first.take(accounts[:1], 10)
    assert (lease.epoch, lease.position) == (1, Position())
    assert second.take(accounts[:1], 10) == []
    assert first.renew({lease.account_id: lease.epoch}) == {lease.account_id}
    first.move(lease, READ)
    taken: list[Lease] = []
    eventually(lambda: bool(taken.extend(second.take(accounts[:1], 10)) or taken), 5)
    assert taken[0].epoch == 2
    assert replace(taken[0].position, moved_at=None) == READ
    assert first.renew({lease.account_id: lease.epoch}) == set()
    with pytest.raises(Fenced):
        first.move(lease, replace(READ, last_uid=5))
    first.release(lease.account_id, lease.epoch)  # not its own any more: nothing happens
    assert second.renew({lease.account_id: 2}) == {lease.account_id}


def test_a_lease_given_back_is_free_at_once(accounts: list[str], holders: list[MailboxPositions]) -> None:
    (lease,) = holders[0].take(accounts[:1], 1)
    holders[0].release(lease.account_id, lease.epoch)
    assert [taken.epoch for taken in holders[1].take(accounts[:1], 1)] == [2]


def test_of_many_that_take_at_once_each_mailbox_goes_to_one(accounts: list[str], holders: list[MailboxPositions]) -> None:
    start = threading.Barrier(len(holders))

    def take(holder: MailboxPositions) -> list[Lease]:
        start.wait(10)
        return holder.take(accounts, 2)

    with ThreadPoolExecutor(len(holders)) as pool:
        taken = [lease for leases in pool.map(take, holders) for lease in leases]
    assert len({lease.account_id for lease in taken}) == len(taken) <= len(accounts)
    rest = holders[0].take(accounts, 10)
    assert {lease.account_id for lease in [*taken, *rest]} == set(accounts)


def test_an_account_that_is_gone_is_no_error(accounts: list[str], holders: list[MailboxPositions]) -> None:
    assert holders[0].take(["01900000-0000-7000-8000-000000000001"], 5) == []
    assert holders[0].take([], 5) == []
    assert holders[0].renew({}) == set()


def test_what_is_configured_is_read_of_one_instant(accounts: list[str], holders: list[MailboxPositions]) -> None:
    rows = holders[0].configured()
    assert set(rows.accounts) == set(accounts)
    (connector,) = rows.connectors.values()
    assert connector.config == {"dialect": "imap"}


def test_the_api_may_look_and_not_touch(database: DatabaseUnderTest) -> None:
    with connect(database.api_url) as connection:
        assert connection.execute("SELECT count(*) FROM mailbox_position").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE mailbox_position SET last_uid = 0")
