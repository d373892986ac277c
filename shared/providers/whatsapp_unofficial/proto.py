"""WhatsApp Web's own message object as JSON: what it says, what it answers, whether it was forwarded.

Evolution hands it on as it gets it from Baileys; WAHA does so in `_data` (engines NOWEB and GOWS).
Source: https://github.com/WhiskeySockets/Baileys/blob/master/WAProto/WAProto.proto (`Message`, `ContextInfo`)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Struct

from shared.domain.content import Content, Media, Order, Product, Quoted, Referral, Revoke
from shared.domain.enums import MessageKind
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed, Unmappable
from shared.providers.whatsapp_unofficial.cards import cards
from shared.providers.whatsapp_unofficial.fields import JsonObject, decimal, elements, flag, inner, text, whole
from shared.providers.whatsapp_unofficial.jids import aliases_of
from shared.providers.whatsapp_unofficial.shapes import Said, choice, place, reaction, referral_of, unsupported

_MAX_WRAPPERS = 8
_FREQUENTLY = 5  # from this score on the app itself says "forwarded many times"
_REVOKE_TYPES = (0, "0", "REVOKE")

# what wraps another message under `message`, and whether that means "view once"
_WRAPPERS = {
    "ephemeralMessage": False,
    "documentWithCaptionMessage": False,
    "deviceSentMessage": False,
    "groupMentionedMessage": False,
    "associatedChildMessage": False,
    "botInvokeMessage": False,
    "lottieStickerMessage": False,
    "pollCreationMessageV4": False,
    "editedMessage": False,
    "viewOnceMessage": True,
    "viewOnceMessageV2": True,
    "viewOnceMessageV2Extension": True,
}
# stands beside the content and is none
_BESIDE = frozenset(
    {"messageContextInfo", "senderKeyDistributionMessage", "base64", "mediaUrl", "fastRatchetKeySenderKeyDistributionMessage"}
)


class MediaSource(Struct, frozen=True, kw_only=True, gc=False):
    """How the bytes of a media message can be had: by id at the server, by URL, or in the raw body."""

    provider_media_id: str | None = None
    url: str | None = None
    raw_part: str | None = None


def said(message: JsonObject, context: JsonObject, type_: str | None = None) -> Said:
    """Read one message object; `context` is the `contextInfo` beside it. Raises Malformed for a field of a wrong type."""
    message, view_once = _unwrapped(message)
    name = next((name for name in message if name in _READERS), None)
    value = message.get(name) if name is not None else None
    if name is None or value is None:
        found = next((name for name in message if name not in _BESIDE), None)
        if found is None and type_ in _BESIDE:  # keys that a group's member hands out: nobody said anything
            return Said(kind=MessageKind.UNSUPPORTED, content=unsupported(type_), protocol=type_)
        return _with_context(MessageKind.UNSUPPORTED, unsupported(found or type_), context)
    if name == "conversation":
        value = {"text": text(message, "conversation")}
    elif not isinstance(value, dict):
        raise Malformed("wrong_type")
    if name == "protocolMessage":
        return _protocol(value)
    kind, read = _READERS[name]
    content = why = None
    try:
        content = read(value)
    except Unmappable as fault:
        why = fault.reason
    if content is None:
        kind, content = MessageKind.UNSUPPORTED, unsupported(name, why)
    if content.media is not None:
        voice, seen_once = name == "audioMessage" and flag(value, "ptt"), view_once or flag(value, "viewOnce")
        content = replace(content, media=replace(content.media, voice=voice, view_once=seen_once))
    return _with_context(kind, content, context or inner(value, "contextInfo"))


def with_source(spoken: Said, source: MediaSource) -> Said:
    """A media message that says where its bytes are. Never the message's own `url`: what lies there is encrypted."""
    if spoken.content.media is None:
        return spoken
    media = replace(spoken.content.media, provider_media_id=source.provider_media_id, url=source.url, raw_part=source.raw_part)
    return msgspec.structs.replace(spoken, content=replace(spoken.content, media=media))


