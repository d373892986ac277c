"""Row 70: requests coalesce, none is lost and none is done twice; a process of sync that is killed anywhere leaves no harm."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from confluent_kafka import Producer

from shared.adapters.avro import Codec
from shared.adapters.kafka import client_config, full_name
from shared.domain.records import SyncRequired
from shared.domain.topics import Topic
from shared.management.sync_requests import sync_account, sync_connector
from tests.integration.management import ACTOR
from tests.integration.rows import connect
from tests.integration.services.relay.scene import read_committed
from tests.integration.services.sync.killed_process import STEPS
from tests.integration.services.sync.site import EDGE, KILLED, OLD, RELAY, SYNC, Registered, Site
from tests.integration.services.sync.test_registering import press


def tell(site: Site, one: Registered, count: int, cause: str = "unknown_account", **changes: Any) -> None:
    """So many requests about the connector, in the real topic."""
    producer = Producer({**client_config(site.bootstrap, "test"), "enable.idempotence": True, "linger.ms": 5})
    values = {"tenant_id": site.management.tenant, "connector_id": one.connector, "account_id": None}
    event = SyncRequired(**{**values, **changes}, cause=cause, detail="", requested_at_ms=1)
    value = Codec().encode(Topic.SYNC_REQUIRED, event)
    for _ in range(count):
        producer.produce(full_name(site.prefix, Topic.SYNC_REQUIRED), value, one.connector)
    assert producer.flush(30) == 0


def finished(site: Site, one: Registered) -> int:
    """How many syncs of this connector have ended, of all processes."""
    events = {"sync_done", "sync_failed"}
    lines = [line for process in site.processes if "sync" in process.log.name for line in process.lines()]
    return sum(line["event"] in events and line.get("connector_id") == one.connector for line in lines)


@pytest.mark.req(70)
@pytest.mark.parametrize("cause", ["unknown_account", "requested"])
def test_a_burst_of_a_thousand_requests_is_one_sync(shared_site: Site, cause: str) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    before, asked = finished(site, one), site.job(one.subject)["asked"]  # type: ignore[index]
    tell(site, one, 1_000, cause)
    site.until(lambda: (site.job(one.subject) or {}).get("asked") == asked + 1_000, "counted")
    site.until(lambda: (site.job(one.subject) or {}).get("taken") == asked + 1_000, "taken")
    site.until_at(one.subject, "idle", "synced")
    assert finished(site, one) == before + 1


@pytest.mark.req(70)
def test_what_is_asked_while_a_sync_runs_is_exactly_one_more(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    before = finished(site, one)
    site.played.delay_seconds = 1.0
    try:
        press(site, one)
        site.until(lambda: (site.job(one.subject) or {}).get("state") == "running", "running")
        tell(site, one, 300, "config_changed")
        site.until(lambda: finished(site, one) == before + 1, "the first")
    finally:
        site.played.delay_seconds = 0.0
    site.until(lambda: finished(site, one) == before + 2, "one more")
    site.until_at(one.subject, "idle", "synced")
    assert finished(site, one) == before + 2


@pytest.mark.req(70)
def test_what_was_only_seen_does_not_hasten_who_waits_for_a_person(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    good, one.played.about["token"] = one.played.about["token"], f"{one.played.id}:AAsimulated-token-that-was-revoked2"
    press(site, one)
    site.until_at(one.subject, "stopped", "refused")
    ended, asked = finished(site, one), site.job(one.subject)["asked"]  # type: ignore[index]
    tell(site, one, 20, "unknown_account")
    site.until(lambda: (site.job(one.subject) or {}).get("asked") == asked + 20, "counted")
    assert (site.job(one.subject)["state"], finished(site, one)) == ("stopped", ended)  # type: ignore[index]
    one.played.about["token"] = good
    tell(site, one, 1, "config_changed")
    site.until_at(one.subject, "idle", "synced")


@pytest.mark.req(70)
def test_a_request_about_nothing_costs_itself_only(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    other = site.management.another_tenant()
    name = 'channels_sync_requests_total{result="unknown"}'
    syncs = [process for process in site.processes if "sync" in process.log.name]
    before = sum(process.metric(name) for process in syncs)
    tell(site, one, 1, tenant_id=other)  # names a connector of somebody else's
    tell(site, one, 1, account_id="01900000-0000-7000-8000-000000000001")
    producer = Producer(client_config(site.bootstrap, "test"))
    producer.produce(full_name(site.prefix, Topic.SYNC_REQUIRED), b"no record")
    producer.produce(full_name(site.prefix, Topic.SYNC_REQUIRED), None, one.connector)
    assert producer.flush(20) == 0
    asked = site.job(one.subject)["asked"]  # type: ignore[index]
    tell(site, one, 1)
    site.until(lambda: (site.job(one.subject) or {}).get("asked") == asked + 1, "the good one")
    assert sum(process.metric(name) for process in syncs) == before + 2
    refused = [line for process in syncs for line in process.lines() if line["event"] == "sync_request_refused"]
    assert len(refused) == 2


@pytest.mark.req(70)
def test_the_relay_publishes_each_request_once_as_it_was_made(shared_site: Site) -> None:
    site, one = shared_site, shared_site.evolution()
    site.until_at(one.subject, "idle", "synced")
    management = site.management
    asked = management.run(lambda session: sync_account(session, one.account, actor=ACTOR))
    whole = management.run(lambda session: sync_connector(session, one.connector, actor=ACTOR))
    site.until(lambda: management.read("SELECT 1 FROM outbox") == [], "published")
    records = read_committed(site.bootstrap, site.prefix, Topic.SYNC_REQUIRED)
    keys = {one.account, one.connector}
    told = [
        (str((record.key() or b"").decode()), Codec().decode(Topic.SYNC_REQUIRED, record.value() or b""))
        for record in records
        if (record.key() or b"").decode() in keys
    ]
    requested = [(key, event.account_id, event.requested_at_ms) for key, event in told if event.cause == "requested"]
    assert requested == [
        (one.account, one.account, asked.requested_at_ms),
        (one.connector, None, whole.requested_at_ms),
    ]
    assert [event.cause for _, event in told][:2] == ["account_created", "webhook_created"]


@pytest.mark.req(70)
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_nothing_is_lost_and_nothing_is_harmed(site: Site, step: str) -> None:
    one = site.telegram()
    site.start(RELAY)
    edge = site.start(EDGE)
    site.until(lambda: edge.ready, "the edge")
    dying = site.start(KILLED, step)
    site.until(lambda: dying.process.poll() == -signal.SIGKILL, f"killed when {step}")
    site.forget_leases()
    site.start(SYNC)
    site.until(lambda: site.synced_at(one.account) is not None, "synced")
    site.until_at(one.subject, "idle", "synced")
    job = site.job(one.subject)
    assert job is not None
    assert (job["asked"], job["taken"]) == (2, 2)  # the account's request and the webhook's, each counted once
    assert one.played.secret == OLD
    assert one.played.callback_url.endswith(one.connector)
    assert site.calls(one, "setWebhook") == (2 if step in ("registered", "answered", "written") else 1)
    assert site.audit(one.connector) == []  # and nobody was warned


def test_two_processes_share_the_jobs_and_the_loss_of_postgresql_is_survived(shared_site: Site) -> None:
    site = shared_site
    many = [site.telegram() for _ in range(6)]
    name = site.database.name
    with connect(site.database.superuser_url) as rows:
        rows.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        rows.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        syncs = [process for process in site.processes if "sync" in process.log.name]
        site.until(lambda: all(process.operations("/readyz")[0] == 503 for process in syncs), "told on /readyz")
        rows.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    for one in many:
        site.until(lambda one=one: one.played.secret == OLD and site.synced_at(one.account) is not None, "synced")  # type: ignore[misc]
    assert all(site.calls(one, "setWebhook") <= 2 for one in many)
