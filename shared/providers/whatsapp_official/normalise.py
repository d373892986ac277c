"""Splits one verified body of Meta into items: entry by change by element. Every element yields exactly one item.

An element that is not what Meta documents becomes a PoisonItem and its neighbours go on. A list that is no list, or an
object that is none, becomes one PoisonItem at its own place. An empty or absent list holds nothing, so it yields nothing;
a change of messages that holds nothing at all is kept as a connector event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import ValidationError

from shared.domain.enums import ConnectorEventName, WebhookEvent
from shared.domain.items import AnyItem, ConnectorEventItem, PoisonItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text
from shared.providers.contract import NOTHING
from shared.providers.documents import Malformed, at_most_max_items, decode_object, fingerprint
from shared.providers.whatsapp_official.changes import Change, poison
from shared.providers.whatsapp_official.connector_events import (
    call_event,
    connector_event,
    error_event,
    evento_of,
    preference_event,
    user_id_event,
)
from shared.providers.whatsapp_official.messages import echo_message, inbound_message
from shared.providers.whatsapp_official.payloads import JsonObject
from shared.providers.whatsapp_official.receipts import receipt

OBJECT = "whatsapp_business_account"

Read = Callable[[Change, str, JsonObject], AnyItem]

# webhook field -> the lists in its value: name, class, how one element is read, whether an element needs its number
_LISTS: Mapping[str, tuple[tuple[str, WebhookEvent, Read, bool], ...]] = {
    "messages": (
        ("messages", WebhookEvent.MESSAGE_IN, inbound_message, True),
        ("statuses", WebhookEvent.MESSAGE_STATUS, receipt, True),
        ("errors", WebhookEvent.FALLBACK, error_event, False),
    ),
    "smb_message_echoes": (
        ("message_echoes", WebhookEvent.MESSAGE_IN, echo_message, True),
        ("errors", WebhookEvent.FALLBACK, error_event, False),
    ),
    "user_preferences": (("user_preferences", WebhookEvent.CONTACT_UPDATE, preference_event, True),),
    "user_id_update": (("user_id_update", WebhookEvent.CONTACT_UPDATE, user_id_event, True),),
    "calls": (
        ("calls", WebhookEvent.FALLBACK, call_event, False),
        ("statuses", WebhookEvent.FALLBACK, call_event, False),
        ("errors", WebhookEvent.FALLBACK, error_event, False),
    ),
}


def normalise(body: bytes, headers: Mapping[str, str], settings: Mapping[str, Any] = NOTHING) -> Sequence[AnyItem]:  # noqa: ARG001 - the contract's signature
    """The items of one body, in its own order; raises UnparseableBody if it is not a JSON object in UTF-8."""
    document = decode_object(body)
    if document.get("object") != OBJECT:
        return (_foreign(document),)
    return at_most_max_items(_items(document))


def _items(document: JsonObject) -> Iterator[AnyItem]:
    for change in _changes(document):
        if isinstance(change, PoisonItem):
            yield change
        else:
            yield from _items_of(change)


def _foreign(document: JsonObject) -> ConnectorEventItem | PoisonItem:
    """Another product of Meta posts to this address: accounted as one event that names the product."""
    named = document.get("object")
    if not isinstance(named, str):
        return poison("/object", "object_missing", document, WebhookEvent.FALLBACK)
    try:
        key = fingerprint(document)
    except Malformed as fault:
        return poison("/object", fault.reason, document, WebhookEvent.FALLBACK)
    values = {"object": clean_text(named, MAX_CODE_CHARACTERS) or ""}
    return ConnectorEventItem(
        path="/object",
        evento=WebhookEvent.FALLBACK,
        account_refs=(),
        dedup_key=key,
        name=ConnectorEventName.FOREIGN,
        provider_event=values["object"] or "missing",
        values=values,
    )


def _changes(document: JsonObject) -> Iterator[Change | PoisonItem]:
    entries = document.get("entry")
    if not isinstance(entries, list):
        yield poison("/entry", "list_expected", document, WebhookEvent.FALLBACK)
        return
    for index, entry in enumerate(entries):
        path = f"/entry/{index}"
        changes = entry.get("changes") if isinstance(entry, dict) else None
        if not isinstance(changes, list):
            reason = "object_expected" if not isinstance(entry, dict) else "list_expected"
            yield poison(path if reason == "object_expected" else f"{path}/changes", reason, entry, WebhookEvent.FALLBACK)
            continue
        for number, element in enumerate(changes):
            yield _change(f"{path}/changes/{number}", entry, element)


def _change(path: str, entry: JsonObject, element: Any) -> Change | PoisonItem:
    field = element.get("field") if isinstance(element, dict) else None
    value = element.get("value") if isinstance(element, dict) else None
    if not isinstance(field, str) or not isinstance(value, dict):
        reason = "wrong_type" if isinstance(element, dict) else "object_expected"
        return poison(path, reason, element, WebhookEvent.FALLBACK)
    return Change(path=path, entry_id=entry.get("id"), entry_time=entry.get("time"), field=field, value=value)


def _items_of(change: Change) -> Iterator[AnyItem]:
    empty = True
    for name, evento, read, needs_account in _LISTS.get(change.field, ()):
        elements = change.value.get(name)
        if elements is None:
            continue
        path = f"{change.path}/value/{name}"
        if not isinstance(elements, list):
            empty = False
            yield poison(path, "list_expected", elements, evento, change.account_refs)
            continue
        for index, element in enumerate(elements):
            empty = False
            yield _item(change, f"{path}/{index}", element, evento, read, needs_account)
    if empty:
        try:
            yield connector_event(change)
        except Malformed as fault:
            yield poison(change.path, fault.reason, change.value, evento_of(change.field), change.wide_refs)


def _item(change: Change, path: str, element: Any, evento: WebhookEvent, read: Read, needs_account: bool) -> AnyItem:
    refs = change.account_refs
    if not isinstance(element, dict):
        return poison(path, "object_expected", element, evento, refs)
    if needs_account and not refs:
        return poison(path, "account_missing", element, evento, change.wide_refs)
    try:
        return read(change, path, element)
    except Malformed as fault:
        return poison(path, fault.reason, element, evento, refs)
    except ValidationError:
        return poison(path, "wrong_type", element, evento, refs)
