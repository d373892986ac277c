"""Faults of our own code: one record is set aside, its neighbours go on; many connectors stop the consumer."""

from __future__ import annotations

import time
from dataclasses import replace

import psycopg
import pytest
from click.testing import CliRunner

from deploy.local.fleet import Fleet, FleetService
from deploy.local.ports import choose_port
from services.cli.__main__ import cli
from services.router import splitting
from services.router.app import Router
from services.router.own_faults import MAX_CONNECTORS, TooManyOwnFaults
from shared.adapters.clock import new_uuid7
from shared.domain.enums import ConnectorType, KeyPurpose
from shared.domain.records import MessageReceived
from shared.domain.snapshots import WrappedDataKey
from shared.domain.topics import Topic
from shared.providers import provider_of
from tests.integration.services.router.conftest import RunningRouter
from tests.pipeline import UNIT_NUMBER, Pipeline, messages_value, meta_body, text_item
from tests.waiting import allowed

NUMBERS = range(9)


class OddCodec:
    """The real codec, but for one text that it answers as told."""

    def __init__(self, codec, answer) -> None:
        self._codec, self._answer = codec, answer

    def encode(self, topic, value):
        if isinstance(value, MessageReceived) and value.message.content.text == "odd":
            return self._answer()
        return self._codec.encode(topic, value)


def odd_router(pipeline: Pipeline, answer) -> RunningRouter:
    running = RunningRouter(pipeline)
    running.router = Router(replace(running.parts, codec=OddCodec(pipeline.codec, answer)))
    return running


def write_rows(pipeline: Pipeline, connector: str, account: str, tenant: str | None = None) -> None:
    with psycopg.connect(pipeline.database.owner_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)"
            " VALUES (%s, %s, 'whatsapp_official', 'Example', '{}', 'pending')",
            (connector, tenant or pipeline.tenant_id),
        )
        connection.execute(
            "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id)"
            " VALUES (%s, %s, '5511900000001', 'pending', %s)",
            (account, connector, tenant or pipeline.unit_id),
        )


def fault() -> bytes:
    raise ZeroDivisionError


def too_large() -> bytes:
    return b"x" * 2_000_000


@pytest.mark.parametrize("answer", [fault, too_large])
def test_a_record_that_our_code_fails_on_is_set_aside_alone(pipeline, answer):
    for number in NUMBERS:
        text = "odd" if number == 4 else str(number)
        pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{number}", text)])), flush=False)
    pipeline.flush()
    running = odd_router(pipeline, answer).start()
    try:
        (letter,) = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 1)
        assert letter.event.reason == "own_exception"
        assert letter.event.sealed_fragment
        reads = pipeline.read(Topic.MESSAGE_RECEIVED, len(NUMBERS), 10, settle_seconds=1)
        assert [read.event.message.content.text for read in reads] == [str(number) for number in NUMBERS if number != 4]
        assert pipeline.books(10, len(NUMBERS)) == {
            ("emitted", "org_unit"): len(NUMBERS) - 1,
            ("dead_lettered", "own_exception"): 1,
        }
        assert running.failure is None
    finally:
        running.stop()


def test_failures_on_many_connectors_stop_the_consumer_before_it_drains_the_topic(pipeline):
    for _ in range(MAX_CONNECTORS + 3):
        connector, account = new_uuid7(), new_uuid7()
        write_rows(pipeline, connector, account)
        pipeline.publish_connector(pipeline.connector(connector_id=connector))
        pipeline.publish_account(pipeline.unit_account(connector_id=connector, account_id=account))
        body = meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{connector}", "odd")]))
        pipeline.post(body, connector_id=connector)
    running = odd_router(pipeline, fault).start()
    running.thread.join(30)
    running.stop()
    assert isinstance(running.failure, TooManyOwnFaults)
    assert len(pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, MAX_CONNECTORS, 5)) < MAX_CONNECTORS


