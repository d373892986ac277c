"""A body into its items, by its provider; the body of copies that come one after the other is split once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from shared.domain.enums import RecordSource
from shared.domain.items import AnyItem
from shared.domain.records import WebhookReceived
from shared.domain.send_result import parse_send_result
from shared.domain.snapshots import ConnectorSnapshot
from shared.providers import provider_of

_Split = tuple[bytes, Mapping[str, str], ConnectorSnapshot, tuple[AnyItem, ...]]


class Splitter:
    """Splitting is pure, so what came of the last copy's body holds for the next copy with the same one.

    A body of 1 000 messages that wait comes back as 1 000 copies, and takes 15 ms to split. Not for several threads.
    """

    def __init__(self) -> None:
        self._last: _Split | None = None

    def items(self, record: WebhookReceived, connector: ConnectorSnapshot, body: bytes) -> tuple[AnyItem, ...]:
        """All items of the body. Raises what the provider's `normalise` raises, and CorruptData."""
        if record.source is RecordSource.RESULT:
            return (parse_send_result(body),)
        if record.only_item is None:
            return _normalised(record, connector, body)
        last = self._last
        if last is None or last[2] is not connector or last[1] != record.headers or last[0] != body:
            self._last = None
            self._last = last = body, record.headers, connector, _normalised(record, connector, body)
        return last[3]


def _normalised(record: WebhookReceived, connector: ConnectorSnapshot, body: bytes) -> tuple[AnyItem, ...]:
    return tuple(provider_of(connector.tipo).normalise(body, record.headers, _settings(connector.config)))


@lru_cache(maxsize=4096)
def _settings(config: str) -> Mapping[str, Any]:
    """A connector's config; shared between records, so nobody may change it."""
    return MappingProxyType(json.loads(config))
