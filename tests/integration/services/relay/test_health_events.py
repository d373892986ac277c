"""What health tells through the outbox: read back from the topics, once each, though the relay is killed in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.avro import Codec
from shared.adapters.kafka import read_headers
from shared.adapters.topics import apply_topics
from shared.domain.enums import FallbackType, HealthStatus
from shared.domain.snapshots import FallbackInForce
from shared.domain.topics import Topic
from shared.management.fallbacks import NewFallback, create_fallback
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR
from tests.integration.services.health.scene import HealthScene, scene_on
from tests.integration.services.relay.scene import RelayProcess, read_committed
from tests.waiting import eventually


@pytest.fixture
def health(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[HealthScene]:
    with scene_on(database, tmp_path / "keys") as made:
        yield made


@pytest.mark.req(41, 63, 71, 72)
def test_checks_and_pauses_come_out_once_each(
    health: HealthScene, start_relay: Callable[..., RelayProcess], kafka_bootstrap: str, topics: str, codec: Codec
) -> None:
    apply_topics(kafka_bootstrap, topics, only=(Topic.HEALTH_CHECKED, Topic.ROUTE_STATUS_CHANGED))
    connector = health.management.active_connector()
    account = health.account(connector)
    new = NewFallback(tipo=FallbackType.EMAIL_FORWARD, destino="desk@example.org")
    fallback = health.management.run(lambda session: create_fallback(session, account, new, actor=ACTOR)).id

    def told(topic: Topic) -> list[Any]:
        return [codec.decode(topic, one.value() or b"") for one in read_committed(kafka_bootstrap, topics, topic)]

    def drained() -> bool:
        return health.management.read("SELECT count(*) FROM outbox") == [(0,)]

    first = start_relay()
    health.story(account, "FFF")
    eventually(lambda: len(told(Topic.ROUTE_STATUS_CHANGED)) == 1, 20)
    eventually(lambda: any(one.fallback is not None for one in told(Topic.ACCOUNT_SNAPSHOT)), 20)
    first.process.kill()
    first.process.wait(10)
    health.story(account, "PP")
    start_relay()
    eventually(drained, 30)

    of_account = [one for one in told(Topic.HEALTH_CHECKED) if one.account_id == account]
    assert [one.status for one in of_account] == [HealthStatus.FAILED] * 3 + [HealthStatus.PASSED] * 2
    assert len({one.check_id for one in of_account}) == 5
    assert all(one.duration_milliseconds == 12 for one in of_account)
    paused, resumed = told(Topic.ROUTE_STATUS_CHANGED)
    assert (paused.status, paused.why, paused.fallback_id) == ("paused", "health_auth", fallback)
    assert (resumed.status, resumed.account_id, resumed.fallback_id) == ("resumed", account, None)
    [one, other] = read_committed(kafka_bootstrap, topics, Topic.ROUTE_STATUS_CHANGED)
    assert (one.key(), other.key()) == (account.encode(), account.encode())
    assert read_headers(one.headers())["ce_id"] == paused.change_id
    snapshots = [one for one in told(Topic.ACCOUNT_SNAPSHOT) if one.account_id == account]
    in_force = FallbackInForce(fallback_id=fallback, tipo=FallbackType.EMAIL_FORWARD, destino="desk@example.org")
    assert in_force in [one.fallback for one in snapshots]
    assert snapshots[-1].fallback is None
