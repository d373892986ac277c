"""One posted event of webchat, in the parts that we read. Everything else is ignored, so a new field changes nothing.

All fields are optional here: what must be there is decided by the mapping, which names the reason. A field of another
type than the protocol says makes the event malformed.
Protocol: docs/WEBCHAT.md
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Upload(Struct, gc=False):
    """A file that was uploaded before."""

    id: str | None = None
    url: str | None = None
    mime_type: str | None = None
    name: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    voice: bool | None = None
    duration_seconds: float | None = None


class Place(Struct, gc=False):
    """A place, in decimal degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    name: str | None = None
    address: str | None = None


class Reply(Struct, gc=False):
    """The button or row that was chosen."""

    id: str | None = None
    title: str | None = None
    description: str | None = None


class Form(Struct, gc=False):
    """A filled form; `response_json` is JSON text."""

    name: str | None = None
    response_json: str | None = None


class Page(Struct, gc=False):
    """Where the visitor stood, and how they came there; `utm` is a query string."""

    url: str | None = None
    title: str | None = None
    referrer: str | None = None
    utm: str | None = None


class Event(Struct, gc=False):
    """One event. `client_message_id` is made by who posts and is the same at every repeat."""

    type: str | None = None
    client_message_id: str | None = None
    sent_at: str | None = None
    in_reply_to: str | None = None
    text: str | None = None
    upload: Upload | None = None
    location: Place | None = None
    reply: Reply | None = None
    form: Form | None = None
    page: Page | None = None
    target_message_id: str | None = None
    emoji: str | None = None
    message_id: str | None = None
    up_to_message_id: str | None = None
