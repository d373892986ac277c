"""From raw bytes to items: decode, open the seal, let the provider split the body. What cannot be opened is poison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from services.router.facts import Opened
from services.router.fragments import fragment_at
from services.router.own_faults import OWN_EXCEPTION
from services.router.splitting import Splitter
from shared.adapters.avro import Codec
from shared.adapters.kafka_transactions import RawMessage
from shared.adapters.object_store import ObjectStore
from shared.adapters.raw_body import fragment_aad, open_body
from shared.adapters.snapshots import Directory
from shared.adapters.vault import KeyRing, Vault
from shared.adapters.webhook_reader import WebhookReader
from shared.domain.enums import KeyPurpose, WebhookEvent
from shared.domain.errors import CorruptData, NotFound, SealBroken, Unavailable, UnknownKey
from shared.domain.items import AnyItem, PoisonItem
from shared.domain.records import ConnectorSnapshot, WebhookReceived
from shared.providers.contract import TooManyItems, UnparseableBody

__all__ = ["SNAPSHOT_GRACE_MS", "Opener", "all_poison", "fragment_aad"]

# The edge accepted the record, so it knew the connector; our own copy of the snapshots is at most this much behind.
SNAPSHOT_GRACE_MS = 15_000
_log = structlog.get_logger()


class Opener:
    """Opens raw records. Blocks on the key service and on the object store for large bodies; raises Unavailable."""

    def __init__(self, codec: Codec, vault: Vault, objects: ObjectStore, directory: Directory, now_ms: Callable[[], int]) -> None:
        self._reader = WebhookReader(codec)
        self._vault = vault
        self._objects = objects
        self._directory = directory
        self._now_ms = now_ms
        self._splitter = Splitter()
        self._rings: dict[str, tuple[ConnectorSnapshot, KeyRing]] = {}

    def open(self, message: RawMessage) -> Opened:
        """One record with its items; never raises for bad content, only Unavailable when a part we need is away."""
        try:
            record = self._reader.decode(message.value)
        except CorruptData:
            key = message.key.decode("ascii", "replace")
            return _poison(message, key, None, None, b"", "undecodable_record")
        # A clock that runs ahead of ours must not make a record young for as long as it is ahead.
        young = abs(self._now_ms() - record.received_at_ms) < SNAPSHOT_GRACE_MS
        connector = self._directory.connector(record.connector_id)
        if connector is None:
            if young:
                raise Unavailable(f"no snapshot of connector {record.connector_id} yet")
            return _poison(message, record.connector_id, record, None, b"", "unknown_connector")
        try:
            body = open_body(record, self.ring(connector), self._objects)
        except SealBroken as error:
            # The edge may know a newer key than our snapshot; but a tenant without any key was erased.
            if young and connector.ingest_keys and isinstance(error, UnknownKey):
                raise Unavailable(f"no snapshot with the key of record {record.record_id} yet") from error
            return _poison(message, record.connector_id, record, connector, b"", "seal_broken")
        except (NotFound, CorruptData):
            return _poison(message, record.connector_id, record, connector, b"", "body_missing")
        return self._split(message, record, connector, body)

    def ring(self, connector: ConnectorSnapshot) -> KeyRing:
        """The keys of the connector's tenant that open (and seal) raw bodies; made once per snapshot."""
        known = self._rings.get(connector.connector_id)
        if known is not None and known[0] is connector:
            return known[1]
        ring = self._vault.ring(KeyPurpose.INGEST, connector.tenant_id, connector.ingest_keys)
        self._rings[connector.connector_id] = connector, ring
        return ring

    def _split(self, message: RawMessage, record: WebhookReceived, connector: ConnectorSnapshot, body: bytes) -> Opened:
        try:
            items = self._splitter.items(record, connector, body)
        except TooManyItems as error:
            return _poison(message, record.connector_id, record, connector, b"", error.code)
        except (UnparseableBody, CorruptData):
            return _poison(message, record.connector_id, record, connector, body, UnparseableBody.code)
        except Unavailable:
            raise
        except Exception as error:  # a fault of ours in one provider must not stop the others' traffic
            _log.error("normalise_failed", connector_id=record.connector_id, exception=type(error).__name__)
            return _poison(message, record.connector_id, record, connector, body, OWN_EXCEPTION)
        if record.only_item is not None:
            items = tuple(item for item in items if item.path == record.only_item)
        if not items and (record.only_item is not None or record.redrive is not None):
            return _poison(message, record.connector_id, record, connector, b"", "redelivery_item_missing")
        return _opened(message, record.connector_id, record, connector, items, body)


def _poison(
    message: RawMessage,
    connector_id: str,
    record: WebhookReceived | None,
    connector: ConnectorSnapshot | None,
    fragment: bytes,
    reason: str,
) -> Opened:
    item = PoisonItem(path="", evento=WebhookEvent.MESSAGE_IN, account_refs=(), dedup_key="", reason=reason, fragment=fragment)
    return _opened(message, connector_id, record, connector, (item,), b"")


def _opened(
    message: RawMessage,
    connector_id: str,
    record: WebhookReceived | None,
    connector: ConnectorSnapshot | None,
    items: tuple[AnyItem, ...],
    body: bytes,
) -> Opened:
    return Opened(
        partition=message.partition,
        offset=message.offset,
        connector_id=connector_id,
        record=record,
        connector=connector,
        items=items,
        body=body,
        size_bytes=len(message.value) + len(body),
        traceparent=message.traceparent,
    )


def all_poison(opened: Opened, reason: str) -> Opened:
    """The same record with every item turned into a dead letter."""
    items = tuple(
        item
        if isinstance(item, PoisonItem)
        else PoisonItem(
            path=item.path,
            evento=item.evento,
            account_refs=item.account_refs,
            dedup_key="",
            reason=reason,
            fragment=fragment_at(opened.body, item.path) or b"",
        )
        for item in opened.items
    )
    return replace(opened, items=items)
