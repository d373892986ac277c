"""A paused route: by API and command, once whoever repeats it, in the account's snapshot within two seconds, over restarts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from services.cli.__main__ import cli
from shared.adapters.avro import Codec
from shared.adapters.snapshots import SnapshotReader
from shared.domain.errors import InvalidInput, NotFound
from shared.domain.topics import Topic
from shared.management.accounts import update_account
from shared.management.pauses import pause_account, resume_account
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, Management, management_of
from tests.integration.rows import connect
from tests.integration.services.relay.scene import RelayProcess, read_committed
from tests.waiting import eventually

StartRelay = Callable[..., RelayProcess]


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


def pause(management: Management, account: str, cause: str = "maintenance") -> None:
    management.run(lambda session: pause_account(session, account, cause, actor=ACTOR))


def resume(management: Management, account: str) -> None:
    management.run(lambda session: resume_account(session, account, actor=ACTOR))


def state(management: Management) -> list[Any]:
    return management.read("SELECT route, route_cause, route_since IS NOT NULL, cause FROM account_state")


@pytest.mark.req(72)
def test_what_is_so_already_is_no_change_and_no_event(management: Management) -> None:
    account = management.account(management.connector())
    resume(management, account)  # it was never paused
    quiet = len(management.notices(account)), len(management.audit(account))
    pause(management, account)
    since = management.read("SELECT route_since FROM account_state")
    pause(management, account)
    assert (len(management.notices(account)), len(management.audit(account))) == (quiet[0] + 1, quiet[1] + 1)
    assert state(management) == [("paused", "maintenance", True, None)]
    pause(management, account, "flow_broken")  # another cause is a change, but it began before
    assert management.read("SELECT route_since FROM account_state") == since
    resume(management, account)
    resume(management, account)
    assert state(management) == [("open", None, False, None)]
    assert len(management.notices(account)) == quiet[0] + 3
    assert [action for action, *_ in management.audit(account)][-3:] == ["account.paused", "account.paused", "account.resumed"]


def test_a_pause_and_a_connector_that_went_down_do_not_know_of_each_other(
    management: Management, database: DatabaseUnderTest
) -> None:
    account = management.account(management.connector())
    with connect(database.owner_url) as owner:
        owner.execute("INSERT INTO account_state (account_id, cause) VALUES (%s, 'connector_error')", (account,))
    pause(management, account)
    assert state(management) == [("paused", "maintenance", True, "connector_error")]
    resume(management, account)
    assert state(management) == [("open", None, False, "connector_error")]


@pytest.mark.parametrize("cause", ["", "Big", "with space", "é", "x" * 65, "_a", "a\n"])
def test_a_cause_is_a_short_code(management: Management, cause: str) -> None:
    account = management.account(management.connector())
    with pytest.raises(InvalidInput, match="short code") as caught:
        pause(management, account, cause)
    assert (caught.value.reason, caught.value.pointer) == ("cause_invalid", "/cause")
    assert state(management) == []


@pytest.mark.req(10)
def test_another_tenants_account_is_neither_paused_nor_resumed(management: Management, database: DatabaseUnderTest) -> None:
    account = management.account(management.connector())
    pause(management, account)
    other = management.another_tenant()
    for change in (lambda session: pause_account(session, account, "x", actor=ACTOR),
                   lambda session: resume_account(session, account, actor=ACTOR)):  # fmt: skip
        with pytest.raises(NotFound):
            management.run(change, tenant=other)
    with connect(database.api_url, tenant=other) as api:
        assert api.execute("UPDATE account_state SET route = 'open' WHERE account_id = %s", (account,)).rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            api.execute("INSERT INTO account_state (account_id, route) VALUES (%s, 'paused')", (account,))
    assert state(management) == [("paused", "maintenance", True, None)]


def test_of_many_at_once_one_pauses(management: Management) -> None:
    account = management.account(management.connector())
    before, start = len(management.notices(account)), threading.Barrier(6)

    def work(_: int) -> None:
        start.wait(10)
        pause(management, account)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert len(management.notices(account)) == before + 1


@pytest.mark.req(4, 72)
def test_a_pause_is_in_every_directory_within_two_seconds_and_stays_over_restarts(
    management: Management, database: DatabaseUnderTest, start_relay: StartRelay, reader: SnapshotReader,
    kafka_bootstrap: str, topics: str,
) -> None:  # fmt: skip
    account = management.account(management.connector())
    relay = start_relay()
    eventually(lambda: reader.directory.account(account), 30)

    def cause(directory: Any) -> str | None:
        known = directory.account(account)
        assert known is not None
        found: str | None = known.pause_cause
        return found

    pause(management, account)
    took = eventually(lambda: cause(reader.directory) == "maintenance", 2)
    resume(management, account)
    took = max(took, eventually(lambda: cause(reader.directory) is None, 2))
    print(f"\nat most {took * 1000:.0f} ms from the commit to the directory")
    pause(management, account, "flow_broken")
    eventually(lambda: cause(reader.directory) == "flow_broken", 2)
    relay.end()
    start_relay()
    published = len(read_committed(kafka_bootstrap, topics, Topic.ACCOUNT_SNAPSHOT))
    management.run(lambda session: update_account(session, account, {"nome_exibicao": "renamed"}, actor=ACTOR))
    eventually(lambda: len(read_committed(kafka_bootstrap, topics, Topic.ACCOUNT_SNAPSHOT)) > published, 30)
    again = SnapshotReader(kafka_bootstrap, topics, Codec())
    again.start()
    try:
        assert again.wait_ready(20)
        assert cause(again.directory) == "flow_broken"
    finally:
        again.stop()


def test_the_commands_tell_and_change_it(
    management: Management, database: DatabaseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = management.account(management.connector())
    monkeypatch.setenv("CHANNELS_DATABASE_API_URL", database.api_url)
    monkeypatch.setenv("CHANNELS_TENANT", management.tenant)

    def run(*words: str) -> str:
        told = CliRunner().invoke(cli, ["accounts", *words])
        assert told.exit_code == 0, (words, told.output, told.exception)
        return told.stdout

    assert "is paused: maintenance, since 20" in run("pause", account, "--cause", "maintenance")
    assert "maintenance" in run("list")
    assert '"pause_cause": "maintenance"' in run("show", account, "--json")
    assert "paused for" in run("report", account)
    assert run("resume", account) == f"{account} is open\n"
    assert '"pause_cause": null' in run("show", account, "--json")
    refused = CliRunner().invoke(cli, ["accounts", "pause", account, "--cause", "Not a code"])
    assert refused.exit_code != 0
