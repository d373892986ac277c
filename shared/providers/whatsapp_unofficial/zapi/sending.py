"""Sending by Z-API. Source: https://developer.z-api.io/message/introduction and the pages below it.

It is a queue: 200 says that the message waits there; what becomes of it is told by callbacks. Nothing sends "typing" alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from shared.domain.enums import ErrorClass
from shared.providers.calling import CallContext, Fault, ProviderCall, ProviderResponse
from shared.providers.cleaning import exact_text
from shared.providers.sending import Accepted, OutboundKind, OutboundMedia, SendOrder
from shared.providers.whatsapp_unofficial.fields import JsonObject
from shared.providers.whatsapp_unofficial.servers import (
    in_base64,
    media_of,
    person,
    refuse,
    server_call,
    target_of,
    text_of,
    zapi_path,
)

_FILES = {
    OutboundKind.IMAGE: ("send-image", "image", "image/jpeg"),
    OutboundKind.VIDEO: ("send-video", "video", "video/mp4"),
    OutboundKind.AUDIO: ("send-audio", "audio", "audio/ogg"),
    OutboundKind.STICKER: ("send-sticker", "sticker", "image/webp"),
}
_SESSION_WORDS = ("need to restore the session", "not connected", "disconnected")


def build(order: SendOrder, context: CallContext) -> ProviderCall:
    """The call of one order; raises InvalidInput (`cannot_send`)."""
    phone = _phone(order)
    if order.kind is OutboundKind.REVOKE:
        query = urlencode({"messageId": target_of(order), "phone": phone, "owner": "true"})
        return server_call("revoke", "DELETE", context, zapi_path(context, f"messages?{query}"), idempotent=True)
    make = _OPERATIONS.get(order.kind) or refuse(f"Z-API cannot send {order.kind.value}", "/kind")
    operation, body = make(order)
    body = {"phone": phone, **body}
    if order.kind is OutboundKind.READ:
        return server_call("mark", "POST", context, zapi_path(context, operation), body=body, idempotent=True)
    if order.kind is OutboundKind.EDIT:
        return server_call("edit", "POST", context, zapi_path(context, operation), body=body, idempotent=True)
    if order.reply_to_provider_message_id is not None:
        body["messageId"] = order.reply_to_provider_message_id
    return server_call("send", "POST", context, zapi_path(context, operation), body=body)


def _phone(order: SendOrder) -> str:
    if order.group_id is not None:
        group = order.group_id.removesuffix("@g.us")
        return group if "-" in group else f"{group}-group"  # groups of old have their founder's number before the hyphen
    value, is_lid = person(order)
    return f"{value}@lid" if is_lid else value


def _text(order: SendOrder) -> tuple[str, JsonObject]:
    return "send-text", {"message": text_of(order)}


def _edit(order: SendOrder) -> tuple[str, JsonObject]:
    return "send-text", {"message": text_of(order), "editMessageId": target_of(order)}


def _file(order: SendOrder) -> tuple[str, JsonObject]:
    operation, name, mime_type = _FILES[order.kind]
    media = media_of(order)
    caption = {"caption": media.caption} if media.caption else {}
    return operation, {name: _source(media, mime_type), **caption}


def _buttons(order: SendOrder) -> tuple[str, JsonObject]:
    options = order.content.options
    if not options or any(option.url is not None for option in options):
        refuse("there is no button, or one that opens an address", "/content/options")
    buttons = [{"id": option.id, "label": option.title} for option in options]
    return "send-button-list", {"message": text_of(order), "buttonList": {"buttons": buttons}}


def _reaction(order: SendOrder) -> tuple[str, JsonObject]:
    if not order.content.emoji:
        return "send-remove-reaction", {"messageId": target_of(order)}
    return "send-reaction", {"reaction": order.content.emoji, "messageId": target_of(order)}


def _read(order: SendOrder) -> tuple[str, JsonObject]:
    return "read-message", {"messageId": target_of(order)}


def _source(media: OutboundMedia, mime_type: str) -> str:
    return media.link or f"data:{media.mime_type or mime_type};base64,{in_base64(media)}"


def _document(order: SendOrder) -> tuple[str, JsonObject]:
    media = media_of(order)
    name = media.filename or ""
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if not extension.isascii() or not extension.isalnum() or len(extension) > 8:
        refuse("a document needs a file name with its extension", "/content/media/filename")
    body: JsonObject = {"document": _source(media, "application/octet-stream"), "fileName": name}
    return f"send-document/{extension}", body | ({"caption": media.caption} if media.caption else {})


def _location(order: SendOrder) -> tuple[str, JsonObject]:
    place = order.content.location or refuse("there is no location", "/content/location")
    return "send-location", {
        "title": place.name or "-",
        "address": place.address or "-",
        "latitude": str(place.latitude),
        "longitude": str(place.longitude),
    }


def _contact(order: SendOrder) -> tuple[str, JsonObject]:
    if len(order.content.contacts) != 1:
        refuse("one contact at a time", "/content/contacts")
    card = order.content.contacts[0]
    if not card.name or not card.phones:
        refuse("a contact needs a name and a phone", "/content/contacts/0")
    phone = card.user_ids[0] if card.user_ids else card.phones[0]
    return "send-contact", {"contactName": card.name, "contactPhone": phone}


def _list(order: SendOrder) -> tuple[str, JsonObject]:
    content = order.content
    rows = [row for section in content.sections for row in section.rows] or refuse("there is no row", "/content/sections")
    listed = {
        "title": content.header or text_of(order),
        "buttonLabel": content.list_button or refuse("a list needs the text of its button", "/content/list_button"),
        "options": [{"id": row.id, "title": row.title, "description": row.description or ""} for row in rows],
    }
    return "send-option-list", {"message": text_of(order), "optionList": listed}


_OPERATIONS: dict[OutboundKind, Callable[[SendOrder], tuple[str, JsonObject]]] = {
    OutboundKind.TEXT: _text,
    OutboundKind.EDIT: _edit,
    **dict.fromkeys(_FILES, _file),
    OutboundKind.DOCUMENT: _document,
    OutboundKind.LOCATION: _location,
    OutboundKind.CONTACTS: _contact,
    OutboundKind.BUTTONS: _buttons,
    OutboundKind.LIST: _list,
    OutboundKind.REACTION: _reaction,
    OutboundKind.READ: _read,
}


def accepted(document: Mapping[str, Any]) -> Accepted | None:
    """WhatsApp's id of what waits in the queue; None if the answer names none."""
    given = document.get("messageId") or document.get("id")
    message_id = exact_text(given) if isinstance(given, str) else None
    return None if message_id is None else Accepted(provider_message_ids=(message_id,))


def finer(fault: Fault, answer: ProviderResponse) -> Fault:
    """A 400 names a wrong instance or token, a session that is gone, or the message."""
    words = (fault.detail or "").lower()
    if any(word in words for word in _SESSION_WORDS):
        return replace(fault, error_class=ErrorClass.RETRYABLE, code="session", scope="account", action="check_session")
    if answer.status == 400 and any(word in words for word in ("token", "instance", "not allowed")):
        return replace(fault, error_class=ErrorClass.AUTH, scope="account", action="replace_credential")
    return fault
