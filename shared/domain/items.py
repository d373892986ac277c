"""What a provider's `normalise` returns: the single items of one verified body, before any look-up.

Times are milliseconds since the Unix epoch, UTC. `path` is the JSON Pointer (RFC 6901) of the source element in the
verified body, before any filtering; it is stable across releases because claims and replays name items by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.domain.enums import AliasKind, DeliveryStatus, Direction, ErrorClass, MessageKind, WebhookEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """One external name of a person, scoped to its connector. `value` is normalised (phone: E.164 digits without +)."""

    kind: AliasKind
    value: str

    @property
    def key(self) -> str:
        """`chave_externa` of the contact's row, e.g. `phone:5511987654321`."""
        return f"{self.kind.value}:{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The person at the other end: every alias the payload names (at least one), and the display name if given."""

    aliases: tuple[Alias, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place, in decimal degrees."""

    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactCard:
    """One shared contact card."""

    name: str | None = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    organization: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The peer pressed a button, chose a row of a list, or filled a form. `type` is the provider's own word."""

    type: str
    id: str | None = None
    title: str | None = None
    description: str | None = None
    payload: str | None = None  # free payload of a template button, or the JSON text of a form


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """An emoji on a message; `emoji` None means that it was taken away."""

    target_provider_message_id: str
    emoji: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """A kind that has no shape here yet: the provider's type and its own explanation, if any."""

    provider_type: str
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What was said: exactly the fields of the message's kind are set."""

    text: str | None = None
    media: Media | None = None
    location: Location | None = None
    contacts: tuple[ContactCard, ...] = ()
    choice: Choice | None = None
    reaction: Reaction | None = None
    unsupported: Unsupported | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What every item has: where it stood, which account it names, which webhook row it falls under, what repeats it."""

    path: str
    evento: WebhookEvent
    account_refs: tuple[str, ...]  # candidates in order, in the form of `Provider.account_refs`
    dedup_key: str  # equal for every repeat of the same item within (connector, account, direction, kind)
    provider_time_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageItem(Item):
    """One message, written by the peer (`inbound`) or by the company outside of this system (`echo`)."""

    direction: Direction
    kind: MessageKind
    provider_message_id: str
    peer: Peer
    content: Content
    group_id: str | None = None
    chat_scope: str | None = None  # raw chat id where the provider's message ids are unique per chat only
    reply_to_provider_message_id: str | None = None
    forwarded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptItem(Item):
    """What the provider says about a message that we sent."""

    provider_message_id: str
    status: DeliveryStatus
    recipient: tuple[Alias, ...] = ()
    participant: str = ""  # alias key of the group member; empty outside of groups
    chat_scope: str | None = None
    callback_data: str | None = None
    error_class: ErrorClass | None = None
    error_code: str | None = None
    error_detail: str | None = None
    pricing_category: str | None = None
    billable: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorEventItem(Item):
    """The provider speaks about the account, a template or its limits: never a message. `values` holds short codes."""

    name: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResultItem(Item):
    """Outbound's own report of one provider call (a raw record of source `result`), claimed by message id and attempt."""

    message_id: str
    attempt: int
    status: DeliveryStatus
    recipient: tuple[Alias, ...]
    provider_message_ids: tuple[str, ...] = ()
    chat_scope: str | None = None
    error_class: ErrorClass | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoisonItem(Item):
    """An element that is not what the provider documents. `fragment` is its JSON text; its neighbours go on."""

    reason: str
    fragment: bytes


AnyItem = MessageItem | ReceiptItem | ConnectorEventItem | SendResultItem | PoisonItem
