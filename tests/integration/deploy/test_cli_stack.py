"""`channels up`, `down`, `status`, `logs` as a person runs them; and what a SIGKILL of `up` leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.fleet import Fleet
from deploy.local.home_lock import HomeLock
from tests.integration.deploy.conftest import processes_of

Channels = Callable[..., subprocess.CompletedProcess[str]]


def _environment(home: Path, extra: dict[str, str]) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("CHANNELS_") or name == "CHANNELS_CACHE"
    }
    return {**inherited, "CHANNELS_HOME": str(home), **extra}


@pytest.fixture
def channels(tmp_path: Path) -> Channels:
    """Runs `channels` in a home of this test's own."""

    def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "services.cli", *arguments]
        environment = _environment(tmp_path / "home", extra)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_up_status_logs_down(channels: Channels, tmp_path: Path) -> None:
    up = channels("up", "--stack-only")
    assert up.returncode == 0, up.stderr
    assert "kafka " in up.stdout
    assert "topics " in up.stdout

    status = channels("status")
    assert status.returncode == 0
    assert status.stdout.splitlines()[-1].startswith("total")
    assert "MB" in status.stdout.splitlines()[-1]

    assert channels("logs").stdout.split() == ["initdb", "kafka", "postgres"]
    assert "Kafka Server started" in channels("logs", "kafka").stdout
    unknown = channels("logs", "nobody")
    assert unknown.returncode == 1
    assert "kafka, postgres" in unknown.stderr

    again = channels("up", "--stack-only")
    assert again.returncode == 0
    assert "0 created" in again.stdout

    down = channels("down")
    assert "stopped kafka, postgres" in down.stdout
    assert processes_of(tmp_path) == []
    assert channels("down").stdout.strip() == "nothing was running"
    assert channels("status").returncode == 1


def test_a_killed_part_of_the_fleet_is_shown_and_healed_by_up(channels: Channels, tmp_path: Path) -> None:
    up = channels("up")
    assert up.returncode == 0, up.stdout + up.stderr
    assert channels("status").returncode == 0
    fleet = Fleet(tmp_path / "home")
    assert fleet.names() == ["control", "health", "ingest-0", "relay", "router-0", "sync", "token_rotator"]
    killed = fleet.kill("router-0")

    shown = channels("status")
    assert shown.returncode == 1
    assert [line for line in shown.stdout.splitlines() if line.startswith("router-0") and "does not run" in line]

    assert channels("up").returncode == 0
    assert fleet.pid("router-0") not in (None, killed)
    down = channels("down")
    assert "ingest-0, relay, router-0, sync, token_rotator, kafka, postgres" in down.stdout
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("after_seconds", [0.6, 1.2, 2.4])
def test_what_a_killed_up_leaves_is_found_by_down(channels: Channels, tmp_path: Path, after_seconds: float) -> None:
    home = tmp_path / "home"
    up = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "up", "--stack-only"],
        env=_environment(home, {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(after_seconds)  # the instant of the kill is what the test varies
    up.send_signal(signal.SIGKILL)
    up.wait(10)

    down = channels("down")

    assert down.returncode == 0, down.stderr
    assert processes_of(home) == []
    if after_seconds > 2:  # and it can be used as if nothing had happened
        assert channels("up", "--stack-only").returncode == 0
        assert channels("down").returncode == 0
    assert processes_of(home) == []


def test_a_second_up_says_who_is_at_work(channels: Channels, tmp_path: Path) -> None:
    with HomeLock(tmp_path / "home").held("up"):
        refused = channels("up", "--stack-only")
    assert refused.returncode == 1
    assert f"`channels up` (process {os.getpid()}) is at work" in refused.stderr


def test_an_external_stack_is_used_and_not_started(channels: Channels, tmp_path: Path) -> None:
    external = {"CHANNELS_STACK": "external", "CHANNELS_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    up = channels("up", "--stack-only", **external)
    assert up.returncode == 0, up.stderr
    assert "127.0.0.1:1 (external" in up.stdout
    assert processes_of(tmp_path) == []
    missing = channels("up", "--stack-only", CHANNELS_STACK="external")
    assert missing.returncode == 2
    assert "CHANNELS_KAFKA_BOOTSTRAP" in missing.stderr


def test_without_a_network_the_first_start_says_what_to_do(channels: Channels, tmp_path: Path) -> None:
    settings = tmp_path / "jgo.conf"
    settings.write_text("[repositories]\nnowhere = http://127.0.0.1:1/maven\n")
    refused = channels("up", "--stack-only", JGO_CONFIG_FILE=str(settings), CHANNELS_CACHE=str(tmp_path / "cache"))
    assert refused.returncode == 4, "an outage: to be tried again"
    assert "downloading Apache Kafka" in refused.stdout
    assert "cannot be downloaded" in refused.stderr
    assert "network" in refused.stderr
    assert "Traceback" not in refused.stderr
    channels("down")
    assert processes_of(tmp_path / "home") == []
