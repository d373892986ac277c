"""Relay and router together: what a flow is asked about comes out once, in order of arrival, also when the relay is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.domain.enums import IntakeOutcome
from shared.domain.records import IntakeCompleted
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.relay.scene import RelayProcess
from tests.integration.services.router.conftest import RunningRouter
from tests.pipeline import FLOW_NUMBER, Pipeline, messages_value, meta_body, text_item

PEOPLE, MESSAGES = 5, 6
ODD = "tests.integration.services.relay.odd_relay"


@pytest.fixture
def pipeline(kafka_bootstrap: str, topic_prefix: str, database: DatabaseUnderTest, tmp_path: Path) -> Pipeline:
    return Pipeline.create(kafka_bootstrap, topic_prefix, database, tmp_path / "pipeline")


@pytest.fixture
def router(pipeline: Pipeline) -> Iterator[RunningRouter]:
    running = RunningRouter(pipeline).start()
    yield running
    running.stop()
    if running.failure is not None:
        raise running.failure


@pytest.mark.req(67)
def test_conversations_behind_a_flow_come_out_once_and_in_order(
    pipeline: Pipeline, router: RunningRouter, tmp_path: Path
) -> None:
    arguments = pipeline.bootstrap, pipeline.prefix, pipeline.database.worker_url
    dying = RelayProcess(*arguments, tmp_path / "dying.log", module=ODD, ODD_STEP="written", ODD_SIGNAL="SIGKILL")
    sound = RelayProcess(*arguments, tmp_path / "sound.log")  # one of them works, the other stands by
    try:
        for number in range(MESSAGES):
            for person in range(PEOPLE):
                item = text_item(f"wamid.{person}.{number}", f"{person}.{number}", f"551190000001{person}")
                pipeline.post(meta_body(messages_value(FLOW_NUMBER, [item])), flush=False)
        pipeline.flush()
        answer_all(pipeline, PEOPLE * MESSAGES, 90)
        received = [
            read.event.message.content.text
            for read in pipeline.read(Topic.MESSAGE_RECEIVED, PEOPLE * MESSAGES, 30, settle_seconds=1)
        ]
    finally:
        for relay in (dying, sound):
            relay.process.kill()
            relay.process.wait(10)
    for person in range(PEOPLE):
        assert [text for text in received if text.startswith(f"{person}.")] == [
            f"{person}.{number}" for number in range(MESSAGES)
        ]
    assert pipeline.sql("SELECT state, count(*) FROM held_record GROUP BY state") == [("done", PEOPLE * MESSAGES)]


def answer_all(pipeline: Pipeline, expected: int, seconds: float) -> None:
    """The flow: every request goes to the unit."""
    answered: set[str] = set()
    deadline = time.monotonic() + seconds
    for read in pipeline.follow(Topic.INTAKE_REQUESTED, lambda: len(answered) >= expected or time.monotonic() > deadline):
        request = read.event.request_id
        assert request not in answered, "asked twice"
        answered.add(request)
        said = IntakeCompleted(
            request_id=request,
            outcome=IntakeOutcome.ROUTE,
            org_unit_id=pipeline.unit_id,
            completed_at_ms=time.time_ns() // 1_000_000,
        )
        value = pipeline.codec.encode(Topic.INTAKE_COMPLETED, said)
        pipeline.producer.produce(f"{pipeline.prefix}{Topic.INTAKE_COMPLETED.value}", value, request.encode())
        pipeline.producer.poll(0)
    assert len(answered) == expected
