"""Bodies of messages that we send: one small function per kind, with Meta's documented limits.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages and the pages of
the single kinds; that a list has ten rows at most in total is believed, not documented on Meta's pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from shared.domain.errors import InvalidInput
from shared.providers.sending import Option, OutboundKind, OutboundMedia, SendOrder

_MAX_TEXT, _MAX_CAPTION, _MAX_BODY, _MAX_SHORT = 4096, 1024, 1024, 60
_MAX_BUTTONS, _MAX_BUTTON_TITLE, _MAX_BUTTON_ID = 3, 20, 256
_MAX_SECTIONS, _MAX_ROWS, _MAX_ROW_TITLE, _MAX_ROW_TEXT, _MAX_ROW_ID = 10, 10, 24, 72, 200

MEDIA_KINDS = frozenset({OutboundKind.IMAGE, OutboundKind.AUDIO, OutboundKind.VIDEO, OutboundKind.DOCUMENT, OutboundKind.STICKER})
_CAPTIONED = frozenset({OutboundKind.IMAGE, OutboundKind.VIDEO, OutboundKind.DOCUMENT})


def refuse(message: str, pointer: str) -> NoReturn:
    """Raise InvalidInput (`cannot_send`) that points into the order."""
    raise InvalidInput(message, reason="cannot_send", pointer=pointer)


def body_of(order: SendOrder, uploaded: str | None) -> dict[str, Any]:
    """`type` and the field of that name; `uploaded` stands for the media id. Raises InvalidInput (`cannot_send`)."""
    if order.kind in MEDIA_KINDS:
        return _typed(order.kind.value, _media(order, uploaded))
    make = _BODIES.get(order.kind)
    return make(order) if make is not None else refuse(f"Meta's API cannot send {order.kind.value}", "/kind")


def _typed(type_: str, value: Any) -> dict[str, Any]:
    return {"type": type_, type_: value}


def _within(text: str | None, limit: int, pointer: str) -> str:
    if not text:
        refuse("a text is missing", pointer)
    if len(text) > limit:
        refuse(f"longer than {limit} characters", pointer)
    return text


def _text(order: SendOrder) -> dict[str, Any]:
    body = _within(order.content.text, _MAX_TEXT, "/content/text")
    return _typed("text", {"body": body, "preview_url": order.content.preview_url})


def _media(order: SendOrder, uploaded: str | None) -> dict[str, Any]:
    media = order.content.media or refuse("a file is missing", "/content/media")
    value = _source(media, uploaded)
    if media.caption:
        if order.kind not in _CAPTIONED:
            refuse(f"{order.kind.value} has no caption", "/content/media/caption")
        value["caption"] = _within(media.caption, _MAX_CAPTION, "/content/media/caption")
    if order.kind is OutboundKind.DOCUMENT and media.filename:
        value["filename"] = media.filename
    if order.kind is OutboundKind.AUDIO and media.voice:
        value["voice"] = True
    return value


def _source(media: OutboundMedia, uploaded: str | None) -> dict[str, Any]:
    media_id = uploaded or media.provider_media_id
    if media_id is not None:
        return {"id": media_id}
    return {"link": media.link or refuse("neither an id, nor a link, nor bytes", "/content/media")}


def _location(order: SendOrder) -> dict[str, Any]:
    place = order.content.location or refuse("a place is missing", "/content/location")
    value = {"latitude": place.latitude, "longitude": place.longitude, "name": place.name, "address": place.address}
    return _typed("location", {name: part for name, part in value.items() if part is not None})


def _contacts(order: SendOrder) -> dict[str, Any]:
    cards = order.content.contacts or refuse("a card is missing", "/content/contacts")
    listed = []
    for card in cards:
        name = card.name or card.organization or refuse("a card needs a name", "/content/contacts")
        value: dict[str, Any] = {"name": {"formatted_name": name, "first_name": name}}
        value["phones"] = [{"phone": phone} for phone in card.phones]
        value["emails"] = [{"email": address} for address in card.emails]
        if card.organization:
            value["org"] = {"company": card.organization}
        listed.append({key: part for key, part in value.items() if part})
    return _typed("contacts", listed)


def _template(order: SendOrder) -> dict[str, Any]:
    template = order.content.template or refuse("a template is missing", "/content/template")
    value: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    if template.components:
        value["components"] = [dict(component) for component in template.components]
    return _typed("template", value)


def _frame(order: SendOrder, type_: str, action: dict[str, Any]) -> dict[str, Any]:
    content = order.content
    value: dict[str, Any] = {"type": type_, "body": {"text": _within(content.text, _MAX_BODY, "/content/text")}}
    if content.header:
        value["header"] = {"type": "text", "text": _within(content.header, _MAX_SHORT, "/content/header")}
    if content.footer:
        value["footer"] = {"text": _within(content.footer, _MAX_SHORT, "/content/footer")}
    return _typed("interactive", {**value, "action": action})


def _buttons(order: SendOrder) -> dict[str, Any]:
    options = order.content.options
    if len(options) == 1 and options[0].url:
        title = _within(options[0].title, _MAX_BUTTON_TITLE, "/content/options/0/title")
        return _frame(order, "cta_url", {"name": "cta_url", "parameters": {"display_text": title, "url": options[0].url}})
    if not 1 <= len(options) <= _MAX_BUTTONS or any(option.url for option in options):
        refuse(f"one to {_MAX_BUTTONS} answer buttons, or one that opens a link", "/content/options")
    if len({option.title for option in options}) < len(options):
        refuse("two buttons have the same title", "/content/options")
    buttons = [
        {
            "type": "reply",
            "reply": {
                "id": _within(option.id, _MAX_BUTTON_ID, f"/content/options/{index}/id"),
                "title": _within(option.title, _MAX_BUTTON_TITLE, f"/content/options/{index}/title"),
            },
        }
        for index, option in enumerate(options)
    ]
    return _frame(order, "button", {"buttons": buttons})


def _list(order: SendOrder) -> dict[str, Any]:
    sections = order.content.sections
    rows = sum(len(section.rows) for section in sections)
    if not 1 <= len(sections) <= _MAX_SECTIONS or not 1 <= rows <= _MAX_ROWS:
        refuse(f"one to {_MAX_ROWS} rows in one to {_MAX_SECTIONS} sections", "/content/sections")
    listed = []
    for index, section in enumerate(sections):
        place = f"/content/sections/{index}"
        value: dict[str, Any] = {"rows": [_row(row, place) for row in section.rows]}
        if section.title or len(sections) > 1:
            value["title"] = _within(section.title, _MAX_ROW_TITLE, f"{place}/title")
        listed.append(value)
    button = _within(order.content.list_button, _MAX_BUTTON_TITLE, "/content/list_button")
    return _frame(order, "list", {"button": button, "sections": listed})


def _row(row: Option, place: str) -> dict[str, str]:
    value = {"id": _within(row.id, _MAX_ROW_ID, place), "title": _within(row.title, _MAX_ROW_TITLE, place)}
    return value | ({"description": _within(row.description, _MAX_ROW_TEXT, place)} if row.description else {})


def _reaction(order: SendOrder) -> dict[str, Any]:
    target = order.target_provider_message_id or refuse("the message is missing", "/target_provider_message_id")
    return _typed("reaction", {"message_id": target, "emoji": order.content.emoji or ""})


_BODIES: dict[OutboundKind, Callable[[SendOrder], dict[str, Any]]] = {
    OutboundKind.TEXT: _text,
    OutboundKind.LOCATION: _location,
    OutboundKind.CONTACTS: _contacts,
    OutboundKind.TEMPLATE: _template,
    OutboundKind.BUTTONS: _buttons,
    OutboundKind.LIST: _list,
    OutboundKind.REACTION: _reaction,
}
