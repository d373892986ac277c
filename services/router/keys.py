"""The keys under which the router finds things again: claims, conversations, messages. Pure."""

from __future__ import annotations

import hashlib
import uuid
from functools import lru_cache
from typing import Any

from shared.domain.items import AnyItem, ConnectorEventItem, MessageItem, ReceiptItem, SendResultItem


def claim_key(connector_id: str, account_id: str, item: AnyItem) -> bytes:
    """16 bytes that are equal for every repeat of one item, and for nothing else (BLAKE2b-128 over length-prefixed parts)."""
    direction = item.direction if isinstance(item, MessageItem) else ""
    digest = _begun(connector_id, account_id, direction, _claim_kind(item)).copy()
    digest.update(_sized(item.dedup_key))
    key: bytes = digest.digest()
    return key


@lru_cache(maxsize=4_096)
def _begun(*parts: str) -> Any:
    """The hash over what the items of one account share; copied, never changed."""
    return hashlib.blake2b(b"".join(map(_sized, parts)), digest_size=16)


def _sized(part: str) -> bytes:
    data = part.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(4, "big") + data


def _claim_kind(item: AnyItem) -> str:
    if isinstance(item, MessageItem):
        return "message"
    if isinstance(item, ReceiptItem):
        return "receipt"
    if isinstance(item, SendResultItem):
        return "result"
    if isinstance(item, ConnectorEventItem):
        return "event"
    raise TypeError(type(item).__name__)


def conversation_key(account_id: str, contact_id: str | None, group_id: str | None) -> str:
    """`chave_externa` of a conversation: the account and its group, else its contact."""
    return f"{account_id}:{group_id or contact_id}"


def message_key(account_id: str, chat_scope: str | None, provider_message_id: str) -> str:
    """`chave_externa` of a message; the chat only where the provider's ids are unique per chat."""
    if chat_scope:
        return f"{account_id}:{chat_scope}:{provider_message_id}"
    return f"{account_id}:{provider_message_id}"


def stable_id(data: bytes) -> str:
    """A UUID (version 8: our own making) that is the same at every replay, from 16 bytes."""
    raw = bytearray(data[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def position_id(epoch: str, partition: int, offset: int, item: str, what: str) -> str:
    """A stable id for what one position of the raw topic brings about (`what`: dead_letter, audit, …)."""
    text = f"{epoch}|{partition}|{offset}|{item}|{what}"
    return stable_id(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())
