"""Every hostile request of the matrix over real sockets against a real ingest process and a real Kafka."""

from __future__ import annotations

import asyncio

import pytest

from tests.edge import BODY, Edge, EdgeProcess
from tests.hostile.cases import CASES
from tests.hostile.conversation import converse_all, expected

PATIENCE_SECONDS = 4.0


@pytest.fixture
def process(edge: Edge) -> EdgeProcess:
    return edge.start(ingest_head_seconds=1.5, ingest_body_seconds=1.5)


def test_every_case_has_its_answer_and_only_what_was_accepted_is_in_kafka(edge: Edge, process: EdgeProcess) -> None:
    seen = asyncio.run(converse_all(edge.port, edge.connector_id, CASES, PATIENCE_SECONDS))
    wrong = {case.name: f"{seen[case.name]}, not {expected(case)}" for case in CASES if seen[case.name] != expected(case)}
    assert not wrong
    assert [stored.body for stored in edge.stored()] == [BODY] * sum(case.stored for case in CASES)
    assert not [line for line in process.lines() if line["event"] == "request_failed"]
    assert edge.post().status == 200


def test_there_are_enough_cases_and_no_name_twice() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
