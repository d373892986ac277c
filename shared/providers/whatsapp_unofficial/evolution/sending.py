"""Sending by Evolution: one call per order, answered 201 with the stored message.

Source: https://doc.evolution-api.com/v2/api-reference/message-controller and the validators of 2.3.6. A `400` is said for
nearly everything, so its text decides. Reactions and read marks are taken to be about messages of the peer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shared.domain.enums import ErrorClass
from shared.providers.calling import CallContext, Fault, ProviderCall, ProviderResponse, json_object
from shared.providers.cleaning import exact_text
from shared.providers.sending import Accepted, OutboundKind, SendOrder
from shared.providers.whatsapp_unofficial.fields import JsonObject
from shared.providers.whatsapp_unofficial.jids import aliases_of
from shared.providers.whatsapp_unofficial.servers import (
    SEND_TIMEOUT_SECONDS,
    in_base64,
    instance_of,
    media_of,
    person,
    refuse,
    server_call,
    target_of,
    text_of,
)

_MEDIA = {
    OutboundKind.IMAGE: "image",
    OutboundKind.VIDEO: "video",
    OutboundKind.DOCUMENT: "document",
    OutboundKind.AUDIO: "audio",
}
# Texts of a 400 that mean the session, not the message. Source: sendMessageWithTyping and Baileys' own errors.
_SESSION_WORDS = ("connection closed", "timed out", "rate-overlimit", "not-authorized", "undefined", "not connected")
_TYPING_MILLISECONDS = 3_000  # the call answers only after that


def build(order: SendOrder, context: CallContext) -> ProviderCall:
    """The call of one order; raises InvalidInput (`cannot_send`)."""
    make = _OPERATIONS.get(order.kind) or refuse(f"Evolution cannot send {order.kind.value}", "/kind")
    operation, body = make(order)
    if order.kind in (OutboundKind.READ, OutboundKind.TYPING):
        return _call("mark", "POST", context, f"chat/{operation}", body, idempotent=True)
    if order.kind is OutboundKind.REVOKE:
        return _call("revoke", "DELETE", context, f"chat/{operation}", body, idempotent=True)
    if order.kind is OutboundKind.EDIT:
        return _call("edit", "POST", context, f"chat/{operation}", body, idempotent=True)
    if order.reply_to_provider_message_id is not None:
        body["quoted"] = {"key": {"id": order.reply_to_provider_message_id}}
    return _call("send", "POST", context, f"message/{operation}", body)


def _call(step: str, method: str, context: CallContext, path: str, body: JsonObject, *, idempotent: bool = False) -> ProviderCall:
    return server_call(
        step,
        method,
        context,
        f"{path}/{instance_of(context)}",
        body=body,
        timeout_seconds=SEND_TIMEOUT_SECONDS,
        idempotent=idempotent,
    )


def _text(order: SendOrder) -> tuple[str, JsonObject]:
    return "sendText", {"number": _number(order), "text": text_of(order), "linkPreview": order.content.preview_url}


def _reaction(order: SendOrder) -> tuple[str, JsonObject]:
    key = {"id": target_of(order), "remoteJid": _jid(order), "fromMe": False}
    return "sendReaction", {"key": key, "reaction": order.content.emoji or ""}


def _edit(order: SendOrder) -> tuple[str, JsonObject]:
    key = {"id": target_of(order), "remoteJid": _jid(order), "fromMe": True}
    return "updateMessage", {"number": _number(order), "text": text_of(order), "key": key}


def _revoke(order: SendOrder) -> tuple[str, JsonObject]:
    return "deleteMessageForEveryone", {"id": target_of(order), "remoteJid": _jid(order), "fromMe": True}


def _read(order: SendOrder) -> tuple[str, JsonObject]:
    return "markMessageAsRead", {"readMessages": [{"remoteJid": _jid(order), "fromMe": False, "id": target_of(order)}]}


def _typing(order: SendOrder) -> tuple[str, JsonObject]:
    return "sendPresence", {"number": _number(order), "presence": "composing", "delay": _TYPING_MILLISECONDS}


def _jid(order: SendOrder) -> str:
    if order.group_id is not None:
        return order.group_id
    value, is_lid = person(order)
    return f"{value}@lid" if is_lid else f"{value}@s.whatsapp.net"


def _number(order: SendOrder) -> str:
    """Digits of a phone, which Evolution looks up; else the address as it is."""
    jid = _jid(order)
    return jid.removesuffix("@s.whatsapp.net")


def _media(order: SendOrder) -> tuple[str, JsonObject]:
    media, number = media_of(order), _number(order)
    source = media.link or in_base64(media)
    if media.caption and (order.kind is OutboundKind.STICKER or media.voice):
        refuse("a sticker or voice note has no caption", "/content/media/caption")
    if order.kind is OutboundKind.STICKER:
        return "sendSticker", {"number": number, "sticker": source}
    if order.kind is OutboundKind.AUDIO and media.voice:
        return "sendWhatsAppAudio", {"number": number, "audio": source}
    body: JsonObject = {"number": number, "mediatype": _MEDIA[order.kind], "media": source}
    optional = {"mimetype": media.mime_type, "caption": media.caption, "fileName": media.filename}
    return "sendMedia", body | {name: value for name, value in optional.items() if value is not None}


def _location(order: SendOrder) -> tuple[str, JsonObject]:
    place = order.content.location or refuse("there is no location", "/content/location")
    return "sendLocation", {  # all are required, also empty ones
        "number": _number(order),
        "latitude": place.latitude,
        "longitude": place.longitude,
        "name": place.name or "-",
        "address": place.address or "-",
    }


def _contacts(order: SendOrder) -> tuple[str, JsonObject]:
    if not order.content.contacts:
        refuse("there is no contact", "/content/contacts")
    cards = []
    for index, card in enumerate(order.content.contacts):
        if not card.name or not card.phones:
            refuse("a contact needs a name and a phone", f"/content/contacts/{index}")
        one: JsonObject = {"fullName": card.name, "phoneNumber": card.phones[0]}
        one |= {"wuid": card.user_ids[0]} if card.user_ids else {}
        one |= {"organization": card.organization} if card.organization else {}
        cards.append(one | ({"email": card.emails[0]} if card.emails else {}))
    return "sendContact", {"number": _number(order), "contact": cards}


def _buttons(order: SendOrder) -> tuple[str, JsonObject]:
    content = order.content
    options = content.options or refuse("there is no button", "/content/options")
    if len(options) > 3 or len({option.url is None for option in options}) > 1:
        refuse("at most 3 buttons, all of one type", "/content/options")
    buttons = [
        {"type": "reply", "displayText": option.title, "id": option.id}
        if option.url is None
        else {"type": "url", "displayText": option.title, "url": option.url}
        for option in options
    ]
    body = {
        "number": _number(order),
        "title": content.header or text_of(order),
        "description": text_of(order),
        "buttons": buttons,
    }
    return "sendButtons", body | ({"footer": content.footer} if content.footer else {})


def _list(order: SendOrder) -> tuple[str, JsonObject]:
    content = order.content
    sections = content.sections or refuse("there is no section", "/content/sections")
    return "sendList", {
        "number": _number(order),
        "title": content.header or text_of(order),
        "description": text_of(order),
        "buttonText": content.list_button or refuse("a list needs the text of its button", "/content/list_button"),
        "footerText": content.footer or "",
        "sections": [
            {
                "title": section.title or "",
                "rows": [{"title": row.title, "description": row.description or "", "rowId": row.id} for row in section.rows],
            }
            for section in sections
        ],
    }


_OPERATIONS: dict[OutboundKind, Callable[[SendOrder], tuple[str, JsonObject]]] = {
    OutboundKind.TEXT: _text,
    **dict.fromkeys((*_MEDIA, OutboundKind.STICKER), _media),
    OutboundKind.LOCATION: _location,
    OutboundKind.CONTACTS: _contacts,
    OutboundKind.BUTTONS: _buttons,
    OutboundKind.LIST: _list,
    OutboundKind.REACTION: _reaction,
    OutboundKind.EDIT: _edit,
    OutboundKind.REVOKE: _revoke,
    OutboundKind.READ: _read,
    OutboundKind.TYPING: _typing,
}


def accepted(document: JsonObject) -> Accepted | None:
    """Id and true address of what was sent; None if the answer names no id."""
    key: Any = document.get("key")
    message_id = exact_text(key.get("id")) if isinstance(key, dict) and isinstance(key.get("id"), str) else None
    if message_id is None:
        return None
    addresses = [key.get(name) for name in ("remoteJid", "remoteJidAlt")]
    return Accepted(
        provider_message_ids=(message_id,),
        recipient=aliases_of(*(address for address in addresses if isinstance(address, str))),
    )


def finer(fault: Fault, answer: ProviderResponse) -> Fault:
    """What a 400 really means."""
    if answer.status != 400:
        return fault
    response = json_object(answer.body).get("response")
    told = response.get("message") if isinstance(response, dict) else None
    listed = told if isinstance(told, list) else [told]
    if any(isinstance(part, dict) and part.get("exists") is False for part in listed):
        return replace(fault, error_class=ErrorClass.RECIPIENT_PERMANENT, code="not_on_whatsapp", scope="peer")
    words = " ".join(part for part in listed if isinstance(part, str)).lower()
    if any(word in words for word in _SESSION_WORDS):
        return replace(fault, error_class=ErrorClass.RETRYABLE, code="session", scope="account", action="check_session")
    return fault