def _unwrapped(message: JsonObject) -> tuple[JsonObject, bool]:
    view_once = False
    for _ in range(_MAX_WRAPPERS):
        if _WRAPPERS.keys().isdisjoint(message):
            break
        wrapper = next(name for name in _WRAPPERS if name in message)
        view_once = view_once or _WRAPPERS[wrapper]
        message = inner(inner(message, wrapper), "message")
    return message, view_once


def _protocol(value: JsonObject) -> Said:
    """A note about another message: revoked, edited; every other kind (keys, history, timers) says nothing to people."""
    target = exact_text(text(inner(value, "key"), "id"))
    if target is not None and value.get("type", 0) in _REVOKE_TYPES:
        return Said(kind=MessageKind.REVOKE, content=Content(revoke=Revoke(target_provider_message_id=target)))
    protocol = clean_text(str(value.get("type")), MAX_CODE_CHARACTERS)
    return Said(kind=MessageKind.UNSUPPORTED, content=unsupported("protocolMessage"), protocol=protocol)


def _with_context(kind: MessageKind, content: Content, context: JsonObject) -> Said:
    if not context:
        return Said(kind=kind, content=content)
    reply_to = exact_text(text(context, "stanzaId"))
    score = whole(context.get("forwardingScore")) or 0
    referral = _referral(inner(context, "externalAdReply"))
    quoted = _quoted(context) if reply_to is not None else None
    if referral is not None or quoted is not None:
        content = replace(content, referral=referral, quoted=quoted)
    return Said(
        kind=kind,
        content=content,
        reply_to=reply_to,
        forwarded=flag(context, "isForwarded") or score > 0,
        frequently_forwarded=score >= _FREQUENTLY,
    )


def _quoted(context: JsonObject) -> Quoted | None:
    message = context.get("quotedMessage")
    author = aliases_of(text(context, "participant"))
    kind = words = None
    if isinstance(message, dict):
        try:
            quotation = said(message, {})
        except Malformed:
            quotation = None  # it only illustrates; the answer itself is well
        if quotation is not None and quotation.kind is not MessageKind.UNSUPPORTED:
            media = quotation.content.media
            kind, words = quotation.kind, quotation.content.text or (media.caption if media is not None else None)
    if kind is None and not author:
        return None
    return Quoted(kind=kind, text=words, author=author[0].key if author else None)


def _referral(ad: JsonObject) -> Referral | None:
    return referral_of(ad) if ad.get("sourceId") or ad.get("sourceUrl") else None


def _text(value: JsonObject) -> Content | None:
    words = text(value, "text")
    return None if words is None else Content(text=clean_text(words))


def _media(value: JsonObject) -> Content:
    sha256 = value.get("fileSha256")
    return Content(
        media=Media(
            mime_type=clean_text(text(value, "mimetype"), MAX_CODE_CHARACTERS),
            filename=clean_text(text(value, "fileName"), MAX_NAME_CHARACTERS) or None,
            size_bytes=whole(value.get("fileLength")),
            sha256=exact_text(sha256, MAX_CODE_CHARACTERS) if isinstance(sha256, str) else None,
            caption=clean_text(text(value, "caption")) or None,
            animated=flag(value, "isAnimated"),
            duration_seconds=decimal(value, "seconds"),
            width_pixels=whole(value.get("width")),
            height_pixels=whole(value.get("height")),
        )
    )


def _location(value: JsonObject) -> Content | None:
    return place(
        decimal(value, "degreesLatitude"),
        decimal(value, "degreesLongitude"),
        text(value, "name"),
        text(value, "address"),
        text(value, "url"),
    )


def _live_location(value: JsonObject) -> Content | None:
    found = place(decimal(value, "degreesLatitude"), decimal(value, "degreesLongitude"), text(value, "caption"), None, None)
    return None if found is None or found.location is None else replace(found, location=replace(found.location, live=True))


