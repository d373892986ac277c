"""The body of a raw record: sealed inside it, or in the object store when it is large. Opens both."""

from __future__ import annotations

import hashlib

from shared.adapters.object_store import ObjectStore
from shared.adapters.sealing import Aad, KeyRing
from shared.domain.errors import CorruptData
from shared.domain.records import BodyReference, WebhookReceived

LARGE_BODY_BYTES = 262_144  # above it, the body goes to the object store: Kafka's default limits hold for all sizes


def body_aad(tenant_id: str, record_id: str) -> Aad:
    """Place of a raw body, wherever it is stored; copies and dead letters keep the record id, and so can be opened."""
    return Aad(tenant_id, "channels.webhook.received", "body", record_id)


def fragment_aad(tenant_id: str, record_id: str) -> Aad:
    """Place of the fragment that a dead letter carries: it is bound to the raw record it was cut from."""
    return Aad(tenant_id, "channels.webhook.received", "fragment", record_id)


def body_reference(tenant_id: str, record_id: str, body: bytes) -> BodyReference:
    """Where a large body is to be stored (sealed), and what it must be when it is read back."""
    return BodyReference(key=f"raw/{tenant_id}/{record_id}", size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())


def open_body(record: WebhookReceived, ring: KeyRing, store: ObjectStore) -> bytes:
    """The plain body; blocks when it lies in the object store.

    Raises SealBroken, NotFound (pruned after 8 days), Unavailable, and CorruptData when the record holds not exactly one body, or
    the stored one is not the one that was referred to.
    """
    aad = body_aad(record.tenant_id, record.record_id)
    reference = record.body_reference
    if (reference is None) == (record.sealed_body is None):
        raise CorruptData(f"raw record {record.record_id} must hold a sealed body or a reference to one")
    if record.sealed_body is not None:
        return ring.open_bytes(record.sealed_body, aad)
    assert reference is not None  # noqa: S101 - follows from the two lines above
    body = ring.open_bytes(store.get(reference.key), aad)
    if len(body) != reference.size_bytes or hashlib.sha256(body).hexdigest() != reference.sha256:
        raise CorruptData(f"object {reference.key} is not the body that record {record.record_id} refers to")
    return body
