from __future__ import annotations

import json
import time

import psycopg
import pytest

from services.router.opening import fragment_aad
from shared.domain.enums import (
    AccountStatus,
    DeliveryStatus,
    ErrorClass,
    ItemOutcome,
    MessageKind,
    RecordSource,
    WebhookEvent,
    WebhookStatus,
)
from shared.domain.items import Alias, AliasKind
from shared.domain.send_result import encode_send_result
from shared.domain.snapshots import WebhookSnapshot
from shared.domain.topics import Topic
from tests.pipeline import FLOW_NUMBER, UNIT_NUMBER, messages_value, meta_body, status_item, text_item
from tests.waiting import allowed

PEER = (Alias(kind=AliasKind.PHONE, value="5511900000009"),)


@pytest.mark.req(1, 3, 66)
def test_one_post_for_two_numbers_goes_to_unit_and_flow(pipeline, router):
    pipeline.post(
        meta_body(
            messages_value(UNIT_NUMBER, [text_item("wamid.a"), text_item("wamid.b", "two")]),
            messages_value(FLOW_NUMBER, [text_item("wamid.c", "three")]),
        )
    )
    received = pipeline.read(Topic.MESSAGE_RECEIVED, 2)
    (intake,) = pipeline.read(Topic.INTAKE_REQUESTED, 1)
    assert [read.event.message.content.text for read in received] == ["hello", "two"]
    assert {read.event.decision.org_unit_id for read in received} == {pipeline.unit_id}
    assert intake.event.intake_flow_id == pipeline.flow_id
    assert intake.event.request_id == intake.event.message.message_id
    assert len({read.key for read in received}) == 1
    assert received[0].key == received[0].event.message.conversation_id
    assert intake.key != received[0].key
    contacts = {read.event.message.contact_id for read in [*received, intake]}
    assert len(contacts) == 1  # one person, whichever of our numbers they write to
    assert received[0].headers["ce_id"].decode() == received[0].event.message.message_id
    assert received[0].headers["ce_type"] == b"message.received"
    assert pipeline.books(10, 3) == {("emitted", "org_unit"): 2, ("held", ""): 1}


@pytest.mark.req(64)
def test_repeats_in_one_batch_and_over_batches_come_out_once(pipeline, router):
    body = meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.a")]))
    pipeline.post(body)
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 1)) == 1
    for _ in range(16):
        pipeline.post(body, flush=False)
    pipeline.flush()
    books = pipeline.books(20, 17)
    assert books.pop(("emitted", "org_unit")) == 1
    assert sum(count for (outcome, _), count in books.items() if outcome == "duplicate") == 16
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 2, 2)) == 1


@pytest.mark.req(3, 70)
def test_an_unknown_number_is_dead_lettered_and_asks_for_one_sync(pipeline, router):
    for number in range(5):
        pipeline.post(meta_body(messages_value("100000000000009", [text_item(f"wamid.{number}", "secret text")])))
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.good")])))
    letters = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 5)
    assert {read.event.reason for read in letters} == {"unknown_account"}
    assert {read.event.origin.item for read in letters} == {"/entry/0/changes/0/value/messages/0"}
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 1)) == 1
    assert len(pipeline.read(Topic.SYNC_REQUIRED, 2, 2)) == 1


def test_a_dead_letter_carries_the_sealed_fragment_of_its_own_item(pipeline, router):
    record_id = pipeline.post(meta_body(messages_value("100000000000009", [text_item("wamid.x", "canary-text")])))
    (letter,) = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 1)
    assert b"canary-text" not in letter.event.sealed_fragment
    plain = pipeline.ring.open_bytes(letter.event.sealed_fragment, fragment_aad(pipeline.tenant_id, record_id))
    assert json.loads(plain)["text"]["body"] == "canary-text"


