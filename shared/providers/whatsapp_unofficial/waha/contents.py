"""What a message of WAHA says: by its own fields where it has any for that, else by what the engine put into `_data`.

`_data` differs by engine: WEBJS and WPP name a `type` and flat fields, NOWEB holds WhatsApp's message object in `message`,
GOWS in `Message`. Source: https://waha.devlike.pro/docs/how-to/receive-messages/ (and the server's `responses.dto.ts`).
"""

from __future__ import annotations

from dataclasses import replace

from shared.domain.content import Content, Media, Quoted
from shared.domain.enums import MessageKind
from shared.providers.cleaning import (
    MAX_CODE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_URL_CHARACTERS,
    clean_text,
    exact_text,
)
from shared.providers.documents import Malformed, Unmappable
from shared.providers.whatsapp_unofficial.cards import cards
from shared.providers.whatsapp_unofficial.fields import JsonObject, decimal, elements, flag, inner, text, whole
from shared.providers.whatsapp_unofficial.jids import aliases_of
from shared.providers.whatsapp_unofficial.proto import said
from shared.providers.whatsapp_unofficial.shapes import Said, choice, content_kind, place, unsupported
from shared.providers.whatsapp_unofficial.waha.names import parse_name

_FREQUENTLY = 5
# Types of WEBJS and WPP that are kinds of media; an engine that names none leaves the MIME type to tell.
_MEDIA_TYPES = {
    "image": MessageKind.IMAGE,
    "video": MessageKind.VIDEO,
    "ptv": MessageKind.VIDEO,
    "gif": MessageKind.VIDEO,
    "audio": MessageKind.AUDIO,
    "ptt": MessageKind.AUDIO,
    "document": MessageKind.DOCUMENT,
    "sticker": MessageKind.STICKER,
}
_SPOKEN_TYPES = frozenset({"chat", "location", "vcard", "multi_vcard", *_MEDIA_TYPES})
_BY_MIME = {"image": MessageKind.IMAGE, "video": MessageKind.VIDEO, "audio": MessageKind.AUDIO}


def spoken(payload: JsonObject) -> Said:
    """What the message says; raises Malformed for a field of a wrong type."""
    data = _engine_data(payload)
    raw = _raw_message(data)
    engine = said(raw, {}) if raw else None
    found = _own_fields(payload, data, engine)
    reply = inner(payload, "replyTo")
    name = parse_name(text(reply, "id")) if reply else None
    score = whole(data.get("forwardingScore")) or 0
    quoted = _quoted(reply, engine) if name is not None else None
    referral = engine.content.referral if engine is not None else None
    return Said(
        kind=found.kind,
        content=found.content
        if quoted is None and referral is None
        else replace(found.content, quoted=quoted, referral=referral),
        reply_to=exact_text(name.bare) if name is not None else (engine.reply_to if engine is not None else None),
        forwarded=flag(data, "isForwarded") or score > 0 or (engine is not None and engine.forwarded),
        frequently_forwarded=score >= _FREQUENTLY or (engine is not None and engine.frequently_forwarded),
    )


def _engine_data(payload: JsonObject) -> JsonObject:
    data = payload.get("_data")
    return data if isinstance(data, dict) else {}  # the engine's own, "may change anytime": never a fault


def _raw_message(data: JsonObject) -> JsonObject:
    for name in ("message", "Message"):
        value = data.get(name)
        if isinstance(value, dict):
            return value
    return {}


def _own_fields(payload: JsonObject, data: JsonObject, engine: Said | None) -> Said:
    """WAHA's own fields first: they are documented. Then what the engine knows better than "a text"."""
    type_ = data.get("type")
    type_ = type_ if isinstance(type_, str) else None
    body = text(payload, "body")
    try:
        found = _documented(payload, type_, data, engine) or _answer(type_, data, body)
    except Unmappable as fault:
        return content_kind(MessageKind.UNSUPPORTED, unsupported(type_ or "location or contacts", fault.reason))
    if found is not None:
        return found
    if type_ is not None and type_ not in _SPOKEN_TYPES:
        return content_kind(MessageKind.UNSUPPORTED, unsupported(type_, _poll_name(data)))
    return _by_engine(engine, content_kind(MessageKind.TEXT, Content(text=clean_text(body))) if body else None)


def _by_engine(engine: Said | None, in_body: Said | None) -> Said:
    """`body` is a text unless the engine knows better: it repeats the label of a button, the question of a poll, …."""
    if engine is None:
        return in_body or content_kind(MessageKind.UNSUPPORTED, unsupported(None))
    strange = engine.content.unsupported
    nameless = strange is not None and strange.provider_type == "missing"
    if in_body is not None and (nameless or engine.kind is MessageKind.TEXT or engine.content.media is not None):
        return in_body
    if strange is not None and in_body is not None:
        return content_kind(MessageKind.UNSUPPORTED, unsupported(strange.provider_type, strange.detail or in_body.content.text))
    return content_kind(engine.kind, replace(engine.content, quoted=None, referral=None))


