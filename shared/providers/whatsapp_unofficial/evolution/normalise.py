"""Splits one body of Evolution into items: one event per POST, whose `data` is one element or a list of them.

Read from the source of 2.3.6 (https://github.com/EvolutionAPI/evolution-api). `date_time` is the server's local time that
calls itself UTC, so it only tells two like events apart. `apikey` is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from shared.domain.enums import ConnectorEventName, WebhookEvent
from shared.domain.items import AnyItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed
from shared.providers.whatsapp_unofficial.evolution.connection import (
    call,
    connection_update,
    instance_event,
    participants_update,
    presence_update,
    qrcode_updated,
    status_instance,
)
from shared.providers.whatsapp_unofficial.evolution.messages import (
    OWN_EDIT,
    message_deleted,
    message_edited,
    message_updated,
    message_upserted,
    own_message_sent,
)
from shared.providers.whatsapp_unofficial.fields import JsonObject
from shared.providers.whatsapp_unofficial.jids import account_refs
from shared.providers.whatsapp_unofficial.origins import Origin

Read = Callable[[Origin, JsonObject], AnyItem]

# event -> how one element is read, and the class of webhook row it falls under
_READ: dict[str, tuple[Read, WebhookEvent]] = {
    "messages.upsert": (message_upserted, WebhookEvent.MESSAGE_IN),
    "messages.edited": (message_edited, WebhookEvent.MESSAGE_IN),
    "messages.delete": (message_deleted, WebhookEvent.MESSAGE_IN),
    "send.message": (own_message_sent, WebhookEvent.MESSAGE_STATUS),
    OWN_EDIT: (message_edited, WebhookEvent.MESSAGE_IN),
    "messages.update": (message_updated, WebhookEvent.MESSAGE_STATUS),
    "connection.update": (connection_update, WebhookEvent.FALLBACK),
    "status.instance": (status_instance, WebhookEvent.FALLBACK),
    "qrcode.updated": (qrcode_updated, WebhookEvent.FALLBACK),
    "logout.instance": (instance_event, WebhookEvent.FALLBACK),
    "remove.instance": (instance_event, WebhookEvent.FALLBACK),
    "instance.create": (instance_event, WebhookEvent.FALLBACK),
    "instance.delete": (instance_event, WebhookEvent.FALLBACK),
    "application.startup": (instance_event, WebhookEvent.FALLBACK),
    "presence.update": (presence_update, WebhookEvent.FALLBACK),
    "group-participants.update": (participants_update, WebhookEvent.FALLBACK),
    "group.participants.update": (participants_update, WebhookEvent.FALLBACK),
    "call": (call, WebhookEvent.FALLBACK),
}

# Copies of the phone app's own state, one event however many elements they list (a first sync lists thousands).
_LISTS: dict[str, tuple[ConnectorEventName, WebhookEvent]] = {
    "messages.set": (ConnectorEventName.HISTORY, WebhookEvent.FALLBACK),
    "contacts.set": (ConnectorEventName.APP_STATE, WebhookEvent.CONTACT_UPDATE),
    "contacts.upsert": (ConnectorEventName.APP_STATE, WebhookEvent.CONTACT_UPDATE),
    "contacts.update": (ConnectorEventName.APP_STATE, WebhookEvent.CONTACT_UPDATE),
    "chats.set": (ConnectorEventName.APP_STATE, WebhookEvent.FALLBACK),
    "chats.upsert": (ConnectorEventName.APP_STATE, WebhookEvent.FALLBACK),
    "chats.update": (ConnectorEventName.APP_STATE, WebhookEvent.FALLBACK),
    "chats.delete": (ConnectorEventName.APP_STATE, WebhookEvent.FALLBACK),
    "labels.edit": (ConnectorEventName.APP_STATE, WebhookEvent.FALLBACK),
    "labels.association": (ConnectorEventName.APP_STATE, WebhookEvent.FALLBACK),
    "groups.upsert": (ConnectorEventName.GROUP_CHANGED, WebhookEvent.FALLBACK),
    "groups.update": (ConnectorEventName.GROUP_CHANGED, WebhookEvent.FALLBACK),
    "group.update": (ConnectorEventName.GROUP_CHANGED, WebhookEvent.FALLBACK),
}

_TELLING = 8  # elements of such a list that tell it from another one


def items_of(document: JsonObject) -> Iterator[AnyItem]:
    """The items of one verified body."""
    event, data, sender = document.get("event"), document.get("data"), document.get("sender")
    own = sender if isinstance(sender, str) else None
    instance = document.get("instance")
    refs = account_refs(exact_text(instance, MAX_CODE_CHARACTERS) if isinstance(instance, str) else None, own)
    if not isinstance(event, str):
        yield Origin(path="", event="missing", account_refs=refs, element=document).poison("event_missing")
        return
    event = _dotted(event)
    origin = Origin(path="/data", event=event, account_refs=refs, element=data, stamp=document.get("date_time"), own_address=own)
    if data is None and "data" not in document:
        yield Origin(path="", event=event, account_refs=refs, element=document).poison("data_missing")
    elif event in _LISTS:
        name, evento = _LISTS[event]
        shown = data[:_TELLING] if isinstance(data, list) else data
        yield _told_whole(replace(origin, element=shown), name, evento, len(data) if isinstance(data, list) else 1)
    elif event not in _READ:
        yield _told_whole(origin, ConnectorEventName.UNKNOWN, WebhookEvent.FALLBACK, None)
    elif isinstance(data, list):
        for index, element in enumerate(data):
            yield _item(replace(origin, path=f"/data/{index}", element=element))
    else:
        yield _item(origin)


def _dotted(event: str) -> str:
    """The name as 2.x posts it; a global webhook and some proxies write `MESSAGES_UPSERT`."""
    if event.isupper() and "." not in event:
        event = event.lower().replace("_", ".")
    return clean_text(event, MAX_CODE_CHARACTERS) or "missing"


def _told_whole(origin: Origin, name: ConnectorEventName, evento: WebhookEvent, count: int | None) -> AnyItem:
    try:
        return origin.told(name, {} if count is None else {"event": origin.event, "count": count}, evento=evento)
    except Malformed as fault:
        return origin.poison(fault.reason, evento)


def _item(origin: Origin) -> AnyItem:
    read, evento = _READ[origin.event]
    element: Any = origin.element
    if not isinstance(element, dict):
        return origin.poison("object_expected", evento)
    try:
        return read(origin, element)
    except Malformed as fault:
        return origin.poison(fault.reason, evento)