@pytest.mark.req(3, 70, 91)
def test_one_post_for_three_known_numbers_and_an_unknown_one(pipeline, router):
    third = "01900000-0000-7000-8000-00000000a003"
    with psycopg.connect(pipeline.database.owner_url.replace("+psycopg", ""), autocommit=True) as owner:
        owner.execute(
            "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id) VALUES (%s, %s, '3', 'pending', %s)",
            (third, pipeline.connector_id, pipeline.unit_id),
        )
    pipeline.publish_account(pipeline.unit_account(account_id=third, account_refs=("phone_number_id:100000000000003",)))
    _wait(lambda: router.snapshots.directory.account(third) is not None)
    numbers = (UNIT_NUMBER, "100000000000003", FLOW_NUMBER, "100000000000009")
    pipeline.post(meta_body(*(messages_value(number, [text_item(f"wamid.{number}")]) for number in numbers)))
    received = pipeline.read(Topic.MESSAGE_RECEIVED, 2)
    (asked,) = pipeline.read(Topic.INTAKE_REQUESTED, 1)
    accounts = [read.event.message.account_id for read in [*received, asked]]
    assert sorted(accounts) == sorted([pipeline.unit_account_id, third, pipeline.flow_account_id])
    (letter,) = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 1)
    assert (letter.event.reason, letter.event.detail) == ("unknown_account", "phone_number_id:100000000000009")
    (sync,) = pipeline.read(Topic.SYNC_REQUIRED, 1)
    assert (sync.event.connector_id, sync.event.cause) == (pipeline.connector_id, "unknown_account")


@pytest.mark.req(21)
def test_what_arrives_for_an_inactive_account_is_counted_and_emits_nothing(pipeline, router):
    pipeline.publish_account(pipeline.unit_account(version=5, status=AccountStatus.INACTIVE))
    _wait(lambda: router.snapshots.directory.account(pipeline.unit_account_id).version == 5)
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.a")], statuses=[status_item("wamid.b", "read")])))
    assert pipeline.books(10, 2) == {("rejected", "account_inactive"): 2}
    assert pipeline.read(Topic.MESSAGE_RECEIVED, 1, 1) == []


@pytest.mark.req(91)
def test_junk_never_stops_its_neighbours(pipeline, router):
    pipeline.post_raw(pipeline.connector_id.encode(), b"not avro at all")
    pipeline.post_raw(pipeline.connector_id.encode(), None)
    pipeline.post(b"{ not json")
    pipeline.post(meta_body({"metadata": {"phone_number_id": UNIT_NUMBER}, "messages": [42, text_item("wamid.good")]}))
    letters = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 4)
    assert [read.event.reason for read in letters][:3] == ["undecodable_record", "undecodable_record", "unparseable_body"]
    (good,) = pipeline.read(Topic.MESSAGE_RECEIVED, 1)
    assert good.event.message.provider_message_id == "wamid.good"
    assert sum(pipeline.books(10, 5).values()) == 5


def test_a_value_that_the_database_refuses_is_found_by_halving(pipeline, router):
    # a message id that is no UUID passes the result's own form, but not the column
    def result(message_id: str) -> bytes:
        return encode_send_result(
            account_id=pipeline.unit_account_id,
            message_id=message_id,
            attempt=1,
            status=DeliveryStatus.ACCEPTED,
            recipient=PEER,
            provider_message_ids=(f"wamid.{message_id}",),
            at_ms=1,
        )

    for number in range(7):
        pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{number}")])), flush=False)
    pipeline.post(result("no-uuid"), source=RecordSource.RESULT, flush=False)
    pipeline.flush()
    (letter,) = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 1)
    assert letter.event.reason == "database_rejected"
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 7)) == 7
    books = pipeline.books(10, 8)
    assert books == {("emitted", "org_unit"): 7, ("dead_lettered", "database_rejected"): 1}


