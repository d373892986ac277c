"""What the router knows of a batch while it works on it. Plain values; no look-ups here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.router.people import News
from shared.domain.enums import DeliveryStatus
from shared.domain.holding import HeldRow, Position
from shared.domain.items import AnyItem
from shared.domain.outcomes import Ending
from shared.domain.records import Decision, RawPosition, WebhookReceived
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot
from shared.domain.values import value


@value
class Opened:
    """One raw record, opened and split. `record` is None when the bytes are no record of ours at all."""

    partition: int
    offset: int
    connector_id: str  # from the record, else from the key
    record: WebhookReceived | None
    connector: ConnectorSnapshot | None
    items: tuple[AnyItem, ...]
    body: bytes
    size_bytes: int
    traceparent: str | None = None

    @property
    def held_copy_of(self) -> RawPosition | None:
        """The held item that this record is the copy of, as the relay writes them; None for anything else."""
        record = self.record
        return None if record is None or record.redrive is not None else record.redelivery_of

    @property
    def received_at_ms(self) -> int:
        """Arrival of the record (0 when it is unreadable)."""
        return self.record.received_at_ms if self.record is not None else 0


@dataclass(slots=True, kw_only=True)
class Candidate:
    """One item on its way: the account it names, its claim key, and its ending once it has one."""

    opened: Opened
    index: int  # place in the record; (offset, index) is the order of arrival within a partition
    item: AnyItem
    account: AccountSnapshot | None = None
    claim_key: bytes | None = None
    ending: Ending | None = None
    message_key: str | None = None  # external key of a message itself; made when it is first asked for
    contact_id: str | None = None  # set once the people of the batch are known
    conversation_key: str | None = None  # external key of its conversation; None for a receipt
    # Set by the gate:
    row: HeldRow | None = None  # the row whose copy (or whose own record, tried again) this is
    decision: Decision | None = None  # where a message goes that goes on
    asks: Decision | None = None  # the flow to be asked about a message that waits
    orphan_reason: str | None = None  # why it goes on although the message that it is about is not known
    unbooked: bool = False  # a copy that changes nothing

    @property
    def order(self) -> tuple[int, int, int]:
        """Order of arrival: partition, offset, place in the record."""
        return self.opened.partition, self.opened.offset, self.index


class Owner(NamedTuple):
    """Who holds a claim or a receipt row: the first position at which the item arrived. One is made per item and look."""

    epoch: str
    partition: int
    offset: int
    item: str


@dataclass(frozen=True, slots=True)
class MessageRow:
    """What `channel_mapping` knows of a message."""

    message_id: str
    conversation_id: str | None


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One row of `delivery_state`."""

    status: DeliveryStatus
    owner: Owner


@dataclass(slots=True, kw_only=True)
class Facts:
    """Everything that the decision needs from the database, fetched (and, for ids, given) before it."""

    owners: Mapping[bytes, Position]  # claim key -> who holds it, as an `Owner` has it
    contacts: dict[tuple[str, str], str]  # (connector, alias key) -> contact id
    conversations: dict[tuple[str, str], str]  # (connector, conversation key) -> id
    messages: dict[tuple[str, str], MessageRow]  # (connector, message key)
    known_message_ids: dict[tuple[str, str], MessageRow]  # (connector, message id), for callback data
    receipts: dict[tuple[str, str], list[ReceiptRow]]  # (message id, participant)
    brought: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)  # new messages: which item made them known
    held: dict[Position, HeldRow] = field(default_factory=dict)
    news: dict[tuple[int, int, int], News] = field(default_factory=dict)  # order of arrival -> what the item tells of a contact


def owner_of(epoch: str, candidate: Candidate) -> Owner:
    """The position in hand as an owner."""
    return Owner(epoch, candidate.opened.partition, candidate.opened.offset, candidate.item.path)


def owns(owner: Position, epoch: str, candidate: Candidate) -> bool:
    """Whether `owner` is the position in hand: as `owner == owner_of(epoch, candidate)`, and nothing is made to be compared."""
    opened = candidate.opened
    return owner[2] == opened.offset and owner[1] == opened.partition and owner[3] == candidate.item.path and owner[0] == epoch


def held_position(epoch: str, candidate: Candidate) -> Owner:
    """Where a held row would name this item: a copy stands for the item that it names, even where that was not found in it."""
    copy_of, opened = candidate.opened.held_copy_of, candidate.opened
    return Owner(epoch, opened.partition, opened.offset, candidate.item.path if copy_of is None else copy_of.item)


def raw_position(epoch: str, candidate: Candidate) -> RawPosition:
    """The same as the events carry it."""
    opened = candidate.opened
    return RawPosition(epoch=epoch, partition=opened.partition, offset=opened.offset, item=candidate.item.path)


def ranges_of(batch: Sequence[Opened]) -> dict[int, tuple[int, int]]:
    """partition -> (first offset, end offset) of a batch."""
    ranges: dict[int, tuple[int, int]] = {}
    for opened in batch:
        first, end = ranges.get(opened.partition, (opened.offset, opened.offset + 1))
        ranges[opened.partition] = (min(first, opened.offset), max(end, opened.offset + 1))
    return ranges


def taken_from(opened: Opened) -> str | None:
    """Owners, in the store's text form and a line each, whose claim this redelivered copy may take over.

    A redriven copy comes after several tries that failed; which of them holds the claim, if any, nobody needs to know.
    """
    record = opened.record
    if record is None or record.redelivery_of is None:
        return None
    at = record.redelivery_of
    offsets = record.redrive.tries if record.redrive is not None else (at.offset,)
    return "\n".join(f"{at.epoch}/{at.partition}/{offset}/{at.item}" for offset in offsets)
