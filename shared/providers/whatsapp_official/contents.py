"""What a message says: one small function per documented type; the table at the end names them all.

A function returns None if the documented content is not there (Meta leaves it out and explains by `errors`); the
message is then kept as `unsupported`.
Source: https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import convert

from shared.domain.enums import MessageKind
from shared.domain.items import Choice, ContactCard, Content, Location, Media, Reaction
from shared.providers.cleaning import (
    MAX_CODE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    clean_text,
    exact_text,
)
from shared.providers.documents import Malformed
from shared.providers.whatsapp_official.payloads import (
    Card,
    Interactive,
    InteractiveReply,
    MediaFile,
    Place,
    ReactionMark,
    TemplateButton,
    Text,
)

_MAX_URL_CHARACTERS = 4_096
_MAX_CARDS = 257  # as many as the app lets a person share at once
_MAX_CARD_ENTRIES = 20
_MAX_CARDS_CHARACTERS = 100_000  # of all cards together: the event must fit one Kafka message


def _text(value: Any) -> Content | None:
    body = convert(value, Text).body
    return None if body is None else Content(text=clean_text(body))


def _media(value: Any) -> Content | None:
    file = convert(value, MediaFile)
    media_id, url = exact_text(file.id), exact_text(file.url, _MAX_URL_CHARACTERS)
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
    return Content(
        location=Location(
            latitude=place.latitude,
            longitude=place.longitude,
            name=clean_text(place.name, MAX_NAME_CHARACTERS),
            address=clean_text(place.address, MAX_NAME_CHARACTERS),
        )
    )


def _contacts(value: Any) -> Content | None:
    cards = convert(value, list[Card])
    if not cards:
        return None
    if len(cards) > _MAX_CARDS:
        raise Malformed("contacts_too_many")  # rather than to show a part as if it were all
    read = tuple(_card(card) for card in cards)
    if sum(_characters(card) for card in read) > _MAX_CARDS_CHARACTERS:
        raise Malformed("contacts_too_large")
    return Content(contacts=read)


def _characters(card: ContactCard) -> int:
    return sum(len(text) for text in (card.name or "", card.organization or "", *card.phones, *card.emails))


def _card(card: Card) -> ContactCard:
    name = None
    if card.name is not None:
        parts = [part for part in (card.name.first_name, card.name.last_name) if part]
        name = card.name.formatted_name or " ".join(parts) or None
    phones = [phone.phone or phone.wa_id for phone in (card.phones or ())[:_MAX_CARD_ENTRIES]]
    emails = [email.email for email in (card.emails or ())[:_MAX_CARD_ENTRIES]]
    return ContactCard(
        name=clean_text(name, 256),
        phones=tuple(text for phone in phones if (text := clean_text(phone, 32))),
        emails=tuple(text for email in emails if (text := clean_text(email, 320))),
        organization=clean_text(card.org.company, 256) if card.org is not None else None,
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
    return None


def _chosen(type_: str, reply: InteractiveReply) -> Choice:
    return Choice(
        type=type_,
        id=exact_text(reply.id),
        title=clean_text(reply.title, MAX_NAME_CHARACTERS),
        description=clean_text(reply.description, MAX_NAME_CHARACTERS),
    )


def _form(reply: InteractiveReply) -> Choice:
    if reply.response_json is not None and len(reply.response_json) > MAX_TEXT_CHARACTERS:
        raise Malformed("form_too_large")  # JSON that was cut is no JSON
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
}
