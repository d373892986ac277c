"""The modules of docs/CONSUMING.md, run as they stand there: another team's program, which knows nothing of our packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.domain.topics import Topic
from tests.bench.processes import ROOT
from tests.integration.services.router.hand_relay import HandRelay
from tests.integration.services.router.test_holds import answered, wait, write
from tests.pipeline import UNIT_NUMBER, Pipeline

EXAMPLES = ROOT / "docs" / "examples"


@contextmanager
def module(pipeline: Pipeline, name: str, told: Path) -> Iterator[None]:
    """One of them as a process that says to a file what it has to say, killed at the end as a crash would end it."""
    settings = {"KAFKA_BOOTSTRAP": pipeline.bootstrap, "TOPIC_PREFIX": pipeline.prefix, "SCHEMAS": str(ROOT / "schemas")}
    environment = {"PATH": os.environ["PATH"], "UNIT": pipeline.unit_id}
    environment |= {f"CHANNELS_{key}": value for key, value in settings.items()}
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    with told.open("a") as output:
        process = subprocess.Popen(command, cwd=told.parent, env=environment, stdout=output)
    try:
        yield
        assert process.poll() is None, "it ended by itself"
    finally:
        process.kill()
        process.wait()


def lines(told: Path, least: int) -> list[list[str]]:
    """What was said so far, once it is so many lines."""
    wait(lambda: told.read_text().count("\n") >= least, 30)
    return [json.loads(line) for line in told.read_text().splitlines()]


@pytest.mark.req(93)
def test_messaging_shows_each_message_once_and_goes_on_after_a_crash(pipeline, router, tmp_path):
    told, texts = tmp_path / "told", ["a", "b", "c", "d"]
    with module(pipeline, "messaging", told):
        write(pipeline, "a", "b", number=UNIT_NUMBER)
        lines(told, 2)
        write(pipeline, "c", number=UNIT_NUMBER)
        lines(told, 3)  # so the offset of `b` is committed
    write(pipeline, "d", number=UNIT_NUMBER)
    with module(pipeline, "messaging", told):
        wait(lambda: lines(told, 4)[-1][2] == "d", 30)
    found = [line for line in lines(told, 4) if line != [pipeline.unit_id, "text", "c"]]
    assert found == [[pipeline.unit_id, "text", text] for text in texts if text != "c"]
    # Shown and killed before the commit, `c` is shown again: that it was, only a table of the module's own would know.
    assert lines(told, 4).count([pipeline.unit_id, "text", "c"]) in (1, 2)


@pytest.mark.req(93)
def test_automation_is_asked_and_says_which_unit(pipeline, router, tmp_path):
    with module(pipeline, "automation", tmp_path / "told"):
        write(pipeline, "a")
        wait(lambda: answered(pipeline) == 1, 30)
    assert HandRelay(pipeline).deliver() == 1
    (read,) = pipeline.read(Topic.MESSAGE_RECEIVED, 1)
    decision = read.event.decision
    assert (decision.reason, decision.org_unit_id, decision.labels) == ("flow_routed", pipeline.unit_id, ("greeted",))
