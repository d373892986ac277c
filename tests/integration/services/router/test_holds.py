"""What waits and what comes of it, on the real Kafka and PostgreSQL; the test's own hand plays the relay and the flow."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.adapters.clock import new_uuid7
from shared.adapters.kafka_admin import KafkaAdmin
from shared.domain.enums import DeliveryStatus, Direction, IntakeOutcome, RecordSource
from shared.domain.records import IntakeCompleted
from shared.domain.send_result import encode_send_result
from shared.domain.topics import Topic
from tests.integration.services.router.conftest import LIMITS, RunningRouter
from tests.integration.services.router.hand_relay import HandRelay
from tests.integration.services.router.test_router import PEER
from tests.pipeline import FLOW_NUMBER, UNIT_NUMBER, Pipeline, messages_value, meta_body, status_item, text_item
from tests.waiting import allowed


@pytest.fixture
def relay(pipeline) -> HandRelay:
    return HandRelay(pipeline)


@pytest.fixture
def hasty(pipeline) -> Iterator[RunningRouter]:
    """A router for which every deadline is over at once."""
    running = RunningRouter(pipeline, limits=replace(LIMITS, intake_ms=0, target_ms=0)).start()
    yield running
    running.stop()
    if running.failure is not None:
        raise running.failure


def write(pipeline: Pipeline, *texts: str, number: str = FLOW_NUMBER, sender: str = "5511900000009") -> None:
    for text in texts:
        pipeline.post(meta_body(messages_value(number, [text_item(f"wamid.{text}", text, sender)])), flush=False)
    pipeline.flush()


def answer(pipeline: Pipeline, request: str, outcome: str = "route", **more) -> None:
    values = {"org_unit_id": pipeline.unit_id if outcome == "route" else None} | more
    said = IntakeCompleted(request_id=request, outcome=IntakeOutcome(outcome), completed_at_ms=1, **values)
    pipeline._send(Topic.INTAKE_COMPLETED, request, pipeline.codec.encode(Topic.INTAKE_COMPLETED, said))


def held(pipeline: Pipeline) -> list[tuple[str, str, int]]:
    """(reason, state, attempt) of all rows in order of arrival."""
    return pipeline.sql("SELECT reason, state, attempt FROM held_record ORDER BY seq")


def wait(condition, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + allowed(seconds)
    while not condition():
        assert time.monotonic() < deadline, "it did not come to it in time"
        time.sleep(0.02)


def answered(pipeline: Pipeline) -> int:
    return pipeline.sql("SELECT count(*) FROM held_record WHERE decision ? 'answer'")[0][0]


def requests(pipeline: Pipeline) -> int:
    return pipeline.sql("SELECT count(*) FROM held_record WHERE decision ? 'request'")[0][0]


def verdicts(router: RunningRouter, outcome: str) -> float:
    return router.registry.get_sample_value("channels_router_intake_answers_total", {"outcome": outcome}) or 0.0


@pytest.mark.req(67)
def test_a_flow_is_asked_first_and_its_unit_gets_the_message(pipeline, router, relay):
    write(pipeline, "a")
    (asked,) = pipeline.read(Topic.INTAKE_REQUESTED, 1)
    assert pipeline.read(Topic.MESSAGE_RECEIVED, 1, 1) == []
    assert relay.deliver() == 0  # nothing is due before the answer or the deadline
    answer(pipeline, asked.event.request_id, labels=("billing", "vip"))
    wait(lambda: answered(pipeline) == 1)
    assert relay.deliver() == 1
    (read,) = pipeline.read(Topic.MESSAGE_RECEIVED, 1)
    decision = read.event.decision
    assert (decision.rule, decision.reason, decision.org_unit_id) == ("org_unit", "flow_routed", pipeline.unit_id)
    assert decision.labels == ("billing", "vip")
    assert read.event.message == replace(asked.event.message, raw=read.event.message.raw)
    assert read.event.message.message_id == asked.event.request_id
    wait(lambda: held(pipeline) == [("intake", "done", 1)])
    assert {key: count for key, count in pipeline.books(5, 3).items() if count} == {("emitted", "org_unit"): 1}
    assert len(pipeline.read(Topic.INTAKE_REQUESTED, 2, 1)) == 1


@pytest.mark.req(67)
@pytest.mark.parametrize(("outcome", "more", "reason"), [("handled", {}, "handled"), ("drop", {"reason": "spam"}, "dropped")])
def test_what_the_flow_settles_makes_no_conversation(pipeline, router, relay, outcome, more, reason):
    write(pipeline, "a")
    (asked,) = pipeline.read(Topic.INTAKE_REQUESTED, 1)
    answer(pipeline, asked.event.request_id, outcome, **more)
    wait(lambda: answered(pipeline) == 1)
    relay.deliver(times=2)  # a second copy changes nothing
    wait(lambda: held(pipeline) == [("intake", "done", 1)])
    write(pipeline, "after", number=UNIT_NUMBER)
    (read,) = pipeline.read(Topic.MESSAGE_RECEIVED, 1, settle_seconds=0.5)
    assert read.event.message.provider_message_id == "wamid.after"
    books = {key: count for key, count in pipeline.books(2, 99).items() if count}
    assert books == {("settled_by_flow", reason): 1, ("emitted", "org_unit"): 1}


@pytest.mark.req(67)
def test_at_the_deadline_the_message_goes_on_without_an_answer(pipeline, router, relay):
    write(pipeline, "a")
    write(pipeline, "b", sender="5511900000010")
    first, second = pipeline.read(Topic.INTAKE_REQUESTED, 2)
    relay.deliver(early=True)  # as if the time were over
    reads = pipeline.read(Topic.MESSAGE_RECEIVED, 2)
    assert {(read.event.decision.rule, read.event.decision.reason) for read in reads} == {("unrouted", "intake_deadline")}
    assert router.registry.get_sample_value("channels_router_unrouted_total") == 2
    answer(pipeline, first.event.request_id)  # too late
    answer(pipeline, new_uuid7())  # for nobody
    answer(pipeline, second.event.request_id, labels=("Not A Code",))
    answer(pipeline, second.event.request_id, org_unit_id=new_uuid7(), reason="no unit of ours")
    pipeline._send(Topic.INTAKE_COMPLETED, "x", b"no avro")
    letters = pipeline.read(Topic.INTAKE_COMPLETED_DLQ, 3)
    assert sorted(read.event.reason for read in letters) == ["labels_invalid", "reason_invalid", "undecodable_record"]
    wait(lambda: verdicts(router, "late") == verdicts(router, "unknown") == 1)
    assert verdicts(router, "malformed") == 3
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 3, 1)) == 2


@pytest.mark.req(67)
def test_answers_are_given_once_and_may_ask_for_more_time(pipeline, router, relay):
    write(pipeline, "a")
    (asked,) = pipeline.read(Topic.INTAKE_REQUESTED, 1)
    request = asked.event.request_id
    due = "SELECT extract(epoch FROM due_at - now())::int FROM held_record"
    answer(pipeline, request, "extend", extend_seconds=3_000)
    wait(lambda: pipeline.sql(due)[0][0] > 2_900)
    answer(pipeline, request, org_unit_id=new_uuid7())  # somebody else's unit is no answer
    wait(lambda: verdicts(router, "unit_unknown") == 1)
    answer(pipeline, request, "handled")
    answer(pipeline, request)  # a second one
    wait(lambda: verdicts(router, "repeated") == 1)
    assert (verdicts(router, "extended"), verdicts(router, "taken")) == (1, 1)
    assert relay.deliver() == 1
    wait(lambda: held(pipeline) == [("intake", "done", 1)])
    assert pipeline.read(Topic.MESSAGE_RECEIVED, 1, 1) == []


@pytest.mark.req(67)
def test_a_conversation_queues_behind_its_head_and_each_is_asked_about_in_turn(pipeline, router, relay):
    write(pipeline, "a", "b", "c")
    write(pipeline, "other", sender="5511900000010")
    asked = [read.event.message.provider_message_id for read in pipeline.read(Topic.INTAKE_REQUESTED, 2)]
    assert sorted(asked) == ["wamid.a", "wamid.other"]
    assert [row[0] for row in held(pipeline)] == ["intake", "queued", "queued", "intake"]
    for number, name in enumerate(("a", "b", "c")):
        requests = {
            read.event.message.provider_message_id: read.event for read in pipeline.read(Topic.INTAKE_REQUESTED, 2 + number)
        }
        answer(pipeline, requests[f"wamid.{name}"].request_id)
        wait(lambda: answered(pipeline) == number + 1)  # noqa: B023
        assert relay.deliver() == 1
        reads = pipeline.read(Topic.MESSAGE_RECEIVED, number + 1)
        assert reads[-1].event.message.provider_message_id == f"wamid.{name}"
        if name != "c":
            wait(lambda: relay.deliver() == 1)  # the next one was woken, and becomes the head
    wait(lambda: held(pipeline)[:3] == [("intake", "done", 1), ("intake", "done", 2), ("intake", "done", 2)])
    assert len(pipeline.read(Topic.INTAKE_REQUESTED, 5, 1)) == 4


@pytest.mark.req(67)
def test_what_waits_since_an_earlier_batch_stands_before_what_comes_now(pipeline, router):
    for number, name in enumerate(("a", "b"), start=1):
        write(pipeline, name)
        wait(lambda: len(held(pipeline)) == number)  # noqa: B023
    for number, status in enumerate(("delivered", "read"), start=3):
        pipeline.post(meta_body(messages_value(UNIT_NUMBER, statuses=[status_item("wamid.unknown", status)])))
        wait(lambda: len(held(pipeline)) == number)  # noqa: B023
    assert [row[0] for row in held(pipeline)] == ["intake", "queued", "target_unknown", "behind_target"]


def test_an_echo_asks_no_flow_and_keeps_its_place(pipeline, router, relay):
    def echo(name: str) -> bytes:
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "5511900000002", "phone_number_id": FLOW_NUMBER},
            "message_echoes": [
                {"id": f"wamid.{name}", "from": "5511900000002", "to": "5511900000009", "timestamp": "1700000000"}
                | {"type": "text", "text": {"body": name}}
            ],
        }
        change = {"field": "smb_message_echoes", "value": value}
        body = {"object": "whatsapp_business_account", "entry": [{"id": "200000000000001", "changes": [change]}]}
        return json.dumps(body).encode()

    pipeline.post(echo("free"))
    (read,) = pipeline.read(Topic.MESSAGE_RECEIVED, 1)
    assert read.event.message.direction is Direction.ECHO
    assert (read.event.decision.rule, read.event.decision.intake_flow_id) == ("intake_flow", pipeline.flow_id)
    write(pipeline, "a")
    (asked,) = pipeline.read(Topic.INTAKE_REQUESTED, 1)
    pipeline.post(echo("behind"))
    wait(lambda: [row[0] for row in held(pipeline)] == ["intake", "queued"])
    answer(pipeline, asked.event.request_id)
    wait(lambda: answered(pipeline) == 1)
    relay.deliver()
    wait(lambda: relay.deliver() == 1)
    names = [one.event.message.provider_message_id for one in pipeline.read(Topic.MESSAGE_RECEIVED, 3)]
    assert names == ["wamid.free", "wamid.a", "wamid.behind"]


def result(pipeline: Pipeline, message_id: str, provider_id: str) -> bytes:
    return encode_send_result(
        account_id=pipeline.unit_account_id,
        message_id=message_id,
        attempt=1,
        status=DeliveryStatus.ACCEPTED,
        recipient=PEER,
        provider_message_ids=(provider_id,),
        at_ms=1_700_000_000_000,
    )


def test_early_receipts_wait_for_their_message_and_come_out_in_order(pipeline, router, relay):
    message_id = "01900000-0000-7000-8000-00000000abcd"
    for status in ("sent", "delivered", "read"):
        pipeline.post(meta_body(messages_value(UNIT_NUMBER, statuses=[status_item("wamid.out", status)])))
    wait(lambda: [row[0] for row in held(pipeline)] == ["target_unknown", "behind_target", "behind_target"])
    assert pipeline.read(Topic.DELIVERY_UPDATED, 1, 1) == []
    pipeline.post(result(pipeline, message_id, "wamid.out"), source=RecordSource.RESULT)
    for _ in range(3):
        wait(lambda: relay.deliver() == 1)
    updates = pipeline.read(Topic.DELIVERY_UPDATED, 4)
    assert [(one.event.status.value, one.event.message_id) for one in updates] == [
        ("accepted", message_id),
        ("sent", message_id),
        ("delivered", message_id),
        ("read", message_id),
    ]
    wait(lambda: {row[1] for row in held(pipeline)} == {"done"})


def test_a_receipt_without_a_message_is_looked_at_again_and_then_an_orphan(pipeline, hasty, relay):
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, statuses=[status_item("wamid.none", "read")])))
    (update,) = pipeline.read(Topic.DELIVERY_UPDATED, 1)
    assert (update.event.message_id, update.event.orphan_reason) == (None, "target_unknown")
    assert pipeline.books(5, 1) == {("orphaned", "target_unknown"): 1}


def test_a_reaction_waits_for_its_message_without_holding_the_conversation(pipeline, router, relay):
    reaction = {"id": "wamid.r", "from": "5511900000009", "timestamp": "1700000000", "type": "reaction"}
    reaction |= {"reaction": {"message_id": "wamid.late", "emoji": "+"}}
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [reaction])))
    write(pipeline, "now", number=UNIT_NUMBER)
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 1)) == 1
    write(pipeline, "late", number=UNIT_NUMBER)
    wait(lambda: relay.deliver() == 1)
    names = [one.event.message.provider_message_id for one in pipeline.read(Topic.MESSAGE_RECEIVED, 3)]
    assert names == ["wamid.now", "wamid.late", "wamid.r"]


@pytest.mark.req(72)
def test_a_paused_route_goes_to_the_unit_or_waits(pipeline, router, relay):
    pipeline.publish_account(pipeline.flow_account(version=5, pause_cause="health"))
    wait(lambda: router.snapshots.directory.account(pipeline.flow_account_id).version == 5)
    write(pipeline, "a", "b")
    wait(lambda: [row[0] for row in held(pipeline)] == ["paused", "queued"])
    pipeline.publish_account(pipeline.flow_account(version=6, pause_cause="health", org_unit_id=pipeline.unit_id))
    wait(lambda: router.snapshots.directory.account(pipeline.flow_account_id).version == 6)
    relay.deliver(early=True)
    wait(lambda: relay.deliver() == 1)
    reads = pipeline.read(Topic.MESSAGE_RECEIVED, 2)
    assert [read.event.message.provider_message_id for read in reads] == ["wamid.a", "wamid.b"]
    assert {(read.event.decision.rule, read.event.decision.reason) for read in reads} == {("org_unit", "route_paused")}
    pipeline.publish_account(pipeline.flow_account(version=7))
    wait(lambda: router.snapshots.directory.account(pipeline.flow_account_id).version == 7)
    write(pipeline, "c")
    assert len(pipeline.read(Topic.INTAKE_REQUESTED, 1)) == 1  # resumed


@pytest.mark.req(67)
def test_a_message_that_waits_stays_with_its_account_though_the_number_moves(pipeline, router, relay):
    write(pipeline, "a", "behind")
    (asked,) = pipeline.read(Topic.INTAKE_REQUESTED, 1)
    elsewhere = ("phone_number_id:300000000000009",)
    pipeline.publish_account(pipeline.flow_account(version=5, account_refs=elsewhere))
    pipeline.publish_account(pipeline.unit_account(version=5, account_refs=(f"phone_number_id:{FLOW_NUMBER}",)))
    wait(lambda: router.snapshots.directory.account(pipeline.flow_account_id).version == 5)
    wait(lambda: router.snapshots.directory.account(pipeline.unit_account_id).version == 5)
    answer(pipeline, asked.event.request_id)
    wait(lambda: answered(pipeline) == 1)
    relay.deliver()
    wait(lambda: relay.deliver() >= 0 and requests(pipeline) == 2)
    answer(pipeline, pipeline.read(Topic.INTAKE_REQUESTED, 2)[-1].event.request_id)
    wait(lambda: answered(pipeline) == 2)
    wait(lambda: relay.deliver() == 0 and {row[1] for row in held(pipeline)} == {"done"})
    reads = [read.event.message for read in pipeline.read(Topic.MESSAGE_RECEIVED, 2)]
    requested = [read.event.message for read in pipeline.read(Topic.INTAKE_REQUESTED, 2)]
    assert [(one.message_id, one.account_id) for one in reads] == [(one.message_id, one.account_id) for one in requested]
    assert {one.account_id for one in reads} == {pipeline.flow_account_id}
    write(pipeline, "new")
    (later,) = pipeline.read(Topic.MESSAGE_RECEIVED, 3)[2:]
    assert later.event.message.account_id == pipeline.unit_account_id


@pytest.mark.req(67)
@pytest.mark.parametrize("before", [(), ("first",)], ids=["it waits for its message", "it waits in the queue"])
def test_an_early_reaction_comes_after_its_message_when_that_waits_for_its_flow(pipeline, router, relay, before):
    write(pipeline, *before)
    early = {"id": "wamid.r", "from": "5511900000009", "timestamp": "1700000000", "type": "reaction"}
    reaction = early | {"reaction": {"message_id": "wamid.a", "emoji": "\N{THUMBS UP SIGN}"}}
    pipeline.post(meta_body(messages_value(FLOW_NUMBER, [reaction])))
    write(pipeline, "a")
    in_order = [f"wamid.{name}" for name in (*before, "a", "r")]
    for number, name in enumerate(in_order, start=1):
        wait(lambda number=number: relay.deliver() >= 0 and requests(pipeline) == number)
        asked = pipeline.read(Topic.INTAKE_REQUESTED, number)[-1].event
        assert asked.message.provider_message_id == name
        answer(pipeline, asked.request_id)
        wait(lambda number=number: answered(pipeline) == number)
    wait(lambda: relay.deliver() == 0 and {row[1] for row in held(pipeline)} == {"done"})
    reads = pipeline.read(Topic.MESSAGE_RECEIVED, len(in_order))
    assert [read.event.message.provider_message_id for read in reads] == in_order


def test_copies_change_something_once_and_a_lost_item_becomes_a_letter(pipeline, router, relay):
    write(pipeline, "a")
    pipeline.read(Topic.INTAKE_REQUESTED, 1)
    ((epoch, partition, offset),) = pipeline.sql("SELECT epoch::text, raw_partition, raw_offset FROM held_record")
    relay.copy([(epoch, partition, offset, "/gone")])  # of nothing that waits
    admin, group, topic = KafkaAdmin(pipeline.bootstrap), f"{pipeline.prefix}channels-router", Topic.WEBHOOK_RECEIVED.value
    wait(lambda: admin.committed(group, f"{pipeline.prefix}{topic}", 1)[0] == admin.bounds(f"{pipeline.prefix}{topic}", 1)[0][1])
    pipeline.sql("UPDATE held_record SET item = '/gone'")
    relay.deliver(early=True, times=3)
    (letter,) = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 1, settle_seconds=0.5)
    assert letter.event.reason == "redelivery_item_missing"
    wait(lambda: held(pipeline) == [("intake", "done", 1)])
    assert pipeline.read(Topic.MESSAGE_RECEIVED, 1, 1) == []
    assert router.registry.get_sample_value("channels_router_held_breaches_total") == 0
