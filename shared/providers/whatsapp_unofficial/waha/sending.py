"""Sending by WAHA. Source: https://waha.devlike.pro/docs/how-to/send-messages/.

Buttons are documented as not working, so they are refused. Ids are put together again as WAHA wants them (`names`); reactions
and read marks are taken to be about messages of the peer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from shared.domain.enums import ErrorClass
from shared.providers.calling import CallContext, Fault, ProviderCall, ProviderResponse
from shared.providers.cleaning import exact_text
from shared.providers.sending import Accepted, OutboundKind, SendOrder
from shared.providers.whatsapp_unofficial.fields import JsonObject
from shared.providers.whatsapp_unofficial.jids import Jid, aliases_of
from shared.providers.whatsapp_unofficial.servers import (
    SEND_TIMEOUT_SECONDS,
    in_base64,
    instance_name,
    media_of,
    person,
    refuse,
    server_call,
    target_of,
    text_of,
)
from shared.providers.whatsapp_unofficial.waha.names import parse_name, whole_name

_FILES = {
    OutboundKind.IMAGE: ("sendImage", "image/jpeg"),
    OutboundKind.VIDEO: ("sendVideo", "video/mp4"),
    OutboundKind.DOCUMENT: ("sendFile", "application/octet-stream"),
    OutboundKind.AUDIO: ("sendFile", "audio/mpeg"),
}


def build(order: SendOrder, context: CallContext) -> ProviderCall:
    """The call of one order; raises InvalidInput (`cannot_send`)."""
    chat = _chat_id(order)
    if order.kind in (OutboundKind.EDIT, OutboundKind.REVOKE):
        return _change(order, context, chat)
    make = _OPERATIONS.get(order.kind) or refuse(f"WAHA cannot send {order.kind.value}", "/kind")
    operation, body = make(order, chat)
    body = {"session": instance_name(context), **body}
    if order.kind is OutboundKind.REACTION:
        return _call("send", "PUT", context, "api/reaction", body)
    if order.kind in (OutboundKind.READ, OutboundKind.TYPING):
        return _call("mark", "POST", context, f"api/{operation}", body, idempotent=True)
    if order.reply_to_provider_message_id is not None:
        body["reply_to"] = _peers_message(order, order.reply_to_provider_message_id, chat)
    return _call("send", "POST", context, f"api/{operation}", body)


def _call(
    step: str, method: str, context: CallContext, path: str, body: JsonObject | None, *, idempotent: bool = False
) -> ProviderCall:
    return server_call(step, method, context, path, body=body, timeout_seconds=SEND_TIMEOUT_SECONDS, idempotent=idempotent)


def _change(order: SendOrder, context: CallContext, chat: str) -> ProviderCall:
    name = quote(whole_name(target_of(order), from_me=True, chat_id=chat), safe="")
    path = f"api/{quote(instance_name(context), safe='')}/chats/{quote(chat, safe='')}/messages/{name}"
    if order.kind is OutboundKind.REVOKE:
        return _call("revoke", "DELETE", context, path, None, idempotent=True)
    return _call("edit", "PUT", context, path, {"text": text_of(order)}, idempotent=True)


def _chat_id(order: SendOrder) -> str:
    if order.group_id is not None:
        return order.group_id
    value, is_lid = person(order)
    return f"{value}@lid" if is_lid else f"{value}@c.us"


def _peers_message(order: SendOrder, bare: str, chat: str) -> str:
    """A message of the peer by its whole id; in a group the member who wrote it belongs to it."""
    member = None
    if order.group_id is not None and _names_a_person(order):
        value, is_lid = person(order)
        member = f"{value}@lid" if is_lid else f"{value}@c.us"
    return whole_name(bare, from_me=False, chat_id=chat, member=member)


def _names_a_person(order: SendOrder) -> bool:
    """Whether the recipient names a person beside the group."""
    return any(alias.kind.value in ("phone", "lid") for alias in order.recipient)


def _text(order: SendOrder, chat: str) -> tuple[str, JsonObject]:
    return "sendText", {"chatId": chat, "text": text_of(order), "linkPreview": order.content.preview_url}


def _location(order: SendOrder, chat: str) -> tuple[str, JsonObject]:
    place = order.content.location or refuse("there is no location", "/content/location")
    title = place.name or place.address or ""
    return "sendLocation", {"chatId": chat, "latitude": place.latitude, "longitude": place.longitude, "title": title}


def _reaction(order: SendOrder, chat: str) -> tuple[str, JsonObject]:
    return "reaction", {"messageId": _peers_message(order, target_of(order), chat), "reaction": order.content.emoji or ""}


def _read(order: SendOrder, chat: str) -> tuple[str, JsonObject]:
    return "sendSeen", {"chatId": chat, "messageIds": [_peers_message(order, target_of(order), chat)]}


def _typing(_: SendOrder, chat: str) -> tuple[str, JsonObject]:
    return "startTyping", {"chatId": chat}


def _file(order: SendOrder, chat: str) -> tuple[str, JsonObject]:
    media = media_of(order)
    operation, mime_type = _FILES[order.kind]
    file: JsonObject = {"mimetype": media.mime_type or mime_type}
    file |= {"url": media.link} if media.link is not None else {"data": in_base64(media)}
    file |= {"filename": media.filename} if media.filename else {}
    if order.kind is OutboundKind.AUDIO and media.voice:
        if media.caption:
            refuse("a voice note has no caption", "/content/media/caption")
        return "sendVoice", {"chatId": chat, "file": file, "convert": True}
    caption = {"caption": media.caption} if media.caption else {}
    return operation, {"chatId": chat, "file": file, **caption}


def _contacts(order: SendOrder, chat: str) -> tuple[str, JsonObject]:
    if not order.content.contacts:
        refuse("there is no contact", "/content/contacts")
    cards = []
    for index, card in enumerate(order.content.contacts):
        if not card.name or not card.phones:
            refuse("a contact needs a name and a phone", f"/content/contacts/{index}")
        one: JsonObject = {"fullName": card.name, "phoneNumber": card.phones[0], "vcard": None}
        one |= {"whatsappId": card.user_ids[0]} if card.user_ids else {}
        cards.append(one | ({"organization": card.organization} if card.organization else {}))
    return "sendContactVcard", {"chatId": chat, "contacts": cards}


def _list(order: SendOrder, chat: str) -> tuple[str, JsonObject]:
    content = order.content
    sections = content.sections or refuse("there is no section", "/content/sections")
    message = {
        "title": content.header or text_of(order),
        "description": text_of(order),
        "footer": content.footer or "",
        "button": content.list_button or refuse("a list needs the text of its button", "/content/list_button"),
        "sections": [
            {
                "title": section.title or "",
                "rows": [{"title": row.title, "rowId": row.id, "description": row.description} for row in section.rows],
            }
            for section in sections
        ],
    }
    return "sendList", {"chatId": chat, "message": message}


_OPERATIONS: dict[OutboundKind, Callable[[SendOrder, str], tuple[str, JsonObject]]] = {
    OutboundKind.TEXT: _text,
    **dict.fromkeys(_FILES, _file),
    OutboundKind.LOCATION: _location,
    OutboundKind.CONTACTS: _contacts,
    OutboundKind.LIST: _list,
    OutboundKind.REACTION: _reaction,
    OutboundKind.READ: _read,
    OutboundKind.TYPING: _typing,
}


def accepted(document: Mapping[str, Any]) -> Accepted | None:
    """Id of what was sent: `id` as text, `id._serialized` or `key.id`, by engine; None if the answer names none."""
    given: Any = document.get("id")
    if isinstance(given, dict):
        given = given.get("_serialized") or given.get("id")
    key = document.get("key")
    if not isinstance(given, str) and isinstance(key, dict):
        given = key.get("id")
    name = parse_name(given) if isinstance(given, str) else None
    message_id = exact_text(name.bare) if name is not None else None
    if name is None or message_id is None:
        return None
    chat: Jid | None = name.chat
    return Accepted(
        provider_message_ids=(message_id,), recipient=aliases_of(f"{chat.user}@{chat.server}") if chat is not None else ()
    )


def finer(fault: Fault, answer: ProviderResponse) -> Fault:
    """A session that is not WORKING is said as 422 (404 where it does not exist): somebody must look at it."""
    if answer.status == 422:
        return replace(fault, error_class=ErrorClass.RETRYABLE, code="session", scope="account", action="check_session")
    return fault
