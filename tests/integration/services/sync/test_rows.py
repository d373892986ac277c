"""`sync_job` on a real PostgreSQL, with times that the test names: when jobs are due, who has them, what wakes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from services.sync import requests
from services.sync.following import Place
from shared.adapters.avro import Codec
from shared.adapters.clock import SystemClock
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.errand_rows import MOST_WAITING, keep_errands
from shared.adapters.health_rows import moment
from shared.adapters.offset_reader import ReadRecord
from shared.adapters.sync_rows import ask_for_jobs, count_jobs, finish_job, outcome_before, take_jobs, wake_jobs
from shared.domain.enums import ConnectorType
from shared.domain.errors import Unavailable
from shared.domain.records import SyncRequired
from shared.domain.sync_causes import CERTIFICATE_MISSING, SUBSCRIPTION_PENDING
from shared.domain.syncing import OVERTAKEN, SyncOutcome, SyncRequest, SyncResult, SyncState, TakenJob
from shared.domain.topics import Topic
from shared.management.removal import delete_account, delete_connector
from shared.management.sync_results import Stored, store_sync
from shared.runtime.metrics import SyncMetrics
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of

UNOFFICIAL = {"dialect": "evolution", "base_url": "https://evolution.example.org"}
NOW, DEBOUNCE, LONGEST, LEASE = 1_900_000_000_000, 2_000, 10_000, 60_000


@dataclass
class Rows:
    """One connector, and the statements as the roles run them."""

    management: Management
    worker: Engine
    credential: Engine
    connector: str

    def ask(self, at_ms: int, cause: str = "config_changed", requests: int = 1) -> None:
        one = SyncRequest(connector_id=self.connector, account_id=None, causes=(cause,), requests=requests)
        self.management.run(lambda session: ask_for_jobs(session, [one], now_ms=at_ms, debounce_ms=DEBOUNCE, longest_ms=LONGEST))

    def take(self, at_ms: int) -> TakenJob | None:
        with unit_of_work(self.worker) as session:
            taken = take_jobs(session, now_ms=at_ms, lease_ms=LEASE, most=10)
            session.commit()
        return taken[0] if taken else None

    def finish(self, job: TakenJob, result: SyncResult, at_ms: int) -> bool:
        return self.management.run(lambda session: finish_job(session, job, result, now_ms=at_ms, again_ms=at_ms + DEBOUNCE))

    def woken_by_a_token(self, *, created_ms: int, at_ms: int) -> int:
        """How many jobs wake at that time, with one more token of the connector's, made at its own."""
        self.management.token(self.connector, created_at=moment(created_ms))
        with unit_of_work(self.credential) as session:
            woken = wake_jobs(session, at_ms)
            session.commit()
        return woken

    def stored(self, job: TakenJob, result: SyncResult, at_ms: int, seen: Collection[str] | None = None) -> Stored | None:
        """What a worker does with a result."""
        vault = self.management.vault
        given: dict[str, Any] = {"synced": (), "writes": (), "now_ms": at_ms, "again_ms": at_ms + DEBOUNCE, "actor": "sync"}
        return self.management.run(lambda session: store_sync(session, vault, job, result, seen=seen, **given))

    def due_ms(self) -> int | None:
        [(at,)] = self.management.read("SELECT (extract(epoch FROM due_at) * 1000)::bigint FROM sync_job")
        return None if at is None else int(at)

    def state(self) -> Any:
        return self.management.read("SELECT state, asked, taken, attempt FROM sync_job")[0]


@pytest.fixture
def rows(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Rows]:
    worker, credential = create_engine_for(database.worker_url), create_engine_for(database.credential_url)
    with management_of(database.api_url, tmp_path / "keys") as management:
        yield Rows(management, worker, credential, management.connector())
    worker.dispose()
    credential.dispose()


SYNCED = SyncResult(outcome=SyncOutcome.SYNCED, registered_url="u", registered_secret="w/0")


