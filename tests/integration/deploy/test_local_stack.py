"""The embedded stack: data survive restarts and crashes, stale files fool nobody, faults have clear messages."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import psycopg
import pytest

from deploy.local.home_lock import HomeLock
from deploy.local.identity import started_of
from deploy.local.settings import EmbeddedSettings
from deploy.local.stack import LocalStack
from shared.domain.errors import ConfigError, Conflict
from tests.integration.deploy.conftest import OwnStack, create_topic, read_first, write_record
from tests.waiting import allowed


def _connect(stack: LocalStack) -> psycopg.Connection:
    return psycopg.connect(host=str(stack.postgres.socket_folder), user="postgres", dbname="postgres", autocommit=True)


@pytest.fixture
def running(own_stack: OwnStack) -> LocalStack:
    own_stack.local.start()
    return own_stack.local


def test_data_survive_a_stop_and_a_start_on_the_same_address(running: LocalStack) -> None:
    before = running.start()
    create_topic(before.kafka_bootstrap, "kept")
    write_record(before.kafka_bootstrap, "kept", b"first")
    with _connect(running) as database:
        database.execute("CREATE TABLE kept (value text)")
        database.execute("INSERT INTO kept VALUES ('first')")

    assert sorted(running.stop()) == ["kafka", "postgres"]
    assert [part.pid for part in running.status()] == [None, None]
    after = running.start()

    assert after == before
    assert read_first(after.kafka_bootstrap, "kept") == b"first"
    with _connect(running) as database:
        assert database.execute("SELECT value FROM kept").fetchall() == [("first",)]


def test_a_killed_broker_is_started_again_with_its_data(running: LocalStack) -> None:
    address = running.kafka.bootstrap
    create_topic(address, "crash")
    write_record(address, "crash", b"acknowledged")
    killed = running.kafka.kill()
    assert killed is not None
    assert running.running() is None

    running.start()

    assert running.kafka.daemon.pid not in (None, killed)
    assert running.kafka.bootstrap == address
    assert read_first(address, "crash") == b"acknowledged"


def test_a_killed_postgres_with_open_sessions_is_started_again(running: LocalStack) -> None:
    with _connect(running) as database:
        database.execute("CREATE TABLE crash AS SELECT 1 AS value")
        killed = running.postgres.kill()
        running.postgres.start()
        with pytest.raises(psycopg.OperationalError):
            database.execute("SELECT 1")
    assert running.postgres.daemon.pid not in (None, killed)
    with _connect(running) as database:
        assert database.execute("SELECT value FROM crash").fetchall() == [(1,)]


def test_a_stale_identity_file_neither_hides_nor_hits_anybody(running: LocalStack) -> None:
    running.stop()
    innocent = {"pid": os.getpid(), "started": "another boot:1"}
    for node in (running.kafka, running.postgres):
        node.daemon.identity_file.write_text(json.dumps(innocent))
    (running.home / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n/elsewhere\n")

    running.start()

    assert all(part.ready for part in running.status())
    assert os.getpid() not in [part.pid for part in running.status()]


def test_a_server_whose_identity_file_was_lost_is_found_again(running: LocalStack) -> None:
    pid = running.postgres.daemon.pid
    running.postgres.daemon.identity_file.unlink()
    running.postgres.start()
    assert running.postgres.daemon.pid == pid


def test_a_port_that_somebody_took_meanwhile_is_replaced_and_said(own_stack: OwnStack, running: LocalStack) -> None:
    create_topic(running.kafka.bootstrap, "moved")
    write_record(running.kafka.bootstrap, "moved", b"still here")
    port = int(running.kafka.bootstrap.rpartition(":")[2])
    running.stop()
    with socket.create_server(("127.0.0.1", port)):
        addresses = running.start()

    assert addresses.kafka_bootstrap != f"127.0.0.1:{port}"
    assert any(str(port) in line and "taken" in line for line in own_stack.said)
    assert read_first(addresses.kafka_bootstrap, "moved") == b"still here"  # the advertised listener moved with it
    assert json.loads((running.home / "stack.json").read_text())["settings"]["kafka_bootstrap"] == addresses.kafka_bootstrap


def test_who_has_clients_comes_back_where_they_know_it_or_not_at_all(running: LocalStack) -> None:
    bootstrap = running.kafka.bootstrap
    running.kafka.stop()
    with (
        socket.create_server(("127.0.0.1", int(bootstrap.rpartition(":")[2]))),
        pytest.raises(ConfigError, match=r"port \d+ for Kafka is taken"),
    ):
        running.kafka.start(same_address=True)
    assert not running.kafka.running
    assert running.kafka.start(same_address=True) == bootstrap
    assert running.kafka.restart() == bootstrap


def test_a_second_start_asks_no_registry(running: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("a download was tried")

    running.kafka.stop()
    monkeypatch.setattr("deploy.local.jars._fetch", no_network)
    running.start()
    assert running.kafka.running


def test_the_memory_of_both_is_told_and_bounded(running: LocalStack) -> None:
    kafka, postgres = running.status()
    assert 50e6 < kafka.memory_bytes < 800e6
    assert 5e6 < postgres.memory_bytes < 300e6
    assert running.memory_bytes() > kafka.memory_bytes


def test_a_given_port_that_is_busy_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stack = LocalStack(tmp_path, options=EmbeddedSettings(kafka_port=port))
        with pytest.raises(ConfigError, match=rf"port {port} .*CHANNELS_KAFKA_PORT"):
            stack.kafka.start()
    assert stack.status()[0].pid is None


def test_two_starts_in_one_home_do_not_mix(tmp_path: Path) -> None:
    began = time.monotonic()
    other = HomeLock(tmp_path)
    with other.held("up"), pytest.raises(Conflict, match=rf"`channels up` \(process {os.getpid()}\)"):
        LocalStack(tmp_path).start()
    assert time.monotonic() - began < allowed(10)
    assert started_of(os.getpid()) is not None
