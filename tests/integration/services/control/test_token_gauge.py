"""The gauge of the time that tokens have left: per kind, of the connector that runs out first, of all tenants."""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from services.control import token_gauge
from services.control.token_gauge import TokenGauge
from shared.adapters.database import create_engine_for
from shared.domain.enums import ConnectorStatus, TokenKind
from shared.runtime.metrics import ControlMetrics
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import connect
from tests.integration.services.control.scene import Scene
from tests.waiting import allowed


@pytest.fixture
def engine(database: DatabaseUnderTest) -> Iterator[Engine]:
    made = create_engine_for(database.api_url, pool_size=1)
    yield made
    made.dispose()


class Shown:
    """What `/metrics` would show."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        self.gauge = TokenGauge(engine, ControlMetrics(self.registry), every_seconds=0.05)

    def __getitem__(self, kind: str) -> float | None:
        return self.registry.get_sample_value("channels_token_seconds_left", {"kind": kind})

    def refreshed(self) -> Shown:
        self.gauge.refresh()
        return self


def soon(**span: int) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(**span)


@pytest.mark.req(33)
def test_rule_33_no_expiry_is_never_and_an_expiry_is_counted_down_per_kind(scene: Scene, engine: Engine) -> None:
    shown, manage = Shown(engine), scene.management
    assert [shown.refreshed()[kind] for kind in TokenKind] == [None] * len(TokenKind)
    first, second = scene.connector(), scene.connector(nome="second")
    path = f"connectors/{first['id']}/tokens"
    never = scene.made(path, {"kind": "access_token", "value": "EAA0000000000000001"})
    assert never["expires_at"] is None
    assert shown.refreshed()["access_token"] == math.inf
    manage.token(second["id"], expires_at=soon(hours=1))
    manage.token(second["id"], kind=TokenKind.REFRESH_TOKEN, expires_at=soon(days=30))
    assert shown.refreshed()["access_token"] == pytest.approx(3600, abs=60)
    assert shown["refresh_token"] == pytest.approx(30 * 86_400, abs=60)
    assert shown["secret"] is None
    manage.token(second["id"], expires_at=soon(hours=9))  # a rotation: the old row stays for a while
    assert shown.refreshed()["access_token"] == pytest.approx(9 * 3600, abs=60)
    manage.token(scene.connector(nome="third")["id"], expires_at=soon(seconds=-90))
    assert shown.refreshed()["access_token"] == pytest.approx(-90, abs=60)


@pytest.mark.req(33)
def test_rule_33_it_is_of_all_tenants_without_archived_connectors(scene: Scene, engine: Engine) -> None:
    manage, shown = scene.management, Shown(engine)
    other = manage.another_tenant()
    token = scene.tokens.issue(other, *scene.tokens.known[scene.admin].permissions)
    body = {"tipo": "telegram", "nome": "theirs", "config": {}}
    theirs = scene.post("connectors", body, token=token).json()["id"]
    ends = soon(hours=2).isoformat()
    value = {"kind": "api_key", "value": "0000000000:key", "expires_at": ends}
    assert scene.post(f"connectors/{theirs}/tokens", value, token=token).status_code == 201
    assert shown.refreshed()["api_key"] == pytest.approx(7200, abs=60)
    connector = manage.connector()
    manage.token(connector, kind=TokenKind.API_KEY, expires_at=soon(seconds=5))
    manage.status(connector, ConnectorStatus.ARCHIVED)
    assert shown.refreshed()["api_key"] == pytest.approx(7200, abs=60)


def test_the_gauge_is_absent_while_the_database_is_away_and_comes_back(scene: Scene, engine: Engine) -> None:
    scene.management.token(scene.connector()["id"])
    gone = Shown(create_engine_for("postgresql+psycopg://channels_api@127.0.0.1:1/none"))
    assert gone.refreshed()["access_token"] is None
    shown = Shown(engine)
    shown.gauge.start()
    deadline = time.monotonic() + allowed(10)
    while shown["access_token"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shown.gauge.stop()
    shown.gauge._engine = gone.gauge._engine
    assert shown.refreshed()["access_token"] is None


def test_a_statement_that_hangs_does_not_keep_the_process_for_as_long_as_the_gauge_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hanging(_engine: Engine) -> dict[TokenKind, float]:
        asked.set()
        answer.wait()
        return {}

    monkeypatch.setattr(token_gauge, "token_seconds_left", hanging)
    monkeypatch.setattr(token_gauge, "_STATEMENT_SECONDS", 0.1)
    nothing: Any = None
    gauge = TokenGauge(nothing, ControlMetrics(CollectorRegistry()), every_seconds=3600)
    gauge.start()
    assert asked.wait(allowed(10))
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(gauge.stop)
        try:
            stopping.result(allowed(10))
        finally:
            answer.set()


@pytest.mark.req(74)
def test_the_function_tells_numbers_to_the_api_alone(database: DatabaseUnderTest) -> None:
    with connect(database.api_url) as api:
        columns = [column.name for column in api.execute("SELECT * FROM token_seconds_left()").description or ()]
    assert columns == ["kind", "seconds"]
    for url in (database.worker_url, database.credential_url):
        with connect(url) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute("SELECT * FROM token_seconds_left()")
