"""What a provider tells of an account leads to one `channel.account.sync_required` per change; bodies are the simulator's."""

from __future__ import annotations

import json

import pytest

from services.simulator.simulator import Simulator
from shared.domain.enums import ConnectorType
from shared.domain.sync_causes import position_of
from shared.domain.topics import Topic
from tests.pipeline import UNIT_NUMBER, messages_value, meta_body, text_item

TOPIC = "arn:aws:sns:sa-east-1:000000000001:mail-in"


def simulated() -> Simulator:
    simulator = Simulator()
    simulator["meta"].create(id=UNIT_NUMBER, waba_id="200000000000001", callback_url="https://edge.invalid/")
    return simulator


@pytest.mark.req(70)
def test_a_changed_tier_asks_once_however_often_it_is_told_and_each_change_asks(pipeline, router):
    simulator = simulated()
    simulator["meta"].tier(UNIT_NUMBER, "TIER_2K")
    (first,) = simulator.posts()
    for _ in range(1_000):  # as often as the provider likes
        pipeline.post(first.body, flush=False)
    simulator.advance(1, lambda post: None)  # type: ignore[arg-type]
    simulator["meta"].tier(UNIT_NUMBER, "TIER_10K", "HIGH")
    later = simulator.posts()
    assert len(later) == 2  # the portfolio's limit, and the number's throughput
    for post in later:
        pipeline.post(post.body)
    simulator.advance(1, lambda post: None)  # type: ignore[arg-type]
    simulator["meta"].tier(UNIT_NUMBER, "TIER_2K")  # and down again: another change, with words that were said before
    (last,) = simulator.posts()
    pipeline.post(last.body)
    asked = [read.event for read in pipeline.read(Topic.SYNC_REQUIRED, 4, settle_seconds=2)]
    assert [one.cause for one in asked] == ["tier_changed"] * 4
    assert {(one.connector_id, one.account_id) for one in asked} == {(pipeline.connector_id, None)}
    assert asked[0].detail == "waba_id:200000000000001"
    assert pipeline.books(20, 1_003) == {("ignored", "connector_event"): 1_003}  # the books are as they were


@pytest.mark.req(20, 70)
def test_another_name_asks_and_what_is_no_news_of_the_account_does_not(pipeline, router):
    simulator = simulated()
    number = simulator["meta"].accounts[UNIT_NUMBER].about["display_phone_number"]
    for name, values in {
        "phone_number_name_update": {"display_phone_number": number, "decision": "APPROVED", "requested_verified_name": "Loja"},
        "account_alerts": {"entity_type": "WABA", "alert_info": {"alert_severity": "WARNING"}},
        "message_template_status_update": {"event": "APPROVED", "message_template_id": 1},
        "security": {"event": "PIN_CHANGED"},
    }.items():
        simulator["meta"].event(UNIT_NUMBER, name, **values)
    for post in simulator.posts():
        pipeline.post(post.body)
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.1")])))
    pipeline.books(20, 5)
    (asked,) = [read.event for read in pipeline.read(Topic.SYNC_REQUIRED, 2, 2)]
    assert (asked.cause, asked.detail) == ("name_changed", f"waba_id:200000000000001,display_phone_number:{number}")


@pytest.mark.req(70)
def test_a_pending_subscription_names_the_place_of_its_record_and_no_token(pipeline, router):
    config = json.dumps({"dialect": "ses", "topic_arns": [TOPIC]})
    pipeline.publish_connector(pipeline.connector(version=2, tipo=ConnectorType.EMAIL, config=config))
    while (found := router.snapshots.directory.connector(pipeline.connector_id)) is None or found.version != 2:
        pass
    simulator = Simulator()
    account = simulator["sns"].create(topic_arn=TOPIC, callback_url="https://edge.invalid/")
    simulator["sns"].confirm(account.id)
    (post,) = simulator.posts()
    pipeline.post(post.body)
    ended = {**json.loads(post.body), "Type": "UnsubscribeConfirmation", "MessageId": "another"}
    pipeline.post(json.dumps(ended).encode())
    pipeline.books(20, 2)
    (read,) = pipeline.read(Topic.SYNC_REQUIRED, 2, 2)
    place = position_of(read.event.detail)
    assert (read.event.cause, read.event.account_id, read.key) == ("subscription_pending", None, pipeline.connector_id)
    assert place is not None
    assert (place.epoch, place.partition, place.offset) == (router.router._epoch, 0, 0)
    assert account.about["token"] not in str(read.event)
