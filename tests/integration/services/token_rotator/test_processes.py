"""Real processes against the simulator's token endpoints over HTTP: killed at every step, several at once, and what they show."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.simulator.app import Server
from services.simulator.simulator import Simulator
from services.simulator.stand_in import Account
from shared.domain.enums import ConnectorType, TokenKind
from tests.database_fixtures import DatabaseUnderTest
from tests.edge import START_SECONDS, EdgeProcess, free_port
from tests.integration.rows import connect
from tests.integration.services.token_rotator.scene import RotatorScene, oauth, scene_on
from tests.integration.services.token_rotator.test_renewals import value_of
from tests.token_provider import CLIENT_SECRET
from tests.waiting import eventually

LEASE_SECONDS = 2
MODULE = ["-m", "services.token_rotator"]
KILLED = ["-m", "tests.integration.services.token_rotator.killed_process"]


class Played:
    """The simulator behind a port of its own, in a thread, at the machine's time."""

    def __init__(self) -> None:
        self.simulator = Simulator(1, time.time_ns() // 1_000_000)
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def calls(self, service: str) -> list[str]:
        """The refresh tokens that were shown, in order."""
        return [call.fields["refresh_token"] for call in self.simulator[service].calls]

    def _serve(self) -> None:
        runner = web.AppRunner(Server(self.simulator, speed=1).application())
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", self.port).start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()


@dataclass
class Fleet:
    """Rotators as processes."""

    scene: RotatorScene
    played: Played
    directory: Path
    processes: list[EdgeProcess] = field(default_factory=list)

    def mailbox(self, service: str, **about: Any) -> tuple[str, Account]:
        """A consent at the simulator, of which we have the refresh token alone: it is due at once."""
        account = self.played.simulator[service].create(secret=CLIENT_SECRET, **about)
        config = {**oauth(service), "oauth_client_id": account.about["client_id"]}
        connector = self.scene.management.connector(tipo=ConnectorType.EMAIL, nome=account.id, config=config)
        self.scene.token(connector, CLIENT_SECRET, None, kind=TokenKind.SECRET, metadata={"name": "client_secret"})
        self.scene.token(connector, account.about["refresh_token"], None, kind=TokenKind.REFRESH_TOKEN)
        return connector, account

    def launch(self, command: list[str]) -> EdgeProcess:
        port, base = free_port(), f"http://127.0.0.1:{self.played.port}"
        hosts = {"oauth2.googleapis.com": "google", "login.microsoftonline.com": "microsoft", "graph.facebook.com": "meta"}
        given = {
            "stack": "external",
            "database_api_url": self.scene.database.api_url,
            "database_credential_url": self.scene.database.credential_url,
            "keys_dir": self.directory / "keys",
            "log_format": "json",
            "log_level": "DEBUG",
            "http_stand_ins": ",".join(f"{host}={base}/{name}" for host, name in hosts.items()),
            "token_rotator_operations_port": port,
            "token_rotator_lease_seconds": LEASE_SECONDS,
            "token_rotator_settle_seconds": 0.5,
            "token_rotator_poll_seconds": 0.05,
            "token_rotator_plan_seconds": 0.2,
            "token_rotator_tell_seconds": 0.2,
            "token_rotator_first_backoff_seconds": 1,
        }
        log = self.directory / f"rotator-{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *command],
                env=os.environ | {f"CHANNELS_{name.upper()}": str(value) for name, value in given.items()},
                stdout=output,
                stderr=output,
            )
        started = EdgeProcess(process, 0, port, log)
        self.processes.append(started)
        return started

    def live(self, service: str, connector: str) -> bool:
        """Is the newest access token that we hold one that the provider takes?"""
        if TokenKind.ACCESS_TOKEN not in [row[0] for row in self.scene.rows(connector)]:
            return False
        stand_in: Any = self.played.simulator[service]
        return bool(stand_in.is_live(value_of(self.scene, connector, TokenKind.ACCESS_TOKEN)))


@pytest.fixture
def fleet(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Fleet]:
    played = Played()
    played.start()
    with scene_on(database, tmp_path / "keys") as scene:
        made = Fleet(scene, played, tmp_path)
        yield made
        for process in made.processes:
            process.process.kill()
            process.process.wait()
    played.stop()


