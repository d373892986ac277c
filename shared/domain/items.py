"""What a provider's `normalise` returns: the single items of one verified body, before any look-up.

Times are milliseconds since the Unix epoch, UTC. `path` is the JSON Pointer (RFC 6901) of the source element in the
verified body, before any filtering; it is stable across releases because claims and replays name items by it.
"""

from __future__ import annotations

from dataclasses import field

from shared.domain.content import (
    Choice,
    ContactCard,
    Content,
    Edit,
    Email,
    Location,
    MailAddress,
    Media,
    Order,
    OrderLine,
    Product,
    Quoted,
    Reaction,
    Referral,
    Revoke,
    Unsupported,
)
from shared.domain.enums import (
    AliasKind,
    ConnectorEventName,
    DeliveryStatus,
    Direction,
    ErrorClass,
    HealthStatus,
    MessageKind,
    WebhookEvent,
)
from shared.domain.values import value

__all__ = [
    "Alias",
    "AnyItem",
    "Choice",
    "ConnectorEventItem",
    "ContactCard",
    "Content",
    "Edit",
    "Email",
    "Item",
    "Location",
    "MailAddress",
    "Media",
    "MessageItem",
    "Order",
    "OrderLine",
    "Peer",
    "PeopleChange",
    "PoisonItem",
    "Product",
    "Quoted",
    "Reaction",
    "ReceiptItem",
    "Referral",
    "Revoke",
    "SendResultItem",
    "Unsupported",
]


@value
class Alias:
    """One external name of a person, scoped to its connector. `value` is normalised (phone: E.164 digits without +)."""

    kind: AliasKind
    value: str

    @property
    def key(self) -> str:
        """`chave_externa` of the contact's row, e.g. `phone:5511987654321`."""
        return self.kind + ":" + self.value  # the kind is a string; to format an enumeration takes three times as long


@value
class Peer:
    """The person at the other end: every alias the payload names (at least one), and the display name if given.

    In a group it is the member who wrote; an echo into a group, and a message of a member whom nobody names, has the alias
    of the group itself. `username` can pass to somebody else, so it is shown and never used to find a person.
    """

    aliases: tuple[Alias, ...]
    name: str | None = None
    username: str | None = None


@value
class Item:
    """What every item has: where it stood, which account it names, which webhook row it falls under, what repeats it."""

    path: str
    evento: WebhookEvent
    account_refs: tuple[str, ...]  # candidates in order, in the form of `Provider.account_refs`
    dedup_key: str  # equal for every repeat of the same item within (connector, account, direction, kind)
    provider_time_ms: int | None = None


@value
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
    frequently_forwarded: bool = False  # by many hands, as the provider marks it; then `forwarded` too
    forwarded_from: str | None = None  # display name of who wrote it first, if the provider tells
    group_name: str | None = None


@value
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
    pricing_model: str | None = None
    pricing_type: str | None = None


@value
class PeopleChange:
    """A person has other aliases now. All of `old` and `new` are the same person; `old` are used no more."""

    old: tuple[Alias, ...]
    new: tuple[Alias, ...]


@value
class ConnectorEventItem(Item):
    """The provider speaks about the account, a template, its limits or a person's aliases: never a message.

    `values` holds short codes under the keys that ConnectorEventName lists. `health` is what the event means for the
    connection: failed, warning, passed (it works again), or None where it means nothing.
    """

    name: ConnectorEventName
    provider_event: str  # the provider's own word, cut to 128 characters
    values: dict[str, str] = field(default_factory=dict)
    health: HealthStatus | None = None
    people: PeopleChange | None = None


@value
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


@value
class PoisonItem(Item):
    """An element that is not what the provider documents. `fragment` is its JSON text; its neighbours go on."""

    reason: str
    fragment: bytes


AnyItem = MessageItem | ReceiptItem | ConnectorEventItem | SendResultItem | PoisonItem
