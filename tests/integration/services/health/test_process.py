"""Health as a process: Faust follows the books, checks run by themselves, and a SIGKILL at any step changes no outcome."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from confluent_kafka import Producer

from services.simulator.app import Server
from services.simulator.simulator import Simulator
from shared.adapters.avro import Codec
from shared.adapters.kafka import client_config, full_name
from shared.adapters.topics import apply_topics
from shared.domain.enums import ConnectorStatus, ItemOutcome
from shared.domain.records import AuditCount, AuditRecorded
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.edge import free_port
from tests.integration.services.health.scene import HealthScene, scene_on
from tests.waiting import allowed

ROOT = Path(__file__).parents[4]
SECONDS = 60.0
MODULE = "tests.integration.services.health.killed_process"
HOUR_MS = 3_600_000


class Played:
    """The simulator behind a port of its own, in a thread."""

    def __init__(self) -> None:
        self.simulator = Simulator(1, time.time_ns() // 1_000_000)
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        runner = web.AppRunner(Server(self.simulator, speed=0).application())
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", self.port).start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()


class Site:
    """One number at the simulator, registered and active, and health processes that check it every second."""

    def __init__(self, scene: HealthScene, played: Played, bootstrap: str, prefix: str, home: Path) -> None:
        self.scene, self.played, self.bootstrap, self.prefix, self.home = scene, played, bootstrap, prefix, home
        self.processes: list[subprocess.Popen[bytes]] = []
        self.directory = home / "directory"  # where processes run
        self.directory.mkdir()
        self.number = played.simulator["meta"].create()
        config = {"waba_id": self.number.about["waba_id"], "graph_url": f"http://127.0.0.1:{played.port}/meta"}
        management = scene.management
        self.connector = management.connector(config=config)
        self.number.callback_url = f"https://edge.invalid/webhooks/{self.connector}"
        management.token(self.connector, value=self.number.about["access_token"])
        management.check(self.connector)
        management.status(self.connector, ConnectorStatus.ACTIVE)
        self.account = scene.account(self.connector, config={"phone_number_id": self.number.id})
        self.producer = Producer(
            {**client_config(bootstrap, "books"), "transactional.id": f"{prefix}books", "transaction.timeout.ms": 10_000}
        )
        self.producer.init_transactions(30)

    def start(self, step: str = "never") -> subprocess.Popen[bytes]:
        given = {
            "stack": "external",
            "kafka_bootstrap": self.bootstrap,
            "topic_prefix": self.prefix,
            "database_api_url": self.scene.database.api_url,
            "database_worker_url": self.scene.database.worker_url,
            "database_credential_url": self.scene.database.credential_url,
            "keys_dir": self.home / "keys",
            "log_format": "json",
            "http_allow": f"http://127.0.0.1:{self.played.port}",
            "health_operations_port": 0,
            "health_every_seconds": 1,
            "health_min_open_seconds": 0,
            "health_unreachable_after": 1_000,
        }
        with (self.home / f"health-{len(self.processes)}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, step],
                cwd=self.directory,
                env=os.environ
                | {f"CHANNELS_{name.upper()}": str(value) for name, value in given.items()}
                | {"PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)
        return process

    def book(self, count: int, *, commit: bool = True, value: bytes | None = None) -> None:
        hour = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS
        line = AuditCount(
            connector_id=self.connector,
            account_id=self.account,
            hour_ms=hour,
            outcome=ItemOutcome.EMITTED,
            reason="",
            count=count,
        )
        record = AuditRecorded(epoch="e", partition=0, first_offset=0, end_offset=count, counts=(line,))
        self.producer.begin_transaction()
        self.producer.produce(
            full_name(self.prefix, Topic.AUDIT), value or Codec().encode(Topic.AUDIT, record), key=b"0", partition=0
        )
        self.producer.flush(10)
        if commit:
            self.producer.commit_transaction(10)
        else:
            self.producer.abort_transaction(10)

    def until(self, done: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + allowed(SECONDS)
        while not (found := done()):
            assert time.monotonic() < deadline, f"{what}\n" + "\n".join(
                log.read_text()[-3_000:] for log in sorted(self.home.glob("health-*.log"))
            )
            time.sleep(0.1)
        return found

    def items(self) -> int:
        rows = self.scene.management.read("SELECT sum(h) FROM account_activity, unnest(hours) AS h")
        return int(rows[0][0] or 0)


@pytest.fixture
def site(database: DatabaseUnderTest, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> Iterator[Site]:
    apply_topics(kafka_bootstrap, topic_prefix, only={Topic.AUDIT})
    played = Played()
    with scene_on(database, tmp_path / "keys") as scene:
        made = Site(scene, played, kafka_bootstrap, topic_prefix, tmp_path)
        yield made
        for process in made.processes:
            process.kill()
            process.wait()
    played.stop()


@pytest.mark.req(17, 92)
def test_books_count_once_and_show_life_though_the_process_is_killed(site: Site) -> None:
    first = site.start()
    site.until(lambda: site.scene.checks(site.account), "the first check")
    site.book(3)
    site.book(100, commit=False)
    site.book(1, value=b"\x00no book")
    site.book(4)
    site.until(lambda: site.items() == 7, "the books")
    first.send_signal(signal.SIGKILL)
    first.wait()
    site.book(5)
    site.start()
    site.until(lambda: site.items() >= 12, "the books after the kill")
    site.book(1)
    site.until(lambda: site.items() >= 13, "the next book")
    assert site.items() == 13
    # written every 30 seconds at most, so never much older than that while checks pass every second
    fresh = "SELECT ultimo_heartbeat > now() - interval '33 seconds' FROM channel_connector"
    assert site.scene.management.read(fresh) == [(True,)]


def test_sigterm_ends_it_in_order_and_it_leaves_nothing_where_it_ran(site: Site) -> None:
    process = site.start()
    site.until(lambda: len(site.scene.checks(site.account)) > 2, "checks")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert site.scene.management.read("SELECT count(*) FROM health_state WHERE lease_until IS NOT NULL") == [(0,)]
    assert list(site.directory.rglob("*")) == []


@pytest.mark.req(63, 72)
@pytest.mark.parametrize("step", ["asked", "inserted", "moved", "committed"])
def test_killed_while_it_opens_a_breaker_it_opens_once(site: Site, step: str) -> None:
    site.number.about["status"] = "BANNED"
    killed = site.start(step)
    assert killed.wait(SECONDS) == -signal.SIGKILL
    site.scene.forget_leases()
    site.start()
    site.until(lambda: site.scene.route(site.account) == ("paused", "health_status_banned"), "the pause")
    site.number.about["status"] = "CONNECTED"
    site.until(lambda: site.scene.route(site.account)[0] == "open", "the recovery")
    events = site.scene.events("channel.route.status_changed", site.account)
    assert [one["status"] for one in events] == ["paused", "resumed"]
    grades = [status for status, _ in site.scene.checks(site.account)]
    assert "passed" not in grades[:3]
    told = [one for one in site.scene.events("channel.health.checked", site.connector) if one["account_id"] == site.account]
    assert len({one["check_id"] for one in told}) == len(told)
    assert min(one["failures"] for one in told if one["breaker"] == "open") == 3
