"""Asks for what the edge lacks to prove a request: a certificate. It makes no call itself, it says so on a topic.

Bounded twice: each (connector, thing) once in a minute, and four things of one connector in a minute. In memory: after a
restart one more may pass.
"""

from __future__ import annotations

from typing import Protocol

from shared.adapters.avro import Codec
from shared.adapters.clock import new_uuid7
from shared.adapters.durable_producer import Delivered
from shared.adapters.kafka import event_headers
from shared.domain.errors import ChannelsError
from shared.domain.records import SyncRequired
from shared.domain.snapshots import ConnectorSnapshot
from shared.domain.topics import Topic
from shared.providers.contract import Undecided

INTERVAL_MS = 60_000
PER_CONNECTOR = 4
MAX_CONNECTORS = 1_000


class Log(Protocol):
    """Where the event goes (`DurableProducer`)."""

    def produce(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], delivered: Delivered) -> None:
        """Write one record."""
        ...


class Asking:
    """Writes `channel.account.sync_required`. `topic`: its full name."""

    def __init__(self, topic: str, codec: Codec, log: Log) -> None:
        self._topic = topic
        self._codec = codec
        self._log = log
        self._asked: dict[str, dict[tuple[str, str], int]] = {}  # connector → (cause, detail) → when

    def ask(self, connector: ConnectorSnapshot, undecided: Undecided, now_ms: int) -> bool:
        """True if it was asked now; False if it was a short time ago, or Kafka takes nothing: the provider comes again anyway."""
        if not self._due(connector.connector_id, (undecided.cause, undecided.detail), now_ms):
            return False
        event = SyncRequired(
            tenant_id=connector.tenant_id,
            connector_id=connector.connector_id,
            account_id=None,
            cause=undecided.cause,
            detail=undecided.detail,
            requested_at_ms=now_ms,
        )
        headers = event_headers(
            event_id=new_uuid7(),
            event_type=Topic.SYNC_REQUIRED.value,
            source="/channels/ingest",
            subject=connector.connector_id,
            time_ms=now_ms,
        )
        try:
            value = self._codec.encode(Topic.SYNC_REQUIRED, event)
            self._log.produce(self._topic, connector.connector_id.encode(), value, headers, _nothing)
        except ChannelsError:
            self._asked[connector.connector_id].pop((undecided.cause, undecided.detail), None)
            return False
        return True

    def _due(self, connector_id: str, thing: tuple[str, str], now_ms: int) -> bool:
        asked = self._asked.pop(connector_id, {})
        asked = {known: at for known, at in asked.items() if now_ms - at < INTERVAL_MS}
        due = thing not in asked and len(asked) < PER_CONNECTOR
        if due:
            asked[thing] = now_ms
        self._asked[connector_id] = asked  # at the end of the order: the one asked for longest ago is forgotten first
        if len(self._asked) > MAX_CONNECTORS:
            del self._asked[next(iter(self._asked))]
        return due


def _nothing(error: ChannelsError | None) -> None:
    """Lost or not, the provider comes again and asks anew."""
