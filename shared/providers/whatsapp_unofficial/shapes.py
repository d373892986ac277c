"""The parts of a message that all dialects make in the same way, cleaned and bounded."""

from __future__ import annotations

from msgspec import Struct

from shared.domain.content import Choice, Content, Location, Product, Reaction, Referral, Unsupported
from shared.domain.enums import MessageKind
from shared.providers.cleaning import (
    MAX_CODE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MAX_URL_CHARACTERS,
    clean_text,
    exact_text,
)
from shared.providers.documents import Unmappable
from shared.providers.whatsapp_unofficial.fields import JsonObject, text


class Said(Struct, frozen=True, kw_only=True, gc=False):
    """What a message says; `protocol` is the type of a note between devices that says nothing by itself."""

    kind: MessageKind
    content: Content
    reply_to: str | None = None
    forwarded: bool = False
    frequently_forwarded: bool = False
    protocol: str | None = None


def content_kind(kind: MessageKind, content: Content) -> Said:
    """Content that stands alone."""
    return Said(kind=kind, content=content)


def unsupported(name: str | None, detail: str | None = None, product: Product | None = None) -> Content:
    """Content of a kind that has no shape here, under the provider's own word for it."""
    word = clean_text(name, MAX_CODE_CHARACTERS) or "missing"
    detail = clean_text(detail, MAX_NAME_CHARACTERS) or None
    return Content(unsupported=Unsupported(provider_type=word, detail=detail), product=product)


def place(
    latitude: float | None, longitude: float | None, name: str | None, address: str | None, url: str | None
) -> Content | None:
    """A location; None without coordinates. Raises Unmappable (`place_impossible`) for those that are not on Earth."""
    if latitude is None or longitude is None:
        return None
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise Unmappable("place_impossible")
    return Content(
        location=Location(
            latitude=latitude,
            longitude=longitude,
            name=clean_text(name, MAX_NAME_CHARACTERS) or None,
            address=clean_text(address, MAX_NAME_CHARACTERS) or None,
            url=exact_text(url, MAX_URL_CHARACTERS),
        )
    )


def reaction(target: str | None, emoji: str | None) -> Content | None:
    """A reaction; an empty emoji takes it away. None without a target."""
    exact = exact_text(target)
    return (
        None
        if exact is None
        else Content(reaction=Reaction(target_provider_message_id=exact, emoji=clean_text(emoji, 64) or None))
    )


def choice(type_: str, id_: str | None, title: str | None, description: str | None = None, payload: str | None = None) -> Content:
    """The peer chose something; raises Unmappable (`form_too_large`) for a payload that would have to be cut."""
    if payload is not None and len(payload) > MAX_TEXT_CHARACTERS:
        raise Unmappable("form_too_large")  # JSON that was cut is no JSON
    return Content(
        choice=Choice(
            type=type_,
            id=exact_text(id_),
            title=clean_text(title, MAX_NAME_CHARACTERS) or None,
            description=clean_text(description, MAX_NAME_CHARACTERS) or None,
            payload=clean_text(payload),
        )
    )


def referral_of(ad: JsonObject) -> Referral:
    """The advertisement from which the person came (`externalAdReply`, in the same words at Evolution and Z-API)."""
    media_type = ad.get("mediaType")
    return Referral(
        source_type=clean_text(text(ad, "sourceType"), MAX_CODE_CHARACTERS),
        source_id=exact_text(text(ad, "sourceId")),
        source_url=exact_text(text(ad, "sourceUrl"), MAX_URL_CHARACTERS),
        headline=clean_text(text(ad, "title"), MAX_NAME_CHARACTERS),
        body=clean_text(text(ad, "body"), MAX_NAME_CHARACTERS),
        media_type=clean_text(str(media_type), MAX_CODE_CHARACTERS) if isinstance(media_type, str | int) else None,
        media_url=exact_text(text(ad, "mediaUrl"), MAX_URL_CHARACTERS),
        thumbnail_url=exact_text(text(ad, "thumbnailUrl"), MAX_URL_CHARACTERS),
        click_id=exact_text(text(ad, "ctwaClid")),
    )
