"""The payloads of the topics, field by field as `schemas/avro/*.avsc` declares them (a contract test compares both).

The codec turns these dataclasses into Avro and back. Times are milliseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.enums import (
    ConnectorStatus,
    ConnectorType,
    DeliveryStatus,
    Direction,
    ErrorClass,
    HealthStatus,
    IntakeOutcome,
    ItemOutcome,
    MessageKind,
    RecordSource,
    TokenKind,
)
from shared.domain.items import Alias, Content
from shared.domain.values import value


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyReference:
    """A body above 256 KiB, sealed in the object store. `sha256` is the hex digest of the plain bytes."""

    key: str
    size_bytes: int
    sha256: str


@value
class RawPosition:
    """One item of the raw topic: where the record lies and, if known, the item's path in the verified body."""

    epoch: str  # topic id of the raw topic's incarnation
    partition: int
    offset: int
    item: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """In a copy that `channels dlq redrive` wrote: the dead letter that it answers, as the router booked it."""

    origin: RawPosition  # where the item arrived first, whatever copy failed last
    attempt: int  # which try the copy is: 2 for the first redrive
    tries: tuple[int, ...]  # offsets in the origin's partition of the records that tried it before: their claim may be taken over
    reason: str  # of the dead letter; with account and time the line of the books that the copy takes back
    account_id: str | None
    first_arrival_at_ms: int


@value
class WebhookReceived:
    """`channels.webhook.received`: one verified body, sealed. Exactly one of `sealed_body` and `body_reference` is set.

    A copy names the record (and, with `only_item`, the one item) that it stands for in `redelivery_of`, whose claim it may take
    over; a copy of a whole record names no item there and stands for each of its items.
    """

    record_id: str
    source: RecordSource
    tenant_id: str
    connector_id: str
    url_account_id: str | None  # what the URL said; the payload decides
    received_at_ms: int
    headers: dict[str, str]  # allow-list, lower-case names
    secret_id: str | None  # which receiving secret matched
    body_size_bytes: int
    sealed_body: bytes | None = None
    body_reference: BodyReference | None = None
    redelivery_of: RawPosition | None = None
    only_item: str | None = None
    redrive: Redrive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Why a message went where it went; stays with the message for ever. `labels`: short codes that the flow gave."""

    rule: str  # org_unit | intake_flow | unrouted
    reason: str  # account_default | flow_configured | flow_unusable | …
    org_unit_id: str | None
    intake_flow_id: str | None
    account_snapshot_version: int
    labels: tuple[str, ...] = ()


@value
class Message:
    """One normalised message with its internal ids; the same in `message.received` and in the flow's request."""

    message_id: str
    tenant_id: str
    connector_id: str
    account_id: str
    conversation_id: str
    contact_id: str
    tipo: ConnectorType
    direction: Direction
    kind: MessageKind
    provider_message_id: str
    peer_aliases: tuple[Alias, ...]
    peer_name: str | None
    group_id: str | None
    reply_to_provider_message_id: str | None
    reply_to_message_id: str | None
    forwarded: bool
    provider_time_ms: int | None
    received_at_ms: int
    content: Content
    raw: RawPosition
    peer_username: str | None = None
    frequently_forwarded: bool = False
    forwarded_from: str | None = None
    group_name: str | None = None
    chat_scope: str | None = None  # raw chat id where the provider's message ids are unique per chat only
    orphan_reason: str | None = None  # an edit, revocation or reaction whose message never came: why it comes alone


@value
class MessageReceived:
    """`message.received`, keyed by conversation."""

    message: Message
    decision: Decision


@value
class IntakeRequested:
    """`automation.intake.requested`, keyed by conversation; `request_id` equals the message id."""

    request_id: str
    intake_flow_id: str
    message: Message
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeCompleted:
    """`automation.intake.completed`, keyed by conversation: what a flow says to one request.

    `org_unit_id` with `route`, `extend_seconds` with `extend`; `reason` and `labels`: short codes (a-z, 0-9, `_.-`, at most 64).
    """

    request_id: str
    outcome: IntakeOutcome
    org_unit_id: str | None = None
    reason: str | None = None
    extend_seconds: int | None = None
    labels: tuple[str, ...] = ()
    completed_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactUpdated:
    """`contact.updated`, keyed by contact: a person known before has other aliases now.

    `cause`: alias_added (a message named one more), person_changed (the provider said so), collision (the aliases stand for two
    contacts: `contact_id` is the older one, `other_contact_id` the younger, nothing was merged).
    """

    update_id: str
    tenant_id: str
    connector_id: str
    contact_id: str
    cause: str
    added: tuple[Alias, ...]
    retired: tuple[Alias, ...]
    provider_time_ms: int | None
    received_at_ms: int
    raw: RawPosition
    other_contact_id: str | None = None


