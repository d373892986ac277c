"""What a message of Z-API says: one object beside the envelope, named after its kind.

Source: https://developer.z-api.io/webhooks/on-message-received (its examples; field tables are incomplete).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shared.domain.content import Content, Media, Order, OrderLine, Product
from shared.domain.enums import MessageKind
from shared.providers.cleaning import (
    MAX_CODE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_URL_CHARACTERS,
    clean_text,
    exact_text,
)
from shared.providers.documents import Unmappable
from shared.providers.whatsapp_unofficial.cards import cards
from shared.providers.whatsapp_unofficial.fields import JsonObject, decimal, elements, flag, inner, text, whole
from shared.providers.whatsapp_unofficial.shapes import Said, choice, place, reaction, referral_of, unsupported

_MAX_ORDER_LINES = 500


def spoken(body: JsonObject) -> Said:
    """What the message says; raises Malformed for a field of a wrong type."""
    name = next((name for name in _READERS if body.get(name) is not None), None)
    kind, content, why = MessageKind.UNSUPPORTED, None, None
    reply_to = text(body, "referenceMessageId")
    if name is not None:
        kind, read = _READERS[name]
        try:
            content = read(inner(body, name))
        except Unmappable as fault:
            why = fault.reason
        if name == "pollVote":
            reply_to = text(inner(body, "pollVote"), "pollMessageId") or reply_to
    if content is None:
        kind, content = MessageKind.UNSUPPORTED, unsupported(name or _unknown(body), why)
    ad = inner(body, "externalAdReply")
    if ad:
        content = replace(content, referral=referral_of(ad))
    return Said(kind=kind, content=content, reply_to=exact_text(reply_to), forwarded=flag(body, "forwarded"))


def has_content(body: JsonObject) -> bool:
    """Whether the message says anything that has a shape here."""
    return any(body.get(name) is not None for name in _READERS)


def _unknown(body: JsonObject) -> str | None:
    return next((name for name, value in body.items() if isinstance(value, dict) and name != "externalAdReply"), None)


def _text(value: JsonObject) -> Content | None:
    words = text(value, "message")
    return None if words is None else Content(text=clean_text(words))


def _media(url_name: str) -> Callable[[JsonObject], Content | None]:
    def read(value: JsonObject) -> Content | None:
        url = exact_text(text(value, url_name), MAX_URL_CHARACTERS)
        if url is None:
            return None
        return Content(
            media=Media(
                url=url,
                mime_type=clean_text(text(value, "mimeType"), MAX_CODE_CHARACTERS),
                filename=clean_text(text(value, "fileName"), MAX_NAME_CHARACTERS) or None,
                caption=clean_text(text(value, "caption")) or None,
                voice=flag(value, "ptt"),
                animated=flag(value, "isAnimated"),
                view_once=flag(value, "viewOnce"),
                duration_seconds=decimal(value, "seconds"),
                width_pixels=whole(value.get("width")) or None,
                height_pixels=whole(value.get("height")) or None,
            )
        )

    return read


def _location(value: JsonObject) -> Content | None:
    return place(
        decimal(value, "latitude"), decimal(value, "longitude"), text(value, "name"), text(value, "address"), text(value, "url")
    )


def _contact(value: JsonObject) -> Content:
    return Content(contacts=cards([(text(value, "displayName"), text(value, "vCard"))]))


def _contacts(value: JsonObject) -> Content | None:
    listed = [one for one in elements(value, "contacts") if isinstance(one, dict)]
    return Content(contacts=cards([(text(one, "displayName"), text(one, "vCard")) for one in listed])) if listed else None


def _reaction(value: JsonObject) -> Content | None:
    return reaction(text(inner(value, "referencedMessage"), "messageId"), text(value, "value"))


def _button(value: JsonObject) -> Content:
    return choice("button_reply", text(value, "buttonId"), text(value, "message"))


def _row(value: JsonObject) -> Content:
    # `message` repeats title and description of the row; the title alone is what was pressed
    return choice("list_reply", text(value, "selectedRowId"), text(value, "title"), text(value, "description"))


def _vote(value: JsonObject) -> Content:
    options = [option for option in elements(value, "options") if isinstance(option, dict)]
    return choice("poll_vote", None, ", ".join(name for option in options if (name := text(option, "name"))))


def _poll(value: JsonObject) -> Content:
    return unsupported("poll", text(value, "question"))


def _product(value: JsonObject) -> Content:
    return unsupported("product", text(value, "title"), Product(product_id=exact_text(text(value, "productId"))))


def _order(value: JsonObject) -> Content | None:
    lines = [line for line in elements(value, "products") if isinstance(line, dict)]
    if not lines:
        return None
    if len(lines) > _MAX_ORDER_LINES:
        raise Unmappable("order_too_large")  # rather than to show a part as if it were all
    return Content(order=Order(note=clean_text(text(value, "message")) or None, lines=tuple(_line(line) for line in lines)))


def _line(line: JsonObject) -> OrderLine:
    product_id = exact_text(text(line, "retailerId") or text(line, "productId"))
    if product_id is None:
        raise Unmappable("product_missing")
    price = line.get("price")
    return OrderLine(
        product_id=product_id,
        quantity=whole(line.get("quantity")),
        unit_price=clean_text(str(price), 32) if isinstance(price, int | float | str) else None,
        currency=clean_text(text(line, "currencyCode"), 8),
        name=clean_text(text(line, "name"), MAX_NAME_CHARACTERS) or None,
    )


_READERS: dict[str, tuple[MessageKind, Callable[[JsonObject], Content | None]]] = {
    "reaction": (MessageKind.REACTION, _reaction),
    "buttonsResponseMessage": (MessageKind.INTERACTIVE, _button),
    "listResponseMessage": (MessageKind.INTERACTIVE, _row),
    "pollVote": (MessageKind.INTERACTIVE, _vote),
    "text": (MessageKind.TEXT, _text),
    "hydratedTemplate": (MessageKind.TEXT, _text),
    "image": (MessageKind.IMAGE, _media("imageUrl")),
    "video": (MessageKind.VIDEO, _media("videoUrl")),
    "audio": (MessageKind.AUDIO, _media("audioUrl")),
    "document": (MessageKind.DOCUMENT, _media("documentUrl")),
    "sticker": (MessageKind.STICKER, _media("stickerUrl")),
    "location": (MessageKind.LOCATION, _location),
    "contact": (MessageKind.CONTACTS, _contact),
    "contacts": (MessageKind.CONTACTS, _contacts),
    "order": (MessageKind.ORDER, _order),
    "product": (MessageKind.UNSUPPORTED, _product),
    "poll": (MessageKind.UNSUPPORTED, _poll),
}
