"""Many tenants over two connections, while statements are cancelled, connections killed, callers gone: each sees only its own."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import psycopg
import pytest
from sqlalchemy import event

from services.control.app import create_app
from services.control.call import Parts
from shared.adapters.database import create_engine_for
from shared.adapters.event_loop import LoopPool
from shared.adapters.loop_engine import LoopEngine
from shared.domain.identity import Permission
from shared.management.reference import put_org_unit
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, PUBLIC_URL
from tests.integration.rows import connect
from tests.integration.services.control.scene import Scene
from tests.waiting import allowed

TENANTS, CALLERS_EACH, CALLS_EACH, POOL = 6, 3, 40, 2
NAME = "channels-shared-pool"
CONNECTOR = {"tipo": "telegram", "config": {}}


@dataclass
class Caller:
    """One tenant: everything of it has `label` in its name, and nothing of anybody else."""

    tenant: str
    label: str
    token: str
    unit: str
    connector: str = ""
    wrong: list[str] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    hung_up: int = 0


@pytest.fixture
def callers(scene: Scene) -> list[Caller]:
    made = []
    for number in range(TENANTS):
        tenant = scene.management.another_tenant()
        label = f"tenant-{number}-"
        unit = scene.management.run(lambda one: put_org_unit(one, tenant, None, label, actor=ACTOR), tenant=tenant).id  # noqa: B023
        caller = Caller(tenant, label, scene.tokens.issue(tenant, *Permission), unit)
        caller.connector = scene.post("connectors", {**CONNECTOR, "nome": f"{label}first"}, token=caller.token).json()["id"]
        made.append(caller)
    return made


@contextmanager
def disturbed(database: DatabaseUnderTest) -> Iterator[Counter[str]]:
    """Somebody who cancels statements of the pool and kills its connections, forty times a second."""
    stopping, done = threading.Event(), Counter[str]()
    url = database.superuser_url.replace("postgresql+psycopg", "postgresql")
    kinds = ("pg_cancel_backend", "pg_cancel_backend", "pg_cancel_backend", "pg_terminate_backend")

    def disturb() -> None:
        chance = random.Random(7)
        with psycopg.connect(url, autocommit=True) as connection:
            while not stopping.wait(0.025):
                kind = chance.choice(kinds)
                backends = "FROM pg_stat_activity WHERE application_name = %s AND datname = %s AND state <> 'idle' LIMIT 1"
                done[kind] += connection.execute(f"SELECT {kind}(pid) {backends}", (NAME, database.name)).rowcount

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield done
    finally:
        stopping.set()
        thread.join(10)


async def _calls(client: httpx.AsyncClient, who: Caller, others: list[Caller], chance: random.Random) -> None:
    headers = {"Authorization": f"Bearer {who.token}"}
    for turn in range(CALLS_EACH):
        stranger = chance.choice([one for one in others if one is not who])
        account = {"identidade": f"{turn}", "org_unit_id": chance.choice([stranger.unit, "01900000-0000-7000-8000-0000000000ff"])}
        name = {"nome": f"{who.label}{turn}"}
        asked: tuple[str, str, Any, dict[str, str]] = chance.choice(
            [
                ("GET", "/v1/connectors?limit=200", None, {}),
                ("GET", f"/v1/connectors/{who.connector}", None, {}),
                ("GET", f"/v1/connectors/{stranger.connector}", None, {}),
                ("GET", "/v1/audit-log?limit=5", None, {}),
                ("POST", "/v1/connectors", {**CONNECTOR, **name}, {"Idempotency-Key": f"key-{turn % 5}"}),
                ("POST", f"/v1/connectors/{who.connector}/accounts", account, {}),  # refused by the database, as often as not
                ("PATCH", f"/v1/connectors/{who.connector}", name, {"If-Match": "*"}),
                ("PATCH", f"/v1/connectors/{stranger.connector}", name, {"If-Match": "*"}),
            ]
        )
        method, path, body, more = asked
        call = asyncio.create_task(client.request(method, path, json=body, headers=headers | more))
        if chance.random() < 0.25:
            await asyncio.sleep(chance.random() * 0.01)
            call.cancel()
        try:
            answer = await call
        except asyncio.CancelledError:
            who.hung_up += 1
            continue
        who.answers[answer.status_code] += 1
        foreign = [one.label for one in others if one is not who and one.label in answer.text]
        wanted = {404} if stranger.connector in path else {200, 201, 422}
        if foreign or answer.status_code not in wanted | {503}:
            who.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")


@pytest.mark.req(10)
def test_rule_10_tenants_that_share_two_connections_never_meet(
    scene: Scene, database: DatabaseUnderTest, callers: list[Caller]
) -> None:
    engine = create_engine_for(database.api_url, pool_size=POOL, application_name=NAME)
    connections: list[Any] = []
    event.listen(engine, "connect", lambda made, _: connections.append(made))
    readers = LoopPool(database.api_url, size=POOL, application_name=NAME)
    writers = LoopEngine(database.api_url, size=POOL, application_name=NAME)
    parts = Parts(engine=engine, vault=scene.management.vault, edge_url=PUBLIC_URL, readers=readers, writers=writers)
    app = create_app(parts, scene.tokens)

    async def all_of_them() -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test", timeout=60) as client:
            crowd = [who for who in callers for _ in range(CALLERS_EACH)]
            await asyncio.gather(*(_calls(client, who, callers, random.Random(number)) for number, who in enumerate(crowd)))

    with disturbed(database) as done:
        asyncio.run(asyncio.wait_for(all_of_them(), 120))
    answers = sum((who.answers for who in callers), Counter[int]())
    hung_up = sum(who.hung_up for who in callers)
    print(f"\n{dict(sorted(answers.items()))}, {hung_up} hung up, {dict(done)}, {len(connections)} connections made")
    assert [wrong for who in callers for wrong in who.wrong] == []
    assert min(answers[200], answers[201], answers[404], answers[422], answers[503], hung_up) > 0
    assert done["pg_terminate_backend"] > 0
    deadline = time.monotonic() + allowed(10)
    while engine.pool.checkedout() + writers.at_work:  # type: ignore[attr-defined]  # a QueuePool; threads of callers who hung up may be at work
        assert time.monotonic() < deadline, "a connection never came back"
        time.sleep(0.01)
    engine.dispose()
    readers.close()
    writers.close()
    with connect(database.owner_url) as owner:
        for who in callers:
            names = [name for (name,) in owner.execute("SELECT nome FROM channel_connector WHERE tenant_id = %s", (who.tenant,))]
            assert names
            assert all(name.startswith(who.label) for name in names), names
