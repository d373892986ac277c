"""Messages: what a person wrote to the company, and what the company wrote in its phone app (echoes)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from msgspec import convert

from shared.domain.enums import AliasKind, Direction, MessageKind, WebhookEvent
from shared.domain.items import Alias, ConnectorEventItem, Content, Edit, MessageItem, Peer, Product, Referral, Unsupported
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, MAX_URL_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed, Unmappable
from shared.providers.whatsapp_official.changes import Change, milliseconds
from shared.providers.whatsapp_official.connector_events import system_event
from shared.providers.whatsapp_official.contents import CONTENTS
from shared.providers.whatsapp_official.errors import explanation
from shared.providers.whatsapp_official.payloads import Correction, Envelope, JsonObject, ReferralSource, ReferredProduct

_NO_REFERENCE = "M0"  # stands for an id inside edits


def inbound_message(change: Change, path: str, element: JsonObject) -> MessageItem | ConnectorEventItem:
    """One element of `value.messages`; one of type `system` is nobody's message, but news of the person.

    Raises Malformed, or ValidationError for a field of a wrong type.
    """
    if element.get("type") == "system":
        return system_event(change, path, element)
    envelope = convert(element, Envelope)
    sender = _Person(envelope.sender, envelope.from_user_id, envelope.from_parent_user_id)
    return _message(change, path, element, envelope, sender, Direction.INBOUND)


def echo_message(change: Change, path: str, element: JsonObject) -> MessageItem:
    """One element of `value.message_echoes`: the peer is the one it was sent to."""
    envelope = convert(element, Envelope)
    receiver = _Person(envelope.to, envelope.to_user_id, envelope.to_parent_user_id)
    return _message(change, path, element, envelope, receiver, Direction.ECHO)


class _Person(NamedTuple):
    phone: str | None
    user_id: str | None
    parent_user_id: str | None


def _message(
    change: Change, path: str, element: JsonObject, envelope: Envelope, person: _Person, direction: Direction
) -> MessageItem:
    message_id = exact_text(envelope.id)
    if message_id is None:
        raise Malformed("id_malformed" if envelope.id else "id_missing")
    group_id = exact_text(envelope.group_id)
    peer = change.people.peer(person.phone, person.user_id, person.parent_user_id)
    if direction is Direction.ECHO and group_id is not None:  # to nobody in particular
        peer = Peer(aliases=(Alias(kind=AliasKind.GROUP, value=group_id),))
    if peer is None:
        raise Malformed("peer_missing")
    kind, content = _content(change, element, envelope)
    message_id = _own_id(message_id, envelope, content)
    context = envelope.context
    reply_to = exact_text(context.id) if context is not None else None
    frequently = context is not None and bool(context.frequently_forwarded)
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
        group_id=group_id,
        reply_to_provider_message_id=None if reply_to == _NO_REFERENCE else reply_to,
        forwarded=frequently or (context is not None and bool(context.forwarded)),
        frequently_forwarded=frequently,
    )


def _own_id(message_id: str, envelope: Envelope, content: Content) -> str:
    """Edits and deletions have ids of their own; one that came under its target's would count as a repeat of that."""
    if content.edit is not None and content.edit.target_provider_message_id == message_id:
        return f"{message_id}:edit:{milliseconds(envelope.timestamp)}"
    if content.revoke is not None and content.revoke.target_provider_message_id == message_id:
        return f"{message_id}:revoke"
    return message_id


def _content(change: Change, element: JsonObject, envelope: Envelope) -> tuple[MessageKind, Content]:
    found, why = None, None
    try:
        found = _edit(element) if envelope.type == "edit" else _read(envelope.type, element)
    except Unmappable as fault:
        why = fault.reason
    kind, content = found or (MessageKind.UNSUPPORTED, Content(unsupported=_unsupported(change, element, envelope, why)))
    product = envelope.context.referred_product if envelope.context is not None else None
    if envelope.referral is not None or product is not None:
        content = replace(content, referral=_referral(envelope.referral), product=_product(product))
    return kind, content


def _read(type_: str | None, element: JsonObject) -> tuple[MessageKind, Content] | None:
    """Kind and content of one documented type; None if it is another, or its content was left out."""
    known = CONTENTS.get(type_ or "")
    value = None if known is None or type_ is None else element.get(type_)
    content = None if known is None or value is None else known[1](value)
    return None if known is None or content is None else (known[0], content)


def _edit(element: JsonObject) -> tuple[MessageKind, Content] | None:
    """The new content in its own fields, and what it replaces; None if either is missing."""
    edit = convert(element.get("edit"), Correction | None)
    target = exact_text(edit.original_message_id) if edit is not None else None
    message = edit.message if edit is not None else None
    if message is None or target is None:
        return None
    type_ = message.get("type")
    found = _read(type_ if isinstance(type_, str) else None, message)
    if found is None:
        return None
    return MessageKind.EDIT, replace(found[1], edit=Edit(target_provider_message_id=target, kind=found[0]))


def _referral(source: ReferralSource | None) -> Referral | None:
    if source is None:
        return None
    welcome = source.welcome_message.text if source.welcome_message is not None else None
    return Referral(
        source_type=clean_text(source.source_type, MAX_CODE_CHARACTERS),
        source_id=exact_text(source.source_id),
        source_url=exact_text(source.source_url, MAX_URL_CHARACTERS),
        headline=clean_text(source.headline, MAX_NAME_CHARACTERS),
        body=clean_text(source.body, MAX_NAME_CHARACTERS),
        media_type=clean_text(source.media_type, MAX_CODE_CHARACTERS),
        media_url=exact_text(source.image_url or source.video_url, MAX_URL_CHARACTERS),
        thumbnail_url=exact_text(source.thumbnail_url, MAX_URL_CHARACTERS),
        click_id=exact_text(source.ctwa_clid),
        greeting=clean_text(welcome, MAX_NAME_CHARACTERS),
    )


def _product(product: ReferredProduct | None) -> Product | None:
    if product is None:
        return None
    return Product(catalog_id=exact_text(product.catalog_id), product_id=exact_text(product.product_retailer_id))


def _unsupported(change: Change, element: JsonObject, envelope: Envelope, why: str | None) -> Unsupported:
    """Meta's own type and, if it gives one, its finer type and its reason (in the message, else beside it); else ours."""
    code, reason = explanation(envelope.errors or change.errors_beside)
    inner = element.get(envelope.type) if envelope.type else None
    subtype: Any = inner.get("type") if isinstance(inner, dict) else None
    parts = [part for part in (subtype, reason or why) if isinstance(part, str) and part]
    return Unsupported(
        provider_type=clean_text(envelope.type, MAX_CODE_CHARACTERS) or "missing",
        code=code,
        detail=clean_text(": ".join(parts), MAX_NAME_CHARACTERS) or None,
    )