def refused(due_ms: int | None = None) -> SyncResult:
    outcome = SyncOutcome.REFUSED if due_ms is None else SyncOutcome.TRANSIENT
    return SyncResult(outcome=outcome, cause="x", due_ms=due_ms)


@pytest.mark.req(70)
def test_a_stream_of_requests_is_put_off_and_not_for_ever(rows: Rows) -> None:
    for second in range(4):
        rows.ask(NOW + second * 1_000, requests=100)
    assert rows.due_ms() == NOW + 3_000 + DEBOUNCE
    for second in range(4, 30):
        rows.ask(NOW + second * 1_000)
    assert rows.due_ms() == NOW + LONGEST
    assert rows.take(NOW + LONGEST - 1) is None
    job = rows.take(NOW + LONGEST)
    assert job is not None
    assert rows.take(NOW + LONGEST) is None  # it is somebody's
    assert rows.finish(job, SYNCED, NOW + LONGEST + 5)
    assert rows.state() == ("idle", 426, 426, 0)


@pytest.mark.req(36)
@pytest.mark.parametrize("result", [SYNCED, refused()], ids=["idle", "stopped"])
def test_who_has_a_secret_that_begins_is_looked_at_then_though_nobody_asks(rows: Rows, result: SyncResult) -> None:
    rows.ask(NOW)
    job = rows.take(NOW + DEBOUNCE)
    assert job is not None
    begins = NOW + 1_000_000
    assert rows.finish(job, replace(result, recheck_ms=begins), NOW + DEBOUNCE)
    assert rows.state()[0] in ("idle", "stopped")
    with unit_of_work(rows.worker) as session:
        assert count_jobs(session, NOW).oldest_seconds == 0  # nothing waits meanwhile
    assert rows.take(begins - 1) is None
    again = rows.take(begins)
    assert again is not None
    assert again.causes == ("secret_began",) if result is SYNCED else "secret_began" in again.causes
    assert rows.take(begins) is None  # it is somebody's
    assert rows.finish(again, result, begins + 5)
    assert rows.take(begins + 1_000_000) is None  # once


@pytest.mark.req(70)
def test_what_comes_while_it_runs_is_one_more(rows: Rows) -> None:
    rows.ask(NOW)
    job = rows.take(NOW + DEBOUNCE)
    assert job is not None
    rows.ask(NOW + 3_000, requests=7)
    rows.finish(job, SYNCED, NOW + 4_000)
    assert (rows.state(), rows.due_ms()) == (("waiting", 8, 1, 0), NOW + 4_000 + DEBOUNCE)
    again = rows.take(NOW + 9_000)
    assert again is not None
    assert again.causes == ("config_changed",)
    rows.finish(again, SYNCED, NOW + 9_100)
    assert rows.state() == ("idle", 8, 8, 0)


def test_a_pause_after_a_fault_holds_unless_something_changed(rows: Rows) -> None:
    rows.ask(NOW)
    job = rows.take(NOW + DEBOUNCE)
    assert job is not None
    rows.finish(job, refused(NOW + 500_000), NOW + 3_000)
    rows.ask(NOW + 4_000, "unknown_account")
    assert rows.due_ms() == NOW + 500_000
    rows.ask(NOW + 5_000, "requested")
    assert rows.due_ms() == NOW + 5_000 + DEBOUNCE
    assert rows.state()[3] == 1  # its attempts are counted on


def test_who_waits_for_a_person_is_woken_by_a_change_or_a_token(rows: Rows) -> None:
    rows.ask(NOW)
    job = rows.take(NOW + DEBOUNCE)
    assert job is not None
    rows.ask(NOW + DEBOUNCE, "unknown_account")  # while it runs: nothing that would change the answer
    rows.finish(job, refused(), NOW + 3_000)
    rows.ask(NOW + 4_000, "subscription_mismatch")
    assert rows.state()[:2] == ("stopped", 3)
    rows.ask(NOW + 5_000)
    assert rows.state()[0] == "waiting"
    job = rows.take(NOW + 9_000)
    assert job is not None
    assert set(job.causes) == {"config_changed", "subscription_mismatch", "unknown_account"}
    rows.finish(job, refused(), NOW + 10_000)
    with unit_of_work(rows.credential) as session:
        assert wake_jobs(session, NOW) == 0
        session.commit()
    assert rows.woken_by_a_token(created_ms=NOW + 11_000, at_ms=NOW + 20_000) == 1
    assert (rows.state()[0], rows.due_ms()) == ("waiting", NOW + 20_000)


