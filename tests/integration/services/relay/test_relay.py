"""What the relay publishes, and when."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from sqlalchemy import insert, make_url, update

from shared.adapters.avro import Codec
from shared.adapters.clock import new_uuid7
from shared.adapters.database import unit_of_work
from shared.adapters.kafka import read_headers
from shared.adapters.snapshots import SnapshotReader
from shared.adapters.tables import AutomationFlow, Outbox
from shared.domain.enums import ConnectorStatus, ConnectorType, TokenKind
from shared.domain.records import ConnectorStatusChanged, TokenExpiring
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.relay.scene import RelayProcess, Scene, read_committed
from tests.waiting import eventually

StartRelay = Callable[..., RelayProcess]


def test_snapshots_say_what_the_rows_say(scene: Scene, start_relay: StartRelay, reader: SnapshotReader) -> None:
    old = scene.add_data_key("ingest", "wrapped-old", age_seconds=60)
    new = scene.add_data_key("ingest", "wrapped-new")
    scene.add_data_key("ingest", "wrapped-retired", age_seconds=90, retired=True)
    scene.add_data_key("credential", "wrapped-credential")
    connector_id = scene.add_connector(
        config={"waba_id": "77", "access_token": "canary-token", "deep": [{"App_Secret": "canary"}]}
    )
    account_id = scene.add_account(connector_id, "1001", intake_flow_id=scene.flow_id)
    start_relay()
    eventually(lambda: reader.directory.account(account_id) and reader.directory.connector(connector_id), 20)

    connector = reader.directory.connector(connector_id)
    assert connector is not None
    assert (connector.tenant_id, connector.tipo, connector.status) == (
        scene.tenant_id,
        ConnectorType.WHATSAPP_OFFICIAL,
        ConnectorStatus.PENDING,
    )
    assert connector.version == 1
    assert "canary" not in connector.config
    assert json.loads(connector.config)["waba_id"] == "77"
    assert [(key.key_id, key.wrapped) for key in connector.ingest_keys] == [(new, "wrapped-new"), (old, "wrapped-old")]

    account = reader.directory.account_by_ref(connector_id, "phone_number_id:1001")
    assert account == reader.directory.account(account_id)
    assert account is not None
    assert (account.org_unit_id, account.intake_flow_id, account.intake_flow_usable) == (scene.org_unit_id, scene.flow_id, True)
    eventually(lambda: scene.outbox() == [])


@pytest.mark.req(4)
def test_a_change_reaches_a_reader_within_two_seconds(
    scene: Scene, start_relay: StartRelay, reader: SnapshotReader, record_property: Callable[[str, object], None]
) -> None:
    connector_id = scene.add_connector()
    account_id = scene.add_account(connector_id, "1001")
    start_relay()
    eventually(lambda: reader.directory.account(account_id), 20)
    taken: list[float] = []
    for number in range(2000, 2010):
        scene.change_account(account_id, config={"phone_number_id": str(number)})
        committed = time.monotonic()
        eventually(lambda ref=f"phone_number_id:{number}": reader.directory.account_by_ref(connector_id, ref))  # type: ignore[misc]
        taken.append(time.monotonic() - committed)
        assert reader.directory.account_by_ref(connector_id, f"phone_number_id:{number - 1}") is None
    record_property("change_to_reader_seconds", f"median {median(taken):.3f}, worst {max(taken):.3f}")
    print(f"change to reader: median {median(taken):.3f} s, worst {max(taken):.3f} s")
    assert max(taken) < 2


def test_a_deleted_account_becomes_a_deletion(scene: Scene, start_relay: StartRelay, reader: SnapshotReader) -> None:
    connector_id = scene.add_connector()
    account_id = scene.add_account(connector_id, "1001")
    start_relay()
    eventually(lambda: reader.directory.account(account_id), 20)
    scene.delete_account(account_id)
    eventually(lambda: reader.directory.account(account_id) is None)
    assert reader.directory.account_by_ref(connector_id, "phone_number_id:1001") is None
    assert reader.directory.connector(connector_id) is not None


def test_many_notices_of_one_subject_make_one_snapshot(
    scene: Scene, start_relay: StartRelay, kafka_bootstrap: str, topics: str, codec: Codec
) -> None:
    connector_id = scene.add_connector()
    account_id = scene.add_account(connector_id, "1")
    for number in range(2, 51):
        scene.change_account(account_id, config={"phone_number_id": str(number)})
    start_relay()
    eventually(lambda: scene.outbox() == [], 20)
    [message] = read_committed(kafka_bootstrap, topics, Topic.ACCOUNT_SNAPSHOT)
    snapshot = codec.decode(Topic.ACCOUNT_SNAPSHOT, message.value() or b"")
    assert (snapshot.version, snapshot.account_refs) == (50, ("phone_number_id:50",))


@pytest.mark.req(68)
def test_one_event_for_each_committed_change_and_none_for_a_rolled_back_one(
    scene: Scene, start_relay: StartRelay, kafka_bootstrap: str, topics: str, codec: Codec
) -> None:
    connector_id = scene.add_connector()
    start_relay()
    changed = scene.change_status(connector_id, ConnectorStatus.ERROR)
    scene.change_status(connector_id, ConnectorStatus.ARCHIVED, commit=False)
    last = scene.change_status(connector_id, ConnectorStatus.PENDING)
    eventually(lambda: scene.outbox() == [], 20)
    messages = read_committed(kafka_bootstrap, topics, Topic.CONNECTOR_STATUS_CHANGED)
    events: list[ConnectorStatusChanged] = [
        codec.decode(Topic.CONNECTOR_STATUS_CHANGED, message.value() or b"") for message in messages
    ]
    assert [event.change_id for event in events] == [changed, last]
    assert [(event.old_status, event.new_status) for event in events] == [
        (ConnectorStatus.PENDING, ConnectorStatus.ERROR),
        (ConnectorStatus.ERROR, ConnectorStatus.PENDING),
    ]
    assert {(event.tenant_id, event.connector_id, event.cause, event.actor) for event in events} == {
        (scene.tenant_id, connector_id, "test", "tester")
    }
    headers = read_headers(messages[0].headers())
    assert headers["ce_id"] == changed
    assert headers["ce_type"] == "channel.connector.status_changed"
    assert headers["ce_subject"] == connector_id
    assert messages[0].key() == connector_id.encode()


@pytest.mark.req(69)
def test_a_token_that_ends_soon_is_told_once(
    scene: Scene, start_relay: StartRelay, kafka_bootstrap: str, topics: str, codec: Codec
) -> None:
    connector_id, token_id = scene.add_connector(), new_uuid7()
    told = {
        "notice_id": new_uuid7(),
        "tenant_id": scene.tenant_id,
        "token_id": token_id,
        "kind": "access_token",
        "expires_at_ms": 1_790_000_300_000,
        "seconds_left": 299,
        "threshold_seconds": 300,
        "renewal": "stopped",
        "cause": "invalid_grant",
        "action": "consent_again",
        "noticed_at_ms": 1_790_000_001_000,
    }
    with unit_of_work(scene.engine, tenant_id=scene.tenant_id) as session:
        session.execute(insert(Outbox).values(topic=Topic.TOKEN_EXPIRING.value, subject_id=connector_id, detail=told))
        session.commit()
    start_relay()
    eventually(lambda: scene.outbox() == [], 20)
    [message] = read_committed(kafka_bootstrap, topics, Topic.TOKEN_EXPIRING)
    event = codec.decode(Topic.TOKEN_EXPIRING, message.value() or b"")
    assert event == TokenExpiring(**{**told, "connector_id": connector_id, "kind": TokenKind.ACCESS_TOKEN})
    assert (message.key(), read_headers(message.headers())["ce_id"]) == (connector_id.encode(), told["notice_id"])


def test_a_row_that_cannot_be_built_is_set_aside_and_stops_nobody(
    scene: Scene, start_relay: StartRelay, reader: SnapshotReader
) -> None:
    connector_id = scene.add_connector()
    unknown = scene.add_connector(tipo=ConnectorType.FUTURE)
    broken = scene.add_account(unknown, "1003")
    healthy = scene.add_account(connector_id, "1002")
    relay = start_relay()
    eventually(lambda: reader.directory.account(healthy), 20)
    eventually(lambda: sorted(scene.outbox()) == [(Topic.ACCOUNT_SNAPSHOT, -1), (Topic.CONNECTOR_SNAPSHOT, -1)])
    assert reader.directory.account(broken) is None
    assert reader.directory.connector(unknown) is None
    assert relay.log().count("notice_set_aside") == 2
    assert broken in relay.log()

    scene.change_account(broken, connector_id=connector_id)
    eventually(lambda: reader.directory.account_by_ref(connector_id, "phone_number_id:1003"))
    eventually(lambda: scene.outbox() == [(Topic.CONNECTOR_SNAPSHOT, -1)])


def test_a_flow_that_is_not_usable_is_told_as_such(scene: Scene, start_relay: StartRelay, reader: SnapshotReader) -> None:
    connector_id = scene.add_connector()
    account_id = scene.add_account(connector_id, "1001", intake_flow_id=scene.flow_id)
    with unit_of_work(scene.engine, tenant_id=scene.tenant_id) as session:
        session.execute(update(AutomationFlow).values(published=False))
        session.commit()
    start_relay()
    eventually(lambda: reader.directory.account(account_id), 20)
    account = reader.directory.account(account_id)
    assert account is not None
    assert account.intake_flow_id == scene.flow_id
    assert not account.intake_flow_usable


@pytest.mark.req(7)
def test_a_relay_tells_how_it_is_and_stops_when_asked(scene: Scene, start_relay: StartRelay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    scene.add_connector()
    relay = start_relay(CHANNELS_RELAY_OPERATIONS_PORT=str(port))
    eventually(lambda: "batch_published" in relay.log(), 20)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
        assert answer.read() == b"active\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        metrics = answer.read().decode()
    assert 'channels_relay_published_total{topic="channel.connector.snapshot"} 1.0' in metrics
    assert "channels_relay_active 1.0" in metrics
    assert relay.end() == 0
    assert "Traceback" not in relay.log()


def test_a_relay_without_a_schema_ends_with_a_clear_line(
    kafka_bootstrap: str, topic_prefix: str, database: DatabaseUnderTest, tmp_path: Path
) -> None:
    elsewhere = make_url(database.worker_url).set(database="postgres").render_as_string(hide_password=False)
    relay = RelayProcess(kafka_bootstrap, topic_prefix, elsewhere, tmp_path / "relay.log")
    try:
        assert relay.process.wait(20) == 2
    finally:
        relay.process.kill()
        relay.process.wait()
    assert "channels database prepare" in relay.log()
