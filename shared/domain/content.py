"""What a message says, in one shape for all providers.

Which fields are set follows from the message's kind; `referral`, `product`, `quoted` and `album_id` may stand beside
any kind. Lengths are bounded by the providers' normalisers, so that an event stays below Kafka's 1 MB.
"""

from __future__ import annotations

from shared.domain.enums import MessageKind
from shared.domain.values import value


@value
class Media:
    """An attachment by reference; the bytes stay with the provider until the media service fetches them."""

    provider_media_id: str | None = None
    url: str | None = None
    mime_type: str | None = None
    filename: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None  # as the provider gives it (Meta: base64)
    caption: str | None = None
    voice: bool = False
    animated: bool = False
    raw_part: str | None = None  # the bytes lie in the raw body: JSON Pointer, form field, or MIME part number (`2.1`)
    content_id: str | None = None  # e-mail: what `cid:` in the HTML names, without angle brackets
    inline: bool = False  # e-mail: part of the text's looks, no attachment of its own
    view_once: bool = False
    duration_seconds: float | None = None
    width_pixels: int | None = None
    height_pixels: int | None = None


@value
class Location:
    """A place, in decimal degrees. `live`: it moves, and this is where it was."""

    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None
    url: str | None = None
    live: bool = False


@value
class ContactCard:
    """One shared contact card."""

    name: str | None = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    organization: str | None = None
    user_ids: tuple[str, ...] = ()  # the provider's own ids of the person (WhatsApp's wa_id, Telegram's user id)


@value
class Choice:
    """The peer pressed a button, chose a row of a list, filled a form, answered a call request.

    `type` is one of `button` (a template's quick reply), `button_reply`, `list_reply`, `nfm_reply` (a flow or address
    form), `call_permission_reply` (`id` is `accept` or `reject`), `callback` (Telegram), `poll_vote`, or the provider's
    own word where none of these fits.
    """

    type: str
    id: str | None = None
    title: str | None = None
    description: str | None = None
    payload: str | None = None  # free payload of a template button, or the JSON text of a form


@value
class Reaction:
    """An emoji on a message; `emoji` None means that it was taken away."""

    target_provider_message_id: str
    emoji: str | None = None


@value
class Unsupported:
    """A kind that has no shape here yet: the provider's type and its own explanation, if any."""

    provider_type: str
    code: str | None = None
    detail: str | None = None


@value
class Edit:
    """The message with this id now says what the other fields of the content say; `kind` names its kind.

    Where a provider gives an edit no id of its own, the edit's `provider_message_id` is `<id>:edit:<provider time>`.
    """

    target_provider_message_id: str
    kind: MessageKind


@value
class Revoke:
    """The message with this id was deleted for everybody. Without an id of its own: `<id>:revoke`."""

    target_provider_message_id: str


@value
class OrderLine:
    """One product of an order. `unit_price` is decimal text as the provider gave it."""

    product_id: str
    quantity: int | None = None
    unit_price: str | None = None
    currency: str | None = None  # ISO 4217
    name: str | None = None


@value
class Order:
    """What the peer ordered from a catalogue."""

    catalog_id: str | None = None
    note: str | None = None
    lines: tuple[OrderLine, ...] = ()


@value
class Referral:
    """How the peer came to write: an advertisement, a post, a deep link, a page with our widget."""

    source_type: str | None = None  # ad, post, deep_link, page, or the provider's own word
    source_id: str | None = None
    source_url: str | None = None
    headline: str | None = None
    body: str | None = None
    media_type: str | None = None
    media_url: str | None = None
    thumbnail_url: str | None = None
    click_id: str | None = None  # ctwa_clid and its like
    payload: str | None = None  # the deep link's parameter, utm values as a query string
    greeting: str | None = None  # what the advertisement said for the company before the peer wrote


@value
class Product:
    """The product of a catalogue that the message asks about."""

    catalog_id: str | None = None
    product_id: str | None = None


@value
class Quoted:
    """What the provider repeats of the message that this one answers; its id is `reply_to_provider_message_id`."""

    kind: MessageKind | None = None
    text: str | None = None  # text, caption, or the part of it that was marked
    author: str | None = None  # alias key, e.g. `phone:5511900000001`


@value
class MailAddress:
    """One address of a mail's head: the address in lower case, the name as written."""

    address: str
    name: str | None = None


@value
class Email:
    """What a mail has beside its text. `message_id`, `in_reply_to` and `references` stand without angle brackets."""

    subject: str | None = None
    html_part: str | None = None  # where the HTML lies in the raw body, as `Media.raw_part`
    quoted_text: str | None = None  # what `content.text` left out as a quotation
    message_id: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    to: tuple[MailAddress, ...] = ()
    cc: tuple[MailAddress, ...] = ()
    bcc: tuple[MailAddress, ...] = ()
    reply_to: tuple[MailAddress, ...] = ()
    envelope_recipient: str | None = None  # the address of ours that got it, with its +tag
    auto_submitted: str | None = None  # why it is taken for a machine's: auto-replied, auto-generated, bulk, list, …
    spf: str | None = None  # verdicts of whoever received it for us, in lower case: pass, fail, …
    dkim: str | None = None
    dmarc: str | None = None
    spam: str | None = None
    virus: str | None = None


@value
class Content:
    """What was said. Which fields are set follows from the message's kind."""

    text: str | None = None
    media: Media | None = None
    location: Location | None = None
    contacts: tuple[ContactCard, ...] = ()
    choice: Choice | None = None
    reaction: Reaction | None = None
    unsupported: Unsupported | None = None
    attachments: tuple[Media, ...] = ()  # e-mail: all of them; elsewhere a message has one `media`
    album_id: str | None = None  # messages that were sent as one album share it
    order: Order | None = None
    edit: Edit | None = None
    revoke: Revoke | None = None
    email: Email | None = None
    referral: Referral | None = None
    product: Product | None = None
    quoted: Quoted | None = None