def test_a_token_that_comes_while_it_runs_wakes_it_once(rows: Rows) -> None:
    rows.ask(NOW)
    job = rows.take(NOW + DEBOUNCE)
    assert job is not None
    # It looks for credentials, finds none, and has other calls to make before it ends: then comes the token.
    rows.finish(job, refused(), NOW + 30_000)
    assert rows.woken_by_a_token(created_ms=NOW + 10_000, at_ms=NOW + 31_000) == 1
    job = rows.take(NOW + 32_000)
    assert job is not None
    rows.finish(job, refused(), NOW + 33_000)  # it was refused with it
    with unit_of_work(rows.credential) as session:
        assert wake_jobs(session, NOW + 34_000) == 0
    assert rows.state()[0] == "stopped"


def test_who_is_refused_looks_again_where_a_token_came_after_it_had_looked(rows: Rows) -> None:
    management = rows.management

    def ended(at_ms: int) -> None:
        job = rows.take(at_ms)
        assert job is not None
        seen = {token for (token,) in management.read("SELECT id::text FROM channel_token")}
        if not seen:  # a renewal that was begun long before the job is stored now
            management.token(rows.connector, created_at=moment(NOW - 60_000))
        assert rows.stored(job, refused(), at_ms + 1_000, seen) is not None

    rows.ask(NOW)
    ended(NOW + DEBOUNCE)
    assert (rows.state()[0], rows.due_ms()) == ("waiting", NOW + DEBOUNCE + 3_000)
    ended(NOW + DEBOUNCE + 3_000)
    assert rows.state()[0] == "stopped"


def test_who_died_is_followed_by_another_who_does_not_trust_what_it_left(rows: Rows) -> None:
    rows.ask(NOW)
    first = rows.take(NOW + DEBOUNCE)
    assert first is not None
    rows.finish(first, SYNCED, NOW + 3_000)
    rows.ask(NOW + 4_000, "requested")
    dead = rows.take(NOW + 10_000)
    assert dead is not None
    assert dead.registered_secret == "w/0"
    assert rows.take(NOW + 10_000 + LEASE - 1) is None
    heir = rows.take(NOW + 10_000 + LEASE)
    assert heir is not None
    assert (heir.registered_secret, heir.causes, heir.attempt) == (None, ("requested",), 2)
    assert not rows.finish(dead, SYNCED, NOW + 90_000)  # it comes back after all, and changes nothing
    with rows.management.work() as session:
        assert outcome_before(session, dead) is None
    assert rows.finish(heir, SYNCED, NOW + 91_000)
    assert rows.state() == ("idle", 2, 2, 0)


def test_what_is_not_done_is_counted(rows: Rows) -> None:
    rows.ask(NOW)
    with unit_of_work(rows.worker) as session:
        counts = count_jobs(session, NOW + DEBOUNCE + 60_000)
    assert (counts.jobs, counts.oldest_seconds) == ({SyncState.WAITING: 1}, 60.0)


def test_strangers_who_name_certificates_take_no_place_of_a_confirmation(rows: Rows) -> None:
    management = rows.management

    def keep(*errands: tuple[str, str]) -> None:
        management.run(lambda session: keep_errands(session, [(rows.connector, *one) for one in errands]))

    keep(*((CERTIFICATE_MISSING, f"https://sns.sa-east-1.amazonaws.com/{number}.pem") for number in range(100)))
    keep((CERTIFICATE_MISSING, "https://sns.sa-east-1.amazonaws.com/one-more.pem"), (SUBSCRIPTION_PENDING, "place"))
    counts = management.read("SELECT cause, count(*) FROM sync_errand GROUP BY 1 ORDER BY 1")
    assert counts == [(CERTIFICATE_MISSING, MOST_WAITING), (SUBSCRIPTION_PENDING, 1)]