def status_of(fleet: Fleet, connector: str) -> str:
    ((status,),) = fleet.scene.management.read("SELECT status::text FROM channel_connector WHERE id = :c", c=connector)
    return str(status)


@pytest.mark.req(61, 92)
@pytest.mark.parametrize(("step", "calls"), [("intent", 1), ("call", 2), ("store", 2), ("stored", 1)])
def test_killed_at_any_step_no_token_is_lost(fleet: Fleet, step: str, calls: int) -> None:
    connector, account = fleet.mailbox("microsoft")
    first = account.about["refresh_token"]
    killed = fleet.launch([*KILLED, step])
    assert killed.wait() == -signal.SIGKILL
    fleet.launch(MODULE)
    eventually(lambda: fleet.live("microsoft", connector), START_SECONDS)
    assert fleet.played.calls("microsoft") == [first] * calls  # with the old token, as often as nobody had an answer
    assert value_of(fleet.scene, connector, TokenKind.REFRESH_TOKEN) == account.about["refresh_token"]
    assert status_of(fleet, connector) == "pending"


@pytest.mark.req(61)
@pytest.mark.parametrize("step", ["intent", "call", "store", "stored"])
def test_killed_at_any_step_a_one_time_token_is_exchanged_once(fleet: Fleet, step: str) -> None:
    connector, account = fleet.mailbox("microsoft", one_time=True)
    first = account.about["refresh_token"]
    assert fleet.launch([*KILLED, step]).wait() == -signal.SIGKILL
    fleet.launch(MODULE)
    if step in ("intent", "stored"):
        eventually(lambda: fleet.live("microsoft", connector), START_SECONDS)
        assert fleet.played.calls("microsoft") == [first]
        assert status_of(fleet, connector) == "pending"
    else:  # its answer died with the process: one more try, and then a person is called
        eventually(lambda: status_of(fleet, connector) == "error", START_SECONDS)
        assert fleet.played.calls("microsoft") == [first, first]
        assert fleet.scene.rows(connector)[-1] == ("refresh_token", "renew", "stopped", "invalid_grant")
    assert account.about["rotation"] == 1


@pytest.mark.req(61)
def test_two_processes_make_one_call_for_each_token(fleet: Fleet) -> None:
    made = [fleet.mailbox("microsoft", one_time=True, client_id=f"client-{number}") for number in range(12)]
    two = [fleet.launch(MODULE), fleet.launch(MODULE)]
    eventually(lambda: all(fleet.live("microsoft", connector) for connector, _ in made), START_SECONDS)
    shown = fleet.played.calls("microsoft")
    assert len(shown) == len(set(shown)) == 12
    renewed = 'channels_token_rotator_renewals_total{outcome="renewed",service="microsoft"}'
    assert sum(process.metric(renewed) for process in two) == 12


@pytest.mark.req(73)
def test_no_value_is_in_a_log_or_a_metric_and_sigterm_drains(fleet: Fleet) -> None:
    connector, account = fleet.mailbox("microsoft")
    refused, dead = fleet.mailbox("google")
    dead.about["revoked"] = True
    process = fleet.launch(MODULE)
    eventually(lambda: fleet.live("microsoft", connector) and status_of(fleet, refused) == "error", START_SECONDS)
    assert process.ready
    shown = process.operations("/metrics")[1]
    process.terminate()
    assert process.wait() == 0
    log = process.log.read_text()
    assert "renewal_stopped" in log
    secrets = [CLIENT_SECRET, "microsoft-refresh", "google-refresh", *account.about["access_tokens"]]
    for page in (log, shown, str(fleet.scene.management.read("SELECT t::text FROM audit_log t"))):
        assert [secret for secret in secrets if secret in page] == []


def test_a_schema_that_is_not_there_ends_the_process_with_a_word(fleet: Fleet) -> None:
    with connect(fleet.scene.database.owner_url) as rows:
        rows.execute("ALTER TABLE token_renewal RENAME TO gone")
    process = fleet.launch(MODULE)
    assert process.wait() == 2
    assert "channels database prepare" in process.log.read_text()