@value
class DeliveryUpdated:
    """`delivery.updated`, keyed by conversation. An orphan names a message that we do not know, with the reason."""

    update_id: str
    tenant_id: str
    connector_id: str
    account_id: str
    message_id: str | None
    conversation_id: str | None
    provider_message_id: str | None
    status: DeliveryStatus
    participant: str
    orphan_reason: str | None
    error_class: ErrorClass | None
    error_code: str | None
    error_detail: str | None
    pricing_category: str | None
    billable: bool | None
    provider_time_ms: int | None
    received_at_ms: int
    raw: RawPosition
    pricing_model: str | None = None
    pricing_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCount:
    """How many items of one account and hour of first arrival ended in one way.

    `count` is negative where redriven items leave the dead letters: each comes again on the line of what became of it.
    """

    connector_id: str
    account_id: str | None
    hour_ms: int  # start of the hour of first arrival
    outcome: ItemOutcome
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecorded:
    """`channels.audit`: the outcome of every item in one range [first_offset, end_offset) of one raw partition."""

    epoch: str
    partition: int
    first_offset: int
    end_offset: int
    counts: tuple[AuditCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """`<topic>.dlq`: one item that could not be processed; `sealed_fragment` carries `record_id` as its row id.

    `origin` is where the item arrived first, over all redrives; `tries` are the offsets in its partition of the records that
    tried it, the last one last (empty at the first try: there was only the origin).
    """

    record_id: str
    tenant_id: str | None
    connector_id: str
    account_id: str | None
    origin: RawPosition
    origin_topic: str
    reason: str
    detail: str  # class of our own exception, or what the item broke; never payload
    schema_version: str
    first_arrival_at_ms: int
    dead_lettered_at_ms: int
    sealed_fragment: bytes | None
    attempt: int = 1
    tries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequired:
    """`channel.account.sync_required`, keyed by account, else by connector."""

    tenant_id: str
    connector_id: str
    account_id: str | None
    cause: str
    detail: str
    requested_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorStatusChanged:
    """`channel.connector.status_changed`: exactly one per committed change."""

    change_id: str
    tenant_id: str
    connector_id: str
    old_status: ConnectorStatus | None
    new_status: ConnectorStatus
    cause: str
    actor: str
    changed_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenExpiring:
    """`channel.token.expiring`: a credential ends within `threshold_seconds`; once per threshold until it is renewed.

    `renewal`: planned, failing, stopped (a person must act: `action`), none (it cannot renew itself). No part of its value.
    """

    notice_id: str
    tenant_id: str
    connector_id: str
    token_id: str
    kind: TokenKind
    expires_at_ms: int
    seconds_left: int  # when it was noticed; negative once it has ended
    threshold_seconds: int
    renewal: str
    cause: str | None = None
    action: str | None = None
    noticed_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChecked:
    """`channel.health.checked`, keyed by connector: one check; `check_id` is its row's id.

    `check` is the question that decided, `cause` and `action` short codes; `message` says both to a person. `breaker`: closed,
    open, half_open. `failures`: how many in a row. Without an account the connector as a whole was checked.
    """

    check_id: str
    tenant_id: str
    connector_id: str
    account_id: str | None
    status: HealthStatus
    check: str
    cause: str
    action: str | None
    message: str
    breaker: str
    failures: int
    duration_milliseconds: int
    checked_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStatusChanged:
    """`channel.route.status_changed`, keyed by account: health paused or resumed the route to the account's flow.

    `status`: paused, resumed. `why`: a short code; a resumed route names what it was paused for. `since_ms`: from when on.
    `fallback_id`: the fallback that is in force, None without one.
    """

    change_id: str
    tenant_id: str
    connector_id: str
    account_id: str
    status: str
    why: str
    since_ms: int
    fallback_id: str | None
