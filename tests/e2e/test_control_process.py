"""The management API as a process: it starts, knows its callers, tells its state, and drains."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from deploy.local.fleet import Fleet, control_process
from deploy.local.ports import choose_port
from shared.adapters.development_keys import DEVELOPMENT_ISSUER, DevelopmentKey, development_directory
from shared.domain.identity import Permission
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of
from tests.waiting import allowed


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


@pytest.fixture
def ports() -> tuple[int, int]:
    first = choose_port(given=None, before=None, purpose="control", variable="", taken=frozenset())
    return first, choose_port(given=None, before=None, purpose="operations", variable="", taken=frozenset({first}))


@pytest.fixture
def fleet(
    database: DatabaseUnderTest, management: Management, tmp_path: Path, ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fleet]:
    for name in [name for name in os.environ if name.startswith("CHANNELS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CHANNELS_DATABASE_API_URL", database.api_url)
    monkeypatch.setenv("CHANNELS_KEYS_DIR", str(tmp_path / "keys"))
    made = Fleet(tmp_path / "home")
    made.start(control_process(port=ports[0], operations_port=ports[1]))
    made.wait_ready("control")
    yield made
    made.stop_all()


@pytest.fixture
def client(fleet: Fleet, management: Management, ports: tuple[int, int]) -> Iterator[httpx.Client]:
    claims = {
        "iss": DEVELOPMENT_ISSUER,
        "aud": "channels",
        "sub": "tester",
        "tenant_id": management.tenant,
        "permissions": [permission.value for permission in Permission],
    }
    token = DevelopmentKey(development_directory(fleet.home)).sign(claims, seconds=60)
    with httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", headers={"Authorization": f"Bearer {token}"}) as made:
        yield made


BODY = {"tipo": "whatsapp_official", "nome": "Meta", "config": {"waba_id": "100000000000000"}}


@pytest.mark.req(7)
def test_it_serves_counts_and_tells_who_did_it(client: httpx.Client, management: Management, ports: tuple[int, int]) -> None:
    made = client.post("/v1/connectors", json=BODY)
    assert made.status_code == 201, made.text
    assert client.get(made.headers["Location"]).json() == made.json()
    assert httpx.get(f"http://127.0.0.1:{ports[0]}/v1/connectors").status_code == 401
    assert management.read("SELECT actor FROM audit_log WHERE action = 'connector.created'") == [("api:tester",)]
    metrics = httpx.get(f"http://127.0.0.1:{ports[1]}/metrics").text
    assert 'channels_control_requests_total{method="POST",route="/v1/connectors",status="201"} 1.0' in metrics
    assert made.json()["id"] not in metrics


def test_callers_who_hang_up_leave_nothing_behind(client: httpx.Client, management: Management, ports: tuple[int, int]) -> None:
    """In the middle of the head, of the body, and before the answer: creations are made whole or not at all, and others go on."""
    body = json.dumps(BODY).encode()
    head = (
        f"POST /v1/connectors HTTP/1.1\r\nHost: api\r\nAuthorization: {client.headers['Authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    for number in range(120):
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=10) as caller:
            caller.sendall((head[:60], head + body[:-5], head + body)[number % 3])
            if number % 2:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        assert number % 20 or client.get("/v1/connectors").status_code == 200
    deadline = time.monotonic() + allowed(10)
    busy = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'channels-control'"
    while management.read(f"{busy} AND state <> 'idle'"):
        assert time.monotonic() < deadline, "a connection is still at work"
        time.sleep(0.05)
    ids = [row[0] for row in management.read("SELECT id::text FROM channel_connector")]
    assert 0 < len(ids) <= 40
    for table, each in (("channel_capability", 6), ("outbox", 2)):  # with all that belongs to a connector
        column = "subject_id" if table == "outbox" else "connector_id"
        counts = management.read(f"SELECT {column}::text, count(*) FROM {table} GROUP BY 1")
        assert dict(counts) == dict.fromkeys(ids, each), table
    assert client.post("/v1/connectors", json=BODY).status_code == 201


def test_a_stop_lets_the_calls_at_work_end(client: httpx.Client, fleet: Fleet, management: Management) -> None:
    made = client.post("/v1/connectors", json=BODY)
    path, tag = made.headers["Location"], made.headers["ETag"]
    with ThreadPoolExecutor(2) as pool, management.engine.connect() as blocker:
        blocker.exec_driver_sql(f"SELECT set_config('channels.tenant', '{management.tenant}', true)")
        blocker.exec_driver_sql("SELECT 1 FROM channel_connector FOR UPDATE")
        answer = pool.submit(client.patch, path, json={"nome": "waited"}, headers={"If-Match": tag})
        deadline = time.monotonic() + 10
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while not management.read(waiting) and time.monotonic() < deadline:
            time.sleep(0.02)
        stopped = pool.submit(fleet.stop, "control")
        time.sleep(0.5)  # the stop has begun, and must be seen to wait
        assert not stopped.done()
        blocker.rollback()
        assert answer.result(10).json()["nome"] == "waited"
        assert stopped.result(15) is True
