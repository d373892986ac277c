"""What an event of webchat says: one small function per type of message; the table at the end names them all."""

from __future__ import annotations

from collections.abc import Callable

from shared.domain.enums import MessageKind
from shared.domain.items import Choice, Content, Edit, Location, Media, Reaction, Referral, Revoke
from shared.providers.cleaning import (
    MAX_CODE_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MAX_URL_CHARACTERS,
    clean_text,
    exact_text,
    plausible,
)
from shared.providers.documents import Malformed
from shared.providers.webchat.payloads import Event, Page

Read = Callable[[Event], Content | None]


def _text(event: Event) -> Content | None:
    return None if event.text is None else Content(text=clean_text(event.text))


def _media(event: Event) -> Content | None:
    file = event.upload
    if file is None:
        return None
    upload_id, url = exact_text(file.id), exact_text(file.url, MAX_URL_CHARACTERS)
    if upload_id is None and url is None:
        return None
    return Content(
        media=Media(
            provider_media_id=upload_id,
            url=url,
            mime_type=clean_text(file.mime_type, MAX_CODE_CHARACTERS),
            filename=clean_text(file.name, MAX_NAME_CHARACTERS),
            size_bytes=plausible(file.size_bytes),
            sha256=exact_text(file.sha256, MAX_CODE_CHARACTERS),
            caption=clean_text(event.text) or None,
            voice=bool(file.voice),
            duration_seconds=plausible(file.duration_seconds),
        )
    )


def _location(event: Event) -> Content | None:
    place = event.location
    if place is None or place.latitude is None or place.longitude is None:
        return None
    return Content(
        location=Location(
            latitude=place.latitude,
            longitude=place.longitude,
            name=clean_text(place.name, MAX_NAME_CHARACTERS),
            address=clean_text(place.address, MAX_NAME_CHARACTERS),
        )
    )


def _choice(event: Event) -> Content | None:
    reply = event.reply
    if reply is None or event.type is None or (reply.id is None and reply.title is None):
        return None
    return Content(
        choice=Choice(
            type=event.type,
            id=exact_text(reply.id),
            title=clean_text(reply.title, MAX_NAME_CHARACTERS),
            description=clean_text(reply.description, MAX_NAME_CHARACTERS),
        )
    )


def _form(event: Event) -> Content | None:
    if event.form is None or event.form.response_json is None:
        return None
    if len(event.form.response_json) > MAX_TEXT_CHARACTERS:
        raise Malformed("form_too_large")  # JSON that was cut is no JSON
    title = clean_text(event.form.name, MAX_NAME_CHARACTERS)
    return Content(choice=Choice(type="nfm_reply", title=title, payload=clean_text(event.form.response_json)))


def _reaction(event: Event) -> Content | None:
    target = exact_text(event.target_message_id)
    if target is None:
        return None
    return Content(reaction=Reaction(target_provider_message_id=target, emoji=clean_text(event.emoji, 64) or None))


def _edit(event: Event) -> Content | None:
    target = exact_text(event.target_message_id)
    if target is None or event.text is None:
        return None
    return Content(text=clean_text(event.text), edit=Edit(target_provider_message_id=target, kind=MessageKind.TEXT))


def _delete(event: Event) -> Content | None:
    target = exact_text(event.target_message_id)
    return None if target is None else Content(revoke=Revoke(target_provider_message_id=target))


def referral_of(page: Page | None) -> Referral | None:
    """The page on which the visitor wrote, for the first message of a session."""
    if page is None:
        return None
    return Referral(
        source_type="page",
        source_id=clean_text(page.referrer, MAX_NAME_CHARACTERS),
        source_url=exact_text(page.url, MAX_URL_CHARACTERS),
        headline=clean_text(page.title, MAX_NAME_CHARACTERS),
        payload=clean_text(page.utm, MAX_NAME_CHARACTERS),
    )


# type -> our kind, and how its content is read
CONTENTS: dict[str, tuple[MessageKind, Read]] = {
    "text": (MessageKind.TEXT, _text),
    "image": (MessageKind.IMAGE, _media),
    "audio": (MessageKind.AUDIO, _media),
    "video": (MessageKind.VIDEO, _media),
    "document": (MessageKind.DOCUMENT, _media),
    "location": (MessageKind.LOCATION, _location),
    "button_reply": (MessageKind.INTERACTIVE, _choice),
    "list_reply": (MessageKind.INTERACTIVE, _choice),
    "form_reply": (MessageKind.INTERACTIVE, _form),
    "reaction": (MessageKind.REACTION, _reaction),
    "edit": (MessageKind.EDIT, _edit),
    "delete": (MessageKind.REVOKE, _delete),
}
