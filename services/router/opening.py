"""From raw bytes to items: decode, open the seal, let the provider split the body. What cannot be opened is poison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from shared.domain.records import WebhookReceived
from shared.domain.snapshots import ConnectorSnapshot
from shared.providers.contract import TooManyItems, UnparseableBody

__all__ = ["SNAPSHOT_GRACE_MS", "Opener", "all_poison", "fragment_aad"]

# The edge accepted the record, so it knew the connector; our own copy of the snapshots is at most this much behind.
SNAPSHOT_GRACE_MS = 15_000
_log = structlog.get_logger()

_Body = tuple[WebhookReceived, ConnectorSnapshot, bytes]


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

    def open_some(self, messages: Sequence[RawMessage], max_items: int, max_bytes: int) -> list[Opened]:
        """Records with their items, from the first on and at least that one; never raises for bad content.

        Ends with the record that goes beyond `max_items` or `max_bytes`, and before one whose body lies in the object store or
        for which a part that we need is away; if that is the first, raises Unavailable.
        """
        # Each step over all of them: the processor keeps the code of one step at hand, and not that of the whole way.
        unsealed = self._unsealed(messages, self._decoded(messages), max_bytes)
        found: list[Opened] = []
        items = 0
        for message, one in zip(messages, unsealed, strict=False):  # some may be left out at the end
            opened = one if isinstance(one, Opened) else self._split(message, *one)
            found.append(opened)
            items += len(opened.items)
            if items > max_items:
                break
        return found

    def ring(self, connector: ConnectorSnapshot) -> KeyRing:
        """The keys of the connector's tenant that open (and seal) raw bodies; made once per snapshot."""
        known = self._rings.get(connector.connector_id)
        if known is not None and known[0] is connector:
            return known[1]
        ring = self._vault.ring(KeyPurpose.INGEST, connector.tenant_id, connector.ingest_keys)
        self._rings[connector.connector_id] = connector, ring
        return ring

    def _decoded(self, messages: Sequence[RawMessage]) -> list[WebhookReceived | None]:
        """None for what is no record of ours. Ends before a record whose schema the registry cannot tell now."""
        found: list[WebhookReceived | None] = []
        for message in messages:
            try:
                found.append(self._reader.decode(message.value))
            except CorruptData:
                found.append(None)
            except Unavailable:
                if not found:
                    raise
                break
        return found

    def _unsealed(
        self, messages: Sequence[RawMessage], records: Sequence[WebhookReceived | None], max_bytes: int
    ) -> list[_Body | Opened]:
        found: list[_Body | Opened] = []
        size = 0
        for message, record in zip(messages, records, strict=False):
            if found and (size > max_bytes or (record is not None and record.body_reference is not None)):
                break
            try:
                one = self._unseal(message, record)
            except Unavailable:
                if not found:
                    raise
                break
            found.append(one)
            size += len(message.value) + len(one.body if isinstance(one, Opened) else one[2])
        return found

    def _unseal(self, message: RawMessage, record: WebhookReceived | None) -> _Body | Opened:
        """The record with its connector and plain body; or as poison."""
        if record is None:
            return _poison(message, message.key.decode("ascii", "replace"), None, None, b"", "undecodable_record")
        # A clock that runs ahead of ours must not make a record young for as long as it is ahead.
        young = abs(self._now_ms() - record.received_at_ms) < SNAPSHOT_GRACE_MS
        connector = self._directory.connector(record.connector_id)
        if connector is None:
            if young:
                raise Unavailable(f"no snapshot of connector {record.connector_id} yet")
            return _poison(message, record.connector_id, record, None, b"", "unknown_connector")
        try:
            return record, connector, open_body(record, self.ring(connector), self._objects)
        except SealBroken as error:
            # The edge may know a newer key than our snapshot; but a tenant without any key was erased.
            if young and connector.ingest_keys and isinstance(error, UnknownKey):
                raise Unavailable(f"no snapshot with the key of record {record.record_id} yet") from error
            return _poison(message, record.connector_id, record, connector, b"", "seal_broken")
        except (NotFound, CorruptData):
            return _poison(message, record.connector_id, record, connector, b"", "body_missing")

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
