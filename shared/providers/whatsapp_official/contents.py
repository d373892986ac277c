"""What a message says: one small function per documented type; the table at the end names them all.

A function returns None if the documented content is not there (Meta leaves it out and explains by `errors`); the
message is then kept as `unsupported`.
Source: https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec import convert

from shared.domain.enums import MessageKind
from shared.domain.items import Choice, ContactCard, Content, Location, Media, Order, OrderLine, Reaction, Revoke
from shared.providers.cleaning import (
    MAX_CODE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MAX_URL_CHARACTERS,
    clean_text,
    exact_text,
)
from shared.providers.documents import Unmappable
from shared.providers.whatsapp_official.payloads import (
    CallPermission,
    Card,
    Interactive,
    InteractiveReply,
    MediaFile,
    OrderPlaced,
    OrderProduct,
    Place,
    ReactionMark,
    Revocation,
    TemplateButton,
    Text,
)

_MAX_CARDS = 257  # as many as the app lets a person share at once
_MAX_CARD_ENTRIES = 20
_MAX_ORDER_LINES = 500
_MAX_CARDS_CHARACTERS = 100_000  # of all cards together: the event must fit one Kafka message


def _text(value: Any) -> Content | None:
    body = convert(value, Text).body
    return None if body is None else Content(text=clean_text(body))


def _media(value: Any) -> Content | None:
    file = convert(value, MediaFile)
    media_id, url = exact_text(file.id), exact_text(file.url, MAX_URL_CHARACTERS)
    if media_id is None and url is None:
        return None
    return Content(
        media=Media(
            provider_media_id=media_id,
            url=url,
            mime_type=clean_text(file.mime_type, MAX_CODE_CHARACTERS),
            filename=clean_text(file.filename, MAX_NAME_CHARACTERS),
            sha256=exact_text(file.sha256, MAX_CODE_CHARACTERS),
            caption=clean_text(file.caption),
            voice=bool(file.voice),
            animated=bool(file.animated),
        )
    )


def _location(value: Any) -> Content | None:
    place = convert(value, Place)
    if place.latitude is None or place.longitude is None:
        return None
    if abs(place.latitude) > 90 or abs(place.longitude) > 180:
        raise Unmappable("place_impossible")
    return Content(
        location=Location(
            latitude=place.latitude,
            longitude=place.longitude,
            name=clean_text(place.name, MAX_NAME_CHARACTERS),
            address=clean_text(place.address, MAX_NAME_CHARACTERS),
            url=exact_text(place.url, MAX_URL_CHARACTERS),
        )
    )


def _contacts(value: Any) -> Content | None:
    cards = convert(value, list[Card])
    if not cards:
        return None
    if len(cards) > _MAX_CARDS:
        raise Unmappable("contacts_too_many")  # rather than to show a part as if it were all
    read = tuple(_card(card) for card in cards)
    if sum(_characters(card) for card in read) > _MAX_CARDS_CHARACTERS:
        raise Unmappable("contacts_too_large")
    return Content(contacts=read)


def _characters(card: ContactCard) -> int:
    return sum(len(text) for text in (card.name or "", card.organization or "", *card.phones, *card.emails, *card.user_ids))


def _card(card: Card) -> ContactCard:
    name = None
    if card.name is not None:
        parts = [part for part in (card.name.first_name, card.name.last_name) if part]
        name = card.name.formatted_name or " ".join(parts) or None
    phones_of = (card.phones or ())[:_MAX_CARD_ENTRIES]
    phones = [phone.phone or phone.wa_id for phone in phones_of]
    emails = [email.email for email in (card.emails or ())[:_MAX_CARD_ENTRIES]]
    return ContactCard(
        name=clean_text(name, 256),
        phones=tuple(text for phone in phones if (text := clean_text(phone, 32))),
        emails=tuple(text for email in emails if (text := clean_text(email, 320))),
        organization=clean_text(card.org.company, 256) if card.org is not None else None,
        user_ids=tuple(text for phone in phones_of if (text := exact_text(phone.wa_id, 32))),
    )


def _button(value: Any) -> Content | None:
    button = convert(value, TemplateButton)
    if button.text is None and button.payload is None:
        return None
    return Content(
        choice=Choice(
            type="button",
            title=clean_text(button.text, MAX_NAME_CHARACTERS),
            payload=clean_text(button.payload, MAX_TEXT_CHARACTERS),
        )
    )


def _interactive(value: Any) -> Content | None:
    answer = convert(value, Interactive)
    if answer.type in ("button_reply", "list_reply"):
        reply = answer.button_reply if answer.type == "button_reply" else answer.list_reply
        return None if reply is None else Content(choice=_chosen(answer.type, reply))
    if answer.type == "nfm_reply" and answer.nfm_reply is not None:
        return Content(choice=_form(answer.nfm_reply))
    if answer.type == "call_permission_reply" and answer.call_permission_reply is not None:
        return Content(choice=_call_permission(answer.call_permission_reply))
    return None


def _call_permission(reply: CallPermission) -> Choice:
    """`id` is the response; `payload` says for how long, as JSON text."""
    terms = {"is_permanent": reply.is_permanent, "expiration_timestamp": reply.expiration_timestamp}
    payload = json.dumps({name: value for name, value in terms.items() if value is not None}, separators=(",", ":"))
    return Choice(type="call_permission_reply", id=exact_text(reply.response, MAX_CODE_CHARACTERS), payload=clean_text(payload))


def _chosen(type_: str, reply: InteractiveReply) -> Choice:
    return Choice(
        type=type_,
        id=exact_text(reply.id),
        title=clean_text(reply.title, MAX_NAME_CHARACTERS),
        description=clean_text(reply.description, MAX_NAME_CHARACTERS),
    )


def _form(reply: InteractiveReply) -> Choice:
    if reply.response_json is not None and len(reply.response_json) > MAX_TEXT_CHARACTERS:
        raise Unmappable("form_too_large")  # JSON that was cut is no JSON
    return Choice(
        type="nfm_reply",
        title=clean_text(reply.name, MAX_NAME_CHARACTERS),
        description=clean_text(reply.body, MAX_NAME_CHARACTERS),
        payload=clean_text(reply.response_json),
    )


def _reaction(value: Any) -> Content | None:
    mark = convert(value, ReactionMark)
    target = exact_text(mark.message_id)
    if target is None:
        return None
    return Content(reaction=Reaction(target_provider_message_id=target, emoji=clean_text(mark.emoji, 64) or None))


def _order(value: Any) -> Content | None:
    order = convert(value, OrderPlaced)
    lines = order.product_items
    if not lines:
        return None
    if len(lines) > _MAX_ORDER_LINES:
        raise Unmappable("order_too_large")  # rather than to show a part as if it were all
    return Content(
        order=Order(
            catalog_id=exact_text(order.catalog_id),
            note=clean_text(order.text) or None,
            lines=tuple(_order_line(line) for line in lines),
        )
    )


def _order_line(line: OrderProduct) -> OrderLine:
    product_id = exact_text(line.product_retailer_id)
    if product_id is None:
        raise Unmappable("product_missing")
    return OrderLine(
        product_id=product_id,
        quantity=line.quantity,
        unit_price=None if line.item_price is None else clean_text(str(line.item_price), 32),
        currency=clean_text(line.currency, 8),
    )


def _revoke(value: Any) -> Content | None:
    target = exact_text(convert(value, Revocation).original_message_id)
    return None if target is None else Content(revoke=Revoke(target_provider_message_id=target))


# Meta's type -> our kind, and how its content (the field of the same name) is read
CONTENTS: dict[str, tuple[MessageKind, Callable[[Any], Content | None]]] = {
    "text": (MessageKind.TEXT, _text),
    "image": (MessageKind.IMAGE, _media),
    "audio": (MessageKind.AUDIO, _media),
    "video": (MessageKind.VIDEO, _media),
    "document": (MessageKind.DOCUMENT, _media),
    "sticker": (MessageKind.STICKER, _media),
    "location": (MessageKind.LOCATION, _location),
    "contacts": (MessageKind.CONTACTS, _contacts),
    "button": (MessageKind.BUTTON, _button),
    "interactive": (MessageKind.INTERACTIVE, _interactive),
    "reaction": (MessageKind.REACTION, _reaction),
    "order": (MessageKind.ORDER, _order),
    "revoke": (MessageKind.REVOKE, _revoke),
}