def _contact(value: JsonObject) -> Content:
    return Content(contacts=cards([(text(value, "displayName"), text(value, "vcard"))]))


def _contacts(value: JsonObject) -> Content | None:
    listed = [one for one in elements(value, "contacts") if isinstance(one, dict)]
    return Content(contacts=cards([(text(one, "displayName"), text(one, "vcard")) for one in listed])) if listed else None


def _reaction(value: JsonObject) -> Content | None:
    return reaction(text(inner(value, "key"), "id"), text(value, "text"))


def _buttons_response(value: JsonObject) -> Content:
    return choice("button_reply", text(value, "selectedButtonId"), text(value, "selectedDisplayText"))


def _template_response(value: JsonObject) -> Content:
    return choice("button_reply", text(value, "selectedId"), text(value, "selectedDisplayText"))


def _list_response(value: JsonObject) -> Content:
    row = inner(value, "singleSelectReply")
    return choice("list_reply", text(row, "selectedRowId"), text(value, "title"), text(value, "description"))


def _flow_response(value: JsonObject) -> Content | None:
    flow = inner(value, "nativeFlowResponseMessage")
    if not flow:
        return None
    return choice("nfm_reply", None, text(flow, "name"), text(inner(value, "body"), "text"), text(flow, "paramsJson"))


def _order(value: JsonObject) -> Content:
    """The cart itself is fetched by its id in the app; here is the note that came with it."""
    return Content(order=Order(note=clean_text(text(value, "message")) or None))


def _poll(value: JsonObject) -> Content:
    return unsupported("poll", text(value, "name"))


def _product(value: JsonObject) -> Content:
    product = inner(value, "product")
    product_id = exact_text(text(product, "productId"))
    return unsupported("product", text(product, "title"), Product(product_id=product_id))


_READERS: dict[str, tuple[MessageKind, Callable[[JsonObject], Content | None]]] = {
    "conversation": (MessageKind.TEXT, _text),
    "extendedTextMessage": (MessageKind.TEXT, _text),
    "imageMessage": (MessageKind.IMAGE, _media),
    "videoMessage": (MessageKind.VIDEO, _media),
    "ptvMessage": (MessageKind.VIDEO, _media),
    "audioMessage": (MessageKind.AUDIO, _media),
    "documentMessage": (MessageKind.DOCUMENT, _media),
    "stickerMessage": (MessageKind.STICKER, _media),
    "locationMessage": (MessageKind.LOCATION, _location),
    "liveLocationMessage": (MessageKind.LOCATION, _live_location),
    "contactMessage": (MessageKind.CONTACTS, _contact),
    "contactsArrayMessage": (MessageKind.CONTACTS, _contacts),
    "buttonsResponseMessage": (MessageKind.INTERACTIVE, _buttons_response),
    "templateButtonReplyMessage": (MessageKind.INTERACTIVE, _template_response),
    "listResponseMessage": (MessageKind.INTERACTIVE, _list_response),
    "interactiveResponseMessage": (MessageKind.INTERACTIVE, _flow_response),
    "reactionMessage": (MessageKind.REACTION, _reaction),
    "pollCreationMessage": (MessageKind.UNSUPPORTED, _poll),
    "pollCreationMessageV2": (MessageKind.UNSUPPORTED, _poll),
    "pollCreationMessageV3": (MessageKind.UNSUPPORTED, _poll),
    "orderMessage": (MessageKind.ORDER, _order),
    "productMessage": (MessageKind.UNSUPPORTED, _product),
    "protocolMessage": (MessageKind.REVOKE, lambda _: None),
}


def is_revoke(value: Any) -> bool:
    """Whether a `protocolMessage` takes a message back, by its type as number or name."""
    return value in _REVOKE_TYPES and not isinstance(value, bool)
