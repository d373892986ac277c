"""Sending: what outbound orders, how a provider turns it into calls, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.domain.content import ContactCard, Location, MailAddress
from shared.domain.items import Alias
from shared.providers.calling import CallContext, Fault, ProviderAnswer, ProviderCall


class OutboundKind(StrEnum):
    """What can be ordered. The last five are about an earlier message or the talk, and make no message of their own."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"
    STICKER = "sticker"
    LOCATION = "location"
    CONTACTS = "contacts"
    TEMPLATE = "template"
    BUTTONS = "buttons"
    LIST = "list"
    EMAIL = "email"
    REACTION = "reaction"
    EDIT = "edit"
    REVOKE = "revoke"
    READ = "read"
    TYPING = "typing"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMedia:
    """A file to send: exactly one of an id that the provider gave, a public link, or the bytes."""

    provider_media_id: str | None = None
    link: str | None = None
    data: bytes | None = field(default=None, repr=False)
    mime_type: str | None = None
    filename: str | None = None
    caption: str | None = None
    voice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A button, or a row of a list. `url`: the button opens it instead of answering."""

    id: str
    title: str
    description: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled group of rows of a list."""

    title: str | None
    rows: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOrder:
    """A template of the provider with its parameters; `components` in the provider's own form."""

    name: str
    language: str
    components: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MailOrder:
    """What a mail has beside text and attachments. `message_id` is ours, fixed before the first attempt."""

    subject: str
    message_id: str
    html: str | None = None
    sender_name: str | None = None
    cc: tuple[MailAddress, ...] = ()
    bcc: tuple[MailAddress, ...] = ()
    reply_to: tuple[MailAddress, ...] = ()
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundContent:
    """What to say; which fields are set follows from the kind. `emoji` None takes a reaction away."""

    text: str | None = None
    preview_url: bool = False
    media: OutboundMedia | None = None
    attachments: tuple[OutboundMedia, ...] = ()
    location: Location | None = None
    contacts: tuple[ContactCard, ...] = ()
    template: TemplateOrder | None = None
    header: str | None = None
    footer: str | None = None
    options: tuple[Option, ...] = ()
    list_button: str | None = None
    sections: tuple[Section, ...] = ()
    mail: MailOrder | None = None
    emoji: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOrder:
    """One thing to send. `recipient`: aliases of the person, or the group's, as the router knows them.

    `target_provider_message_id`: the message that is reacted to, edited, revoked, or marked as read. `chat_scope`: the raw
    chat id where the provider needs one.
    """

    message_id: str  # ours; goes along where the provider echoes it in receipts
    kind: OutboundKind
    recipient: tuple[Alias, ...]
    content: OutboundContent
    group_id: str | None = None
    chat_scope: str | None = None
    reply_to_provider_message_id: str | None = None
    target_provider_message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The provider took it. `recipient`: aliases that its answer adds (a number's true spelling)."""

    provider_message_ids: tuple[str, ...] = ()
    chat_scope: str | None = None
    recipient: tuple[Alias, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proceed:
    """This step worked; make the order's next call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """It was surely not sent. Whether and when to try again is in the fault's class."""

    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownOutcome:
    """The request may have left and no answer tells: it must not be repeated blindly."""

    fault: Fault


SendOutcome = Accepted | Proceed | Rejected | UnknownOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """`build` gives the calls of an order, in order; raises InvalidInput (`cannot_send`, JSON pointer into the order).

    `read` makes an outcome of one call's answer. A later call takes what it needs of an earlier answer by `carries`.
    """

    kinds: frozenset[OutboundKind]
    build: Callable[[SendOrder, CallContext], tuple[ProviderCall, ...]]
    read: Callable[[ProviderCall, ProviderAnswer], SendOutcome]
