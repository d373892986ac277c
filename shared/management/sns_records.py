"""Messages of SNS in the raw topic: read again and opened where somebody has to act on one. Bodies stay in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.adapters.avro import Codec
from shared.adapters.kafka import full_name
from shared.adapters.object_store import ObjectStore
from shared.adapters.placed_records import PlacedRecords
from shared.adapters.raw_body import open_body
from shared.adapters.topic_reader import TopicReader
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import CorruptData, NotFound
from shared.domain.records import RawPosition, WebhookReceived
from shared.domain.snapshots import WrappedDataKey
from shared.domain.topics import Topic

_SNS_TYPE = "x-amz-sns-message-type"


class Owner(Protocol):
    """A connector whose records are opened."""

    @property
    def tenant_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def connector_id(self) -> str:
        """Its id."""
        ...

    @property
    def ingest_keys(self) -> Sequence[WrappedDataKey]:
        """Its tenant's `ingest` keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SnsRecords:
    """What reading needs; each method has a reader of its own, and blocks. Both raise Unavailable, SealBroken, KeyRefused."""

    bootstrap: str
    topic_prefix: str
    codec: Codec
    vault: Vault
    objects: ObjectStore

    def at(self, position: RawPosition, connector: Owner) -> tuple[str, bytes]:
        """(record id, body) of one message of this connector.

        Raises NotFound where the place holds no message of SNS to this connector (any more): retention, a topic made anew.
        """
        with PlacedRecords(self.bootstrap, self._topic) as records:
            if records.incarnation() != position.epoch:
                raise NotFound("the raw topic was made anew since")
            place = position.partition, position.offset
            found = records.read_at([place]).get(place)
        if found is None or not found.value:
            raise NotFound("the raw record is not there any more")
        try:
            record: WebhookReceived = self.codec.decode(Topic.WEBHOOK_RECEIVED, found.value)
        except CorruptData as error:
            raise NotFound("the raw record cannot be read") from error
        if (record.tenant_id, record.connector_id) != (connector.tenant_id, connector.connector_id) or not _is_sns(record):
            raise NotFound("there lies no message of SNS to this connector")
        return record.record_id, self._opened(record, connector)

    def last(self, connector: Owner, count: int) -> list[tuple[str, bytes]]:
        """(record id, body) of the messages of SNS among the connector's last `count` records, the oldest first."""
        with TopicReader(self.bootstrap, self._topic) as reader:
            found = reader.read_last(count, lambda record: record.key == connector.connector_id)
        records: list[WebhookReceived] = [self.codec.decode(Topic.WEBHOOK_RECEIVED, one.value) for one in found if one.value]
        return [(record.record_id, self._opened(record, connector)) for record in records if _is_sns(record)]

    @property
    def _topic(self) -> str:
        return full_name(self.topic_prefix, Topic.WEBHOOK_RECEIVED)

    def _opened(self, record: WebhookReceived, connector: Owner) -> bytes:
        ring = self.vault.ring(KeyPurpose.INGEST, connector.tenant_id, connector.ingest_keys)
        return open_body(record, ring, self.objects)


def _is_sns(record: WebhookReceived) -> bool:
    return _SNS_TYPE in record.headers