def _documented(payload: JsonObject, type_: str | None, data: JsonObject, engine: Said | None) -> Said | None:
    location = inner(payload, "location")
    found = _location(location, engine) if location else None
    if found is not None:
        return content_kind(MessageKind.LOCATION, found)
    vcards = elements(payload, "vCards")
    if vcards:
        return content_kind(MessageKind.CONTACTS, _contacts(vcards, engine))
    if flag(payload, "hasMedia") or payload.get("media"):
        kind, media = _media(payload, type_, data, engine)
        return content_kind(kind, Content(media=media))
    return None


def _poll_name(data: JsonObject) -> str | None:
    name = data.get("pollName")
    return name if isinstance(name, str) else None


def _location(location: JsonObject, engine: Said | None) -> Content | None:
    """WAHA's own place; `description` joins name and address in one engine, so what the engine has apart comes first."""
    known = engine.content.location if engine is not None else None
    name = (known.name if known is not None else None) or text(location, "name") or text(location, "description")
    address = (known.address if known is not None else None) or text(location, "address")
    found = place(decimal(location, "latitude"), decimal(location, "longitude"), name, address, text(location, "url"))
    if found is None or found.location is None or not flag(location, "live"):
        return found
    return replace(found, location=replace(found.location, live=True))


def _contacts(vcards: list[object], engine: Said | None) -> Content:
    if any(not isinstance(vcard, str) for vcard in vcards):
        raise Malformed("wrong_type")
    read = cards([(None, vcard) for vcard in vcards if isinstance(vcard, str)])
    named = engine.content.contacts if engine is not None and len(engine.content.contacts) == len(read) else ()
    return Content(contacts=named or read)  # the engine knows the name that was shown


def _media(payload: JsonObject, type_: str | None, data: JsonObject, engine: Said | None) -> tuple[MessageKind, Media]:
    file = inner(payload, "media")
    known = engine.content.media if engine is not None else None
    mime_type = text(file, "mimetype") or (known.mime_type if known is not None else None)
    known_kind = engine.kind if engine is not None and known is not None else _MEDIA_TYPES.get(type_ or "")
    kind = known_kind or _by_mime(mime_type)
    base = known if known is not None else Media()
    voice = base.voice or type_ == "ptt"
    name = text(payload, "id")
    return kind, replace(
        base,
        provider_media_id=exact_text(name),
        url=exact_text(text(file, "url") or text(payload, "mediaUrl"), MAX_URL_CHARACTERS),
        mime_type=clean_text(mime_type, MAX_CODE_CHARACTERS),
        filename=clean_text(text(file, "filename"), MAX_NAME_CHARACTERS) or base.filename,
        caption=clean_text(text(payload, "body")) or base.caption,
        voice=voice,
        size_bytes=base.size_bytes if base.size_bytes is not None else whole(data.get("size")),
        view_once=base.view_once or data.get("isViewOnce") is True,
        animated=base.animated or data.get("isAnimated") is True,
    )


def _by_mime(mime_type: str | None) -> MessageKind:
    if mime_type is not None and mime_type.startswith("image/webp"):
        return MessageKind.STICKER  # photos are sent as JPEG
    return _BY_MIME.get((mime_type or "").split("/", 1)[0], MessageKind.DOCUMENT)


def _answer(type_: str | None, data: JsonObject, body: str | None) -> Said | None:
    """The answer to buttons or a list, as WEBJS and WPP tell it."""
    if type_ in ("buttons_response", "template_button_reply"):
        chosen = choice("button_reply", text(data, "selectedButtonId") or text(data, "selectedId"), body)
        return content_kind(MessageKind.INTERACTIVE, chosen)
    if type_ == "list_response":
        reply = inner(data, "listResponse")
        row = text(inner(reply, "singleSelectReply"), "selectedRowId") or text(data, "selectedRowId")
        chosen = choice("list_reply", row, text(reply, "title") or body, text(reply, "description"))
        return content_kind(MessageKind.INTERACTIVE, chosen)
    return None


def _quoted(reply: JsonObject, engine: Said | None) -> Quoted | None:
    """The engine's own quotation, which knows the kind; else the body that WAHA repeats."""
    if engine is not None and engine.content.quoted is not None:
        return engine.content.quoted
    author = aliases_of(text(reply, "participant"))
    words = clean_text(text(reply, "body")) or None
    if words is None and not author:
        return None
    kind = MessageKind.TEXT if words is not None and reply.get("hasMedia") is False else None
    return Quoted(kind=kind, text=words, author=author[0].key if author else None)
