"""Splits one update of Telegram into items: nearly always one.

An update that is not what Telegram documents becomes a PoisonItem. An update of a kind that is new here is kept: as an
unsupported message where it has the shape of a message, else as an event `unknown`.
Source: https://core.telegram.org/bots/api#update
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import ValidationError

from shared.domain.enums import ConnectorEventName, WebhookEvent
from shared.domain.items import AnyItem, ConnectorEventItem
from shared.providers.contract import NOTHING
from shared.providers.documents import Malformed, at_most_max_items, decode_object
from shared.providers.telegram.answers import callback_query, deleted_business_messages, message_reaction, poll_answer
from shared.providers.telegram.connector_events import business_connection_event, member_event, other_event
from shared.providers.telegram.messages import edited_message, message
from shared.providers.telegram.updates import BOT_REF, Update, poison

Read = Callable[[Update, dict[str, Any]], AnyItem]

_MESSAGES: Mapping[str, Read] = {
    "message": message,
    "edited_message": edited_message,
    "channel_post": message,
    "edited_channel_post": edited_message,
    "business_message": message,
    "edited_business_message": edited_message,
    "guest_message": message,
    "callback_query": callback_query,
    "message_reaction": message_reaction,
    "poll_answer": poll_answer,
}
_EVENTS: Mapping[str, Read] = {
    "my_chat_member": member_event,
    "chat_member": member_event,
    "business_connection": business_connection_event,
}
_DELETED = "deleted_business_messages"


def normalise(body: bytes, headers: Mapping[str, str], settings: Mapping[str, Any] = NOTHING) -> Sequence[AnyItem]:  # noqa: ARG001 - the contract's signature
    """The items of one body; raises UnparseableBody if it is not a JSON object in UTF-8."""
    document = decode_object(body)
    update_id = document.get("update_id")
    if type(update_id) is not int or not 0 <= update_id < 2**63:
        return (poison("", "update_id_missing", document, WebhookEvent.FALLBACK),)
    kinds = [name for name in document if name != "update_id"]
    if not kinds:
        return (_nothing(update_id),)
    # documented is one; should a second come, a known one is the update and the other is a new field beside it
    kind = next((name for name in kinds if name in _MESSAGES or name in _EVENTS or name == _DELETED), kinds[0])
    path = f"/{kind.replace('~', '~0').replace('/', '~1')}"
    return at_most_max_items(_items(Update(update_id, kind, path), document[kind]))


def _items(update: Update, element: Any) -> Iterator[AnyItem]:
    evento = WebhookEvent.MESSAGE_IN if update.kind in _MESSAGES or update.kind == _DELETED else WebhookEvent.FALLBACK
    if not isinstance(element, dict):
        yield poison(update.path, "object_expected", element, evento)
        return
    try:
        if update.kind == _DELETED:
            yield from deleted_business_messages(update, element)
        else:
            yield _read_of(update.kind, element)(update, element)
    except Malformed as fault:
        yield poison(update.path, fault.reason, element, evento)
    except ValidationError:
        yield poison(update.path, "wrong_type", element, evento)


def _read_of(kind: str, element: dict[str, Any]) -> Read:
    known = _MESSAGES.get(kind) or _EVENTS.get(kind)
    if known is not None:
        return known
    is_message = kind.endswith("message") and "message_id" in element and "chat" in element
    return message if is_message else other_event


def _nothing(update_id: int) -> ConnectorEventItem:
    return ConnectorEventItem(
        path="/update_id",
        evento=WebhookEvent.FALLBACK,
        account_refs=(BOT_REF,),
        dedup_key=f"update:{update_id}:",
        name=ConnectorEventName.NOTHING,
        provider_event="update",
    )
