"""The edge asks for a certificate once in a while, for few things at a time, and never fails because of it."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.asking import INTERVAL_MS, MAX_CONNECTORS, PER_CONNECTOR, Asking
from shared.adapters.avro import Codec
from shared.domain.enums import ConnectorStatus, ConnectorType
from shared.domain.errors import Unavailable
from shared.domain.snapshots import ConnectorSnapshot
from shared.domain.topics import Topic
from shared.providers.contract import Undecided


class KeptLog:
    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, bytes]] = []
        self.away = False

    def produce(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], delivered: Any) -> None:
        if self.away:
            raise Unavailable("no Kafka")
        self.records.append((topic, key, value))
        delivered(None)


def connector(connector_id: str = "00000000-0000-7000-8000-000000000001") -> ConnectorSnapshot:
    return ConnectorSnapshot(
        version=1,
        connector_id=connector_id,
        tenant_id="00000000-0000-7000-8000-000000000002",
        tipo=ConnectorType.EMAIL,
        status=ConnectorStatus.ACTIVE,
        config="{}",
        webhooks=(),
        ingest_keys=(),
    )


def missing(number: int = 0) -> Undecided:
    return Undecided(
        reason="certificate_missing", cause="certificate_missing", detail=f"https://sns.x.amazonaws.com/{number}.pem"
    )


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec()


def test_the_same_thing_is_asked_for_once_a_minute(codec: Codec) -> None:
    log = KeptLog()
    asking = Asking("t.sync", codec, log)
    asked = [asking.ask(connector(), missing(), now) for now in (0, 1, INTERVAL_MS - 1, INTERVAL_MS, INTERVAL_MS + 1)]
    assert asked == [True, False, False, True, False]
    topic, key, value = log.records[0]
    event = codec.decode(Topic.SYNC_REQUIRED, value)
    assert (topic, key) == ("t.sync", connector().connector_id.encode())
    assert (event.cause, event.detail, event.requested_at_ms) == ("certificate_missing", missing().detail, 0)


def test_one_connector_asks_for_few_things_and_does_not_stop_another(codec: Codec) -> None:
    log = KeptLog()
    asking = Asking("t.sync", codec, log)
    assert sum(asking.ask(connector(), missing(number), 0) for number in range(100)) == PER_CONNECTOR
    assert asking.ask(connector("00000000-0000-7000-8000-000000000003"), missing(), 0)


def test_what_kafka_does_not_take_is_asked_again(codec: Codec) -> None:
    log = KeptLog()
    asking = Asking("t.sync", codec, log)
    log.away = True
    assert not asking.ask(connector(), missing(), 0)
    log.away = False
    assert asking.ask(connector(), missing(), 1)


def test_its_memory_is_bounded(codec: Codec) -> None:
    asking = Asking("t.sync", codec, KeptLog())
    for number in range(MAX_CONNECTORS + 50):
        asking.ask(connector(f"00000000-0000-7000-8000-{number:012d}"), missing(), 0)
    assert len(asking._asked) == MAX_CONNECTORS
