"""What a Telegram message says: one small function per field that holds content; the table at the end names them all.

Source: https://core.telegram.org/bots/api#message
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import convert

from shared.domain.enums import MessageKind
from shared.domain.items import Choice, ContactCard, Content, Location, Media, Referral
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text, exact_text, plausible
from shared.providers.documents import Malformed
from shared.providers.telegram.payloads import Card, File, Place, SharedUsers, Venue, WebAppData
from shared.providers.telegram.updates import full_name

Read = Callable[[Any], Content | None]

_DEEP_LINK = re.compile(r"/start(?:@[A-Za-z0-9_]{3,64})? ([A-Za-z0-9_-]{1,64})")
_MAX_SHARED_USERS = 100
_MAX_PIXELS = 1_000_000


def _text(value: Any) -> Content | None:
    text = clean_text(convert(value, str))
    start = _DEEP_LINK.fullmatch(text) if text and text.startswith("/start") else None
    return Content(text=text, referral=None if start is None else Referral(source_type="deep_link", payload=start[1]))


def _photo(value: Any) -> Content | None:
    sizes = convert(value, list[File])
    return _file(sizes[-1], mime_type="image/jpeg") if sizes else None  # the last one is the largest


def _media(value: Any) -> Content | None:
    return _file(convert(value, File))


def _voice(value: Any) -> Content | None:
    return _file(convert(value, File), voice=True)


def _animation(value: Any) -> Content | None:
    return _file(convert(value, File), animated=True)


def _sticker(value: Any) -> Content | None:
    sticker = convert(value, File)
    moving = "application/x-tgsticker" if sticker.is_animated else "video/webm" if sticker.is_video else None
    return _file(sticker, mime_type=moving or "image/webp", animated=moving is not None)


def _file(file: File, *, mime_type: str | None = None, voice: bool = False, animated: bool = False) -> Content | None:
    file_id = exact_text(file.file_id)
    if file_id is None:
        return None
    return Content(
        media=Media(
            provider_media_id=file_id,
            mime_type=clean_text(file.mime_type, MAX_CODE_CHARACTERS) or mime_type,
            filename=clean_text(file.file_name, MAX_NAME_CHARACTERS),
            size_bytes=plausible(file.file_size),
            voice=voice,
            animated=animated,
            duration_seconds=plausible(file.duration),
            width_pixels=plausible(file.width or file.length, _MAX_PIXELS),
            height_pixels=plausible(file.height or file.length, _MAX_PIXELS),
        )
    )


def _location(value: Any) -> Content | None:
    return _placed(convert(value, Place))


def _venue(value: Any) -> Content | None:
    venue = convert(value, Venue)
    return None if venue.location is None else _placed(venue.location, venue.title, venue.address)


def _placed(place: Place, name: str | None = None, address: str | None = None) -> Content | None:
    if place.latitude is None or place.longitude is None:
        return None
    return Content(
        location=Location(
            latitude=place.latitude,
            longitude=place.longitude,
            name=clean_text(name, MAX_NAME_CHARACTERS),
            address=clean_text(address, MAX_NAME_CHARACTERS),
            live=bool(place.live_period),
        )
    )


def _contact(value: Any) -> Content | None:
    card = convert(value, Card)
    phone = clean_text(card.phone_number, 32)
    return Content(
        contacts=(
            ContactCard(
                name=full_name(card.first_name, card.last_name),
                phones=(phone,) if phone else (),
                user_ids=(str(card.user_id),) if card.user_id else (),
            ),
        )
    )


def _users_shared(value: Any) -> Content | None:
    users = convert(value, SharedUsers).users
    if not users:
        return None
    if len(users) > _MAX_SHARED_USERS:
        raise Malformed("contacts_too_many")  # rather than to show a part as if it were all
    return Content(contacts=tuple(_shared_user(user) for user in users))


def _shared_user(user: dict[str, Any]) -> ContactCard:
    user_id = convert(user.get("user_id"), int)
    first, last = (convert(user.get(name), str | None) for name in ("first_name", "last_name"))
    return ContactCard(name=full_name(first, last), user_ids=(str(user_id),))


def _web_app_data(value: Any) -> Content | None:
    answer = convert(value, WebAppData)
    title = clean_text(answer.button_text, MAX_NAME_CHARACTERS)
    return Content(choice=Choice(type="web_app_data", title=title, payload=clean_text(answer.data)))


# Field of the message -> our kind, and how it is read. The order counts: an animation is repeated as `document`, and a
# venue as `location`.
CONTENTS: dict[str, tuple[MessageKind, Read]] = {
    "text": (MessageKind.TEXT, _text),
    "photo": (MessageKind.IMAGE, _photo),
    "voice": (MessageKind.AUDIO, _voice),
    "audio": (MessageKind.AUDIO, _media),
    "video": (MessageKind.VIDEO, _media),
    "animation": (MessageKind.VIDEO, _animation),
    "video_note": (MessageKind.VIDEO, _media),
    "sticker": (MessageKind.STICKER, _sticker),
    "document": (MessageKind.DOCUMENT, _media),
    "contact": (MessageKind.CONTACTS, _contact),
    "venue": (MessageKind.LOCATION, _venue),
    "location": (MessageKind.LOCATION, _location),
    "users_shared": (MessageKind.CONTACTS, _users_shared),
    "web_app_data": (MessageKind.INTERACTIVE, _web_app_data),
}