def test_receipts_follow_a_send_and_only_move_forward(pipeline, router):
    message_id = "01900000-0000-7000-8000-00000000abcd"
    pipeline.post(
        encode_send_result(
            account_id=pipeline.unit_account_id,
            message_id=message_id,
            attempt=1,
            status=DeliveryStatus.ACCEPTED,
            recipient=PEER,
            provider_message_ids=("wamid.out",),
            at_ms=1_700_000_000_000,
        ),
        source=RecordSource.RESULT,
    )
    assert len(pipeline.read(Topic.DELIVERY_UPDATED, 1)) == 1  # the result is settled before the next receipts come
    for status in ("read", "delivered", "read"):
        pipeline.post(meta_body(messages_value(UNIT_NUMBER, statuses=[status_item("wamid.out", status)])))
    failed = status_item("wamid.out", "failed", errors=[{"code": 131026, "title": "undeliverable"}])
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, statuses=[failed])))
    books = pipeline.books(20, 5)
    updates = pipeline.read(Topic.DELIVERY_UPDATED, 3, 3)
    seen = [(read.event.status.value, read.event.message_id, read.event.orphan_reason) for read in updates]
    assert seen == [
        ("accepted", message_id, None),
        ("read", message_id, None),
    ]
    assert books[ItemOutcome.SUPERSEDED.value, "older_state"] == 2
    assert len({read.key for read in updates}) == 1
    assert updates[0].key == updates[0].event.conversation_id


def test_a_failure_carries_class_and_code(pipeline, router):
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.none")])))
    failed = status_item("wamid.none", "failed", errors=[{"code": 131026, "title": "undeliverable"}])
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, statuses=[failed])))
    (update,) = pipeline.read(Topic.DELIVERY_UPDATED, 1)
    assert (update.event.error_class, update.event.error_code) == (ErrorClass.RECIPIENT_PERMANENT, "131026")


@pytest.mark.req(37)
def test_a_disabled_webhook_row_is_counted_and_emits_nothing(pipeline, router):
    row = WebhookSnapshot(
        webhook_id=pipeline.unit_id, evento=WebhookEvent.MESSAGE_IN, status=WebhookStatus.DISABLED, segredo=None
    )
    pipeline.publish_connector(pipeline.connector(version=2, webhooks=(row,)))
    router.snapshots.wait_ready(1)
    _wait(lambda: router.snapshots.directory.connector(pipeline.connector_id).version == 2)
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.a")])))
    assert pipeline.books(10, 1) == {("rejected", "webhook_disabled"): 1}
    assert pipeline.read(Topic.MESSAGE_RECEIVED, 1, 1) == []


@pytest.mark.req(4)
def test_a_newer_snapshot_routes_the_next_message(pipeline, router):
    pipeline.publish_account(pipeline.unit_account(version=5, org_unit_id=pipeline.flow_id))
    _wait(lambda: router.snapshots.directory.account(pipeline.unit_account_id).version == 5)
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.a")])))
    (read,) = pipeline.read(Topic.MESSAGE_RECEIVED, 1)
    assert read.event.decision.org_unit_id == pipeline.flow_id
    assert read.event.decision.account_snapshot_version == 5


@pytest.mark.req(48)
def test_phone_and_business_scoped_id_of_one_person_are_one_contact(pipeline, router):
    both = {"from_user_id": "BR.90000000000001"}
    contact = {"profile": {"name": "Ana"}, "wa_id": "5511900000009", "user_id": "BR.90000000000001"}
    value = messages_value(UNIT_NUMBER, [text_item("wamid.a", **both)])
    pipeline.post(meta_body(value | {"contacts": [contact]}))
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.b")])))
    hidden = {"id": "wamid.c", "timestamp": "1700000000", "type": "text", "text": {"body": "x"}} | both
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [hidden])))
    reads = pipeline.read(Topic.MESSAGE_RECEIVED, 3)
    assert len({read.event.message.contact_id for read in reads}) == 1
    assert len({read.key for read in reads}) == 1
    assert reads[0].event.message.peer_name == "Ana"
    rows = pipeline.sql("SELECT chave_externa FROM channel_mapping WHERE entidade_type = 'contact' ORDER BY 1")
    assert rows == [("bsuid:BR.90000000000001",), ("phone:5511900000009",)]


def test_unsupported_kinds_are_kept_with_their_raw_position(pipeline, router):
    order = {"id": "wamid.o", "from": "5511900000009", "timestamp": "1700000000", "type": "hologram", "hologram": {}}
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [order])))
    (read,) = pipeline.read(Topic.MESSAGE_RECEIVED, 1)
    assert read.event.message.kind is MessageKind.UNSUPPORTED
    assert read.event.message.content.unsupported.provider_type == "hologram"
    assert read.event.message.raw.item == "/entry/0/changes/0/value/messages/0"


def _wait(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + allowed(seconds)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