def another_tenant(pipeline: Pipeline) -> tuple[str, WrappedDataKey]:
    """A tenant with keys of its own, and a unit of the same id."""
    tenant = new_uuid7()
    with psycopg.connect(pipeline.database.owner_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        connection.execute("INSERT INTO tenant (id, name) VALUES (%s, 'Noisy')", (tenant,))
        connection.execute("INSERT INTO org_unit (id, tenant_id, name) VALUES (%s, %s, 'Unit')", (tenant, tenant))
    return tenant, pipeline.vault.new_data_key(KeyPurpose.INGEST, tenant)


def set_up(pipeline: Pipeline, tenant: str, key: WrappedDataKey) -> str:
    """A connector with one number of this tenant; its id."""
    connector, account = new_uuid7(), new_uuid7()
    write_rows(pipeline, connector, account, tenant)
    pipeline.publish_connector(pipeline.connector(connector_id=connector, tenant_id=tenant, ingest_keys=(key,)))
    pipeline.publish_account(pipeline.unit_account(connector_id=connector, account_id=account, tenant_id=tenant))
    return connector


@pytest.mark.req(70, 91)
def test_one_tenants_many_connectors_never_stop_the_others_but_two_tenants_faults_do(pipeline, monkeypatch):
    meta = provider_of(ConnectorType.WHATSAPP_OFFICIAL)

    def raising(body, headers, config):
        if b"odd" in body:
            raise ZeroDivisionError
        return meta.normalise(body, headers, config)

    monkeypatch.setattr(splitting, "provider_of", lambda tipo: replace(meta, normalise=raising))
    noisy, key = another_tenant(pipeline)
    odd = meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.odd", "odd")]))
    many = [set_up(pipeline, noisy, key) for _ in range(3 * MAX_CONNECTORS)]
    running = RunningRouter(pipeline).start()
    try:
        for number, connector in enumerate(many):
            pipeline.post(odd, connector_id=connector, tenant=(noisy, key))
            pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{number}", str(number))])))
        reads = pipeline.read(Topic.MESSAGE_RECEIVED, len(many), 30)
        assert [read.event.message.content.text for read in reads] == [str(number) for number in range(len(many))]
        letters = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, len(many), 30)
        assert {(read.event.tenant_id, read.event.reason) for read in letters} == {(noisy, "own_exception")}
        assert (running.failure, running.router.ready[0]) == (None, True)
        pipeline.post(odd)  # the other tenant's, too: now the fault is ours
        running.thread.join(30)
        assert isinstance(running.failure, TooManyOwnFaults)
        ready, why = running.router.ready
        assert (ready, "of 2 tenants within 10 minutes: roll the release back" in why) == (False, True), why
        assert len(pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, len(many) + 1, 3)) == len(many)  # that one was not set aside
    finally:
        running.stop()


def test_channels_status_tells_why_the_router_stopped(pipeline, tmp_path, monkeypatch):
    for _ in range(MAX_CONNECTORS + 1):
        connector, account = new_uuid7(), new_uuid7()
        write_rows(pipeline, connector, account)
        pipeline.publish_connector(pipeline.connector(connector_id=connector))
        pipeline.publish_account(pipeline.unit_account(connector_id=connector, account_id=account))
        pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{connector}", "odd")])), connector_id=connector)
    port = choose_port(given=None, before=None, purpose="the test", variable="")
    environment = {
        "CHANNELS_STACK": "external",
        "CHANNELS_KAFKA_BOOTSTRAP": pipeline.bootstrap,
        "CHANNELS_TOPIC_PREFIX": pipeline.prefix,
        "CHANNELS_DATABASE_WORKER_URL": pipeline.database.worker_url,
        "CHANNELS_KEYS_DIR": str(pipeline.keys_dir),
        "CHANNELS_OBJECT_STORE_URL": pipeline.objects_dir.as_uri(),
        "CHANNELS_ROUTER_OPERATIONS_PORT": str(port),
    }
    module = "tests.integration.services.router.odd_process"
    fleet = Fleet(tmp_path / "home")
    fleet.start(FleetService(name="router-0", module=module, operations_port=port, environment=environment))
    try:
        deadline = time.monotonic() + allowed(40)
        while fleet.pid("router-0") is not None:
            assert time.monotonic() < deadline, fleet.log_file("router-0").read_text()
            time.sleep(0.1)
    finally:
        fleet.stop("router-0")
    monkeypatch.setenv("CHANNELS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHANNELS_STACK", "external")
    told = CliRunner().invoke(cli, ["status"])
    assert told.exit_code == 1
    cause = f"our code failed on records of {MAX_CONNECTORS} connectors of 1 tenants within 10 minutes: roll the release back"
    assert f"ended by itself: own_faults: {cause}" in told.stdout


def test_a_record_from_the_future_does_not_hold_the_others_up(pipeline, router):
    body = meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.a")]))
    an_hour_ahead = time.time_ns() // 1_000_000 + 3_600_000
    pipeline.post(body, connector_id=new_uuid7(), received_at_ms=an_hour_ahead)
    pipeline.post(body)
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 1)) == 1
    (letter,) = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 1)
    assert letter.event.reason == "unknown_connector"


def test_waiting_for_a_snapshot_is_no_busy_loop(pipeline, router):
    connector = new_uuid7()
    body = meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.late")]))
    pipeline.post(body, connector_id=connector)
    deadline = time.monotonic() + 3
    answers = []
    while time.monotonic() < deadline:
        answers.append(router.router.ready)
        time.sleep(0.1)
    assert 1 < router.registry.get_sample_value("channels_router_database_retries_total") < 12
    assert (False, f"no snapshot of connector {connector} yet") in answers
    pipeline.publish_connector(pipeline.connector(connector_id=connector))
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.next")])))
    (read,) = pipeline.read(Topic.MESSAGE_RECEIVED, 1)
    assert read.event.message.provider_message_id == "wamid.next"
    (letter,) = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 1)
    assert letter.event.reason == "unknown_account"


def test_a_slot_without_a_partition_is_ready_as_a_standby(pipeline, router):
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.a")])))
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 1)) == 1
    second = RunningRouter(pipeline, 1).start()
    try:
        deadline = time.monotonic() + allowed(20)
        while not (second.router.ready[0] and router.router.ready[0]):
            assert time.monotonic() < deadline, (second.router.ready, router.router.ready)
            time.sleep(0.05)
        assert {second.router.ready[1].split(":")[0], router.router.ready[1].split(":")[0]} == {"working", "standby"}
    finally:
        second.stop()
