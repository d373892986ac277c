"""`channels router status`: everything where everybody answers; where somebody is away, the rest and who it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from prometheus_client import generate_latest

from services.cli.__main__ import cli
from shared.adapters.clock import new_uuid7
from shared.domain.topics import Topic
from tests.integration.services.router.conftest import RunningRouter
from tests.integration.services.router.router_process import set_offset
from tests.pipeline import UNIT_NUMBER, Pipeline, messages_value, meta_body, text_item

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def environment(pipeline: Pipeline) -> dict[str, str]:
    return {
        "CHANNELS_STACK": "external",
        "CHANNELS_HOME": str(pipeline.keys_dir.parent / "no-home"),
        "CHANNELS_KAFKA_BOOTSTRAP": pipeline.bootstrap,
        "CHANNELS_TOPIC_PREFIX": pipeline.prefix,
        "CHANNELS_DATABASE_WORKER_URL": pipeline.database.worker_url,
    }


@pytest.fixture
def metrics() -> Iterator[Any]:
    """Serves what a router counts; `serve(registry)` gives the address."""
    servers: list[HTTPServer] = []

    def serve(registry: Any) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(generate_latest(registry))

            def log_message(self, *_: Any) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/metrics"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def status(environment: dict[str, str], *more: str, exit_code: int = 1) -> dict[str, Any]:
    told = CliRunner().invoke(cli, ["router", "status", "--json", *more], env=environment)
    assert told.exit_code == exit_code, (told.output, told.exception)
    found: dict[str, Any] = json.loads(told.stdout[told.stdout.index("{\n") :])
    return found


def post(pipeline: Pipeline, *names: str) -> None:
    for name in names:
        pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{name}")])))


def hold(pipeline: Pipeline, reason: str, day: str) -> None:
    with psycopg.connect(pipeline.database.owner_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as owner:
        owner.execute(
            "INSERT INTO held_record (id, connector_id, account_id, conversation_id, epoch, raw_partition, raw_offset, item,"
            " reason, blocks, due_at, expires_at, first_arrival_at)"
            " VALUES (%s, %s, %s, %s, gen_random_uuid(), 0, 0, '/x', %s, true, now(), now(), %s)",
            (new_uuid7(), pipeline.connector_id, pipeline.unit_account_id, new_uuid7(), reason, f"{day}T00:00:00Z"),
        )


@pytest.mark.req(91)
def test_everything_is_told(pipeline: Pipeline, environment: dict[str, str], metrics: Any) -> None:
    running = RunningRouter(pipeline).start()
    address = metrics(running.registry)
    try:
        post(pipeline, "a", "b")
        assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 2, settle_seconds=0.5)) == 2
        for reason, day in (("paused", "2026-01-03"), ("paused", "2026-01-02"), ("intake", "2026-01-01")):
            hold(pipeline, reason, day)
        found = status(environment, "--metrics", address, exit_code=0)
    finally:
        running.stop()
    (partition,) = found["partitions"]
    assert (partition["lag"], partition["committed"], partition["end"], partition["oldest_seconds"]) == (0, 2, 2, None)
    assert partition["member"] == f"{pipeline.prefix}channels-router-0"
    held = [(each["reason"], each["state"], each["count"], each["oldest_at"]) for each in found["held"]]
    assert held == [("paused", "waiting", 2, 1767312000.0), ("intake", "waiting", 1, 1767225600.0)]
    (process,) = found["processes"]
    assert process["counts"]["transactions committed"] >= 1
    assert process["counts"]["transactions aborted"] == 0
    assert found["troubles"] == []


def test_a_backlog_has_an_age_and_nobody_works_on_it(pipeline: Pipeline, environment: dict[str, str]) -> None:
    post(pipeline, "a", "b", "c")
    found = status(environment)
    (partition,) = found["partitions"]
    assert (partition["lag"], partition["member"]) == (3, None)
    assert 0 <= partition["oldest_seconds"] < 60
    assert found["held"] == []
    assert "no router is in the group: nothing is being worked on" in found["troubles"]
    assert any("give --metrics URL" in each for each in found["troubles"])
    told = CliRunner().invoke(cli, ["router", "status"], env=environment).stdout
    assert "nothing is held" in told


@pytest.mark.req(91)
@pytest.mark.parametrize("away", ["kafka", "postgresql", "both"])
def test_whoever_is_away_is_named_and_the_rest_is_told(pipeline: Pipeline, environment: dict[str, str], away: str) -> None:
    post(pipeline, "a")
    if away != "postgresql":
        environment["CHANNELS_KAFKA_BOOTSTRAP"] = NOWHERE
    if away != "kafka":
        environment["CHANNELS_DATABASE_WORKER_URL"] = f"postgresql+psycopg://channels_worker@{NOWHERE}/channels"
    found = status(environment, "--metrics", f"http://{NOWHERE}/metrics")
    troubles = "\n".join(found["troubles"])
    assert f"router at http://{NOWHERE}/metrics does not answer" in troubles
    assert ("Kafka does not answer" in troubles) == (away != "postgresql")
    assert ("PostgreSQL does not answer" in troubles) == (away != "kafka")
    assert (found["partitions"] is None) == (away != "postgresql")
    assert (found["held"] is None) == (away != "kafka")


def test_what_a_router_would_refuse_is_told(pipeline: Pipeline, environment: dict[str, str]) -> None:
    running = RunningRouter(pipeline).start()
    post(pipeline, "a", "b")
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 2, settle_seconds=0.5)) == 2
    running.stop()
    post(pipeline, "c", "d")
    set_offset(pipeline, 4)
    troubles = "\n".join(status(environment)["troubles"])
    assert "partition 0: routers refuse to start at 4; see `channels router adopt --dry-run`" in troubles
    set_offset(pipeline, 9)
    assert "the committed offset 9 lies beyond the end 4" in "\n".join(status(environment)["troubles"])