@pytest.mark.req(36)
@pytest.mark.parametrize("other", ["idle", "running"])
def test_who_registered_after_its_lease_has_the_job_done_once_more(rows: Rows, other: str) -> None:
    rows.ask(NOW)
    late = rows.take(NOW + DEBOUNCE)
    assert late is not None
    at_ms = NOW + DEBOUNCE + LEASE
    second = rows.take(at_ms)
    assert second is not None
    if other == "idle":
        assert rows.finish(second, replace(SYNCED, registered_secret="w/1"), at_ms + 1_000)
    assert rows.stored(late, SYNCED, at_ms + 2_000) is None  # with the secret that the other one has replaced
    if other == "running":
        assert rows.finish(second, replace(SYNCED, registered_secret="w/1"), at_ms + 3_000)
    third = rows.take(at_ms + 6_000)
    assert third is not None
    assert OVERTAKEN in third.causes
    assert rows.finish(third, replace(SYNCED, registered_secret="w/1"), at_ms + 7_000)
    assert rows.state()[0] == "idle"


def test_who_told_nobody_anything_before_it_was_overtaken_leaves_the_job_alone(rows: Rows) -> None:
    rows.ask(NOW)
    late = rows.take(NOW + DEBOUNCE)
    second = rows.take(NOW + DEBOUNCE + LEASE)
    assert late is not None
    assert second is not None
    assert rows.finish(second, SYNCED, NOW + DEBOUNCE + LEASE + 1_000)
    assert rows.stored(late, refused(), NOW + DEBOUNCE + LEASE + 2_000) is None
    assert rows.state()[0] == "idle"


@pytest.mark.req(70)
@pytest.mark.parametrize("gone", ["connector", "account"])
def test_what_is_deleted_while_a_request_is_counted_ends_no_process(
    rows: Rows, database: DatabaseUnderTest, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    management = rows.management
    connector = management.connector(tipo=ConnectorType.WHATSAPP_UNOFFICIAL, config=UNOFFICIAL)
    account = management.account(connector, config={"instance": "one"})
    api, metrics = create_engine_for(database.api_url), SyncMetrics(CollectorRegistry())
    codec, clock = Codec(), SystemClock()
    taker = requests.Requests(
        requests.RequestParts(api=api, codec=codec, clock=clock, metrics=metrics, debounce_ms=DEBOUNCE, longest_ms=LONGEST)
    )
    event = SyncRequired(
        tenant_id=management.tenant,
        connector_id=connector,
        account_id=account,
        cause="account_created",
        detail="",
        requested_at_ms=1,
    )
    topic, topic_id = Topic.SYNC_REQUIRED.value, str(uuid4())
    value = codec.encode(Topic.SYNC_REQUIRED, event)
    record = ReadRecord(topic=topic, partition=0, offset=0, key=account, value=value)
    look = requests.known_subjects

    def deleted_after(*asked: Any) -> Any:
        found = look(*asked)
        monkeypatch.setattr(requests, "known_subjects", look)
        management.run(lambda session: delete_account(session, account, actor="test"))
        if gone == "connector":
            management.run(lambda session: delete_connector(session, connector, actor="test"))
        return found

    monkeypatch.setattr(requests, "known_subjects", deleted_after)
    start = taker.begin(topic, 0, topic_id)
    place = Place(topic=topic, partition=0, topic_id=topic_id, start=start)
    with pytest.raises(Unavailable, match="deleted meanwhile"):  # the follower reads again from where the database stands
        taker.take(Topic.SYNC_REQUIRED, place, [record])
    assert taker.begin(topic, 0, topic_id) == start
    taker.take(Topic.SYNC_REQUIRED, place, [record])
    assert metrics.requests.labels("unknown")._value.get() == 1
    assert management.read("SELECT 1 FROM sync_job") == []
    taker.close()
