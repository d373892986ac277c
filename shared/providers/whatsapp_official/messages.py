"""Messages: what a person wrote to the company, and what the company wrote in its phone app (echoes)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import convert

from shared.domain.enums import Direction, MessageKind, WebhookEvent
from shared.domain.items import Content, MessageItem, Unsupported
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed
from shared.providers.whatsapp_official.changes import Change, milliseconds
from shared.providers.whatsapp_official.contents import CONTENTS
from shared.providers.whatsapp_official.errors import explanation
from shared.providers.whatsapp_official.payloads import Envelope, JsonObject

_NO_REFERENCE = "M0"  # stands for an id inside edits


def inbound_message(change: Change, path: str, element: JsonObject) -> MessageItem:
    """One element of `value.messages`. Raises Malformed, or ValidationError for a field of a wrong type."""
    envelope = convert(element, Envelope)
    sender = _Person(envelope.sender, envelope.from_user_id, envelope.from_parent_user_id)
    return _message(change, path, element, envelope, sender, Direction.INBOUND)


def echo_message(change: Change, path: str, element: JsonObject) -> MessageItem:
    """One element of `value.message_echoes`: the peer is the one it was sent to."""
    envelope = convert(element, Envelope)
    receiver = _Person(envelope.to, envelope.to_user_id, envelope.to_parent_user_id)
    return _message(change, path, element, envelope, receiver, Direction.ECHO)


@dataclass(frozen=True, slots=True)
class _Person:
    phone: str | None
    user_id: str | None
    parent_user_id: str | None


def _message(
    change: Change, path: str, element: JsonObject, envelope: Envelope, person: _Person, direction: Direction
) -> MessageItem:
    message_id = exact_text(envelope.id)
    if message_id is None:
        raise Malformed("id_malformed" if envelope.id else "id_missing")
    peer = change.people.peer(person.phone, person.user_id, person.parent_user_id)
    if peer is None:
        raise Malformed("peer_missing")
    kind, content = _content(change, element, envelope)
    context = envelope.context
    reply_to = exact_text(context.id) if context is not None else None
    return MessageItem(
        path=path,
        evento=WebhookEvent.MESSAGE_IN,
        account_refs=change.account_refs,
        dedup_key=message_id,
        provider_time_ms=milliseconds(envelope.timestamp),
        direction=direction,
        kind=kind,
        provider_message_id=message_id,
        peer=peer,
        content=content,
        group_id=exact_text(envelope.group_id),
        reply_to_provider_message_id=None if reply_to == _NO_REFERENCE else reply_to,
        forwarded=context is not None and bool(context.forwarded or context.frequently_forwarded),
    )


def _content(change: Change, element: JsonObject, envelope: Envelope) -> tuple[MessageKind, Content]:
    if envelope.type in CONTENTS:
        kind, read = CONTENTS[envelope.type]
        value = element.get(envelope.type)
        content = None if value is None else read(value)
        if content is not None:
            return kind, content
    return MessageKind.UNSUPPORTED, Content(unsupported=_unsupported(change, element, envelope))


def _unsupported(change: Change, element: JsonObject, envelope: Envelope) -> Unsupported:
    """Meta's own type and, if it gives one, its finer type and its reason (in the message, else beside it)."""
    code, reason = explanation(envelope.errors or change.errors_beside)
    inner = element.get(envelope.type) if envelope.type else None
    subtype: Any = inner.get("type") if isinstance(inner, dict) else None
    parts = [part for part in (subtype, reason) if isinstance(part, str) and part]
    return Unsupported(
        provider_type=clean_text(envelope.type, MAX_CODE_CHARACTERS) or "missing",
        code=code,
        detail=clean_text(": ".join(parts), MAX_NAME_CHARACTERS) or None,
    )
