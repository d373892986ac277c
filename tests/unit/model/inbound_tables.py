"""PostgreSQL as far as the model of the inbound path needs it: dictionaries that are copied when a transaction begins.

Each method does what one statement of `router_store`, `mapping_rows` or `held_rows` does; the integration tests hold those true.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from services.router.facts import Candidate, Facts, MessageRow, Owner, ReceiptRow, taken_from
from services.router.lookups import (
    callback_id,
    contact_of,
    conversation_of,
    message_of_receipt,
    messages_brought_by,
    participant_of,
    people_of,
    targets_of,
)
from services.router.wanted_rows import wanted_rows
from shared.domain.enums import DeliveryStatus, HeldState, HoldReason
from shared.domain.holding import HeldRow, NewHold, Position, Settlement
from shared.domain.items import ReceiptItem, SendResultItem
from tests.unit.services.router.builders import EPOCH

_MOVES = {(HeldState.WAITING, HeldState.SENT), (HeldState.SENT, HeldState.WAITING), (HeldState.SENT, HeldState.DONE)}


@dataclass(frozen=True, slots=True)
class Stored:
    """One row of `held_record` with what the router does not read."""

    row: HeldRow
    due_ms: int
    sent_ms: int = 0
    copy_offset: int | None = None

    def moved(self, state: HeldState, **changes: object) -> Stored:
        """The row in another state, as the trigger allows it."""
        if (self.row.state, state) not in _MOVES:
            raise AssertionError(f"a held record does not go from {self.row.state} to {state}")
        return replace(self, row=replace(self.row, state=state, **changes))  # type: ignore[arg-type]


@dataclass(slots=True)
class Tables:
    """One state of the database. `first`, `end`, `holder`: the row of `router_progress`."""

    first: int = 0
    end: int = 0
    holder: int = 0
    given: int = 0  # ids and sequence numbers given so far
    claims: dict[bytes, Owner] = field(default_factory=dict)
    entities: dict[tuple[str, str], str] = field(default_factory=dict)  # contacts and conversations
    messages: dict[tuple[str, str], MessageRow] = field(default_factory=dict)
    receipts: dict[tuple[str, str, DeliveryStatus], Owner] = field(default_factory=dict)
    held: dict[str, Stored] = field(default_factory=dict)

    def copy(self) -> Tables:
        """What a transaction works on; put in the place of the original at its commit."""
        return Tables(
            self.first,
            self.end,
            self.holder,
            self.given,
            dict(self.claims),
            dict(self.entities),
            dict(self.messages),
            dict(self.receipts),
            dict(self.held),
        )

    def give(self) -> int:
        """A number never given before."""
        self.given += 1
        return self.given

    def claim(self, winners: Iterable[Candidate]) -> dict[bytes, Owner]:
        """`router_store.claim`: a stored owner stays unless the copy names it."""
        owners = {}
        for one in winners:
            if one.claim_key is None:
                continue
            mine = Owner(EPOCH, one.opened.partition, one.opened.offset, one.item.path)
            stands = self.claims.get(one.claim_key)
            if stands is None or _text(stands) in (taken_from(one.opened) or "").split("\n"):
                self.claims[one.claim_key] = mine
            owners[one.claim_key] = self.claims[one.claim_key]
        return owners

    def gather(self, mine: Iterable[Candidate], owners: dict[bytes, Owner]) -> Facts:
        """`Gathering.gather`: finds ids, and gives them where there are none."""
        facts = Facts(owners=owners, contacts={}, conversations={}, messages={}, known_message_ids={}, receipts={})
        by_id = {(key[0], row.message_id): row for key, row in self.messages.items()}
        wanted: set[tuple[str, str]] = set()
        for one in mine:
            connector = one.opened.connector_id
            for alias in people_of(one):
                facts.contacts[connector, alias.key] = self._entity(connector, alias.key)
            one.contact_id = contact_of(one, [alias.key for alias in people_of(one)], facts)
            one.conversation_key = conversation_of(one)
            conversation = None
            if one.conversation_key is not None:
                conversation = facts.conversations[connector, one.conversation_key] = self._entity(
                    connector, one.conversation_key
                )
            for key, message_id in messages_brought_by(one):
                if (connector, key) not in self.messages:
                    self.messages[connector, key] = MessageRow(message_id or f"message-{self.give()}", conversation)
                    facts.brought[connector, key] = one.order
                wanted.add((connector, key))
            wanted.update((connector, key) for key in targets_of(one))
            callback = callback_id(one)
            if callback is not None and (connector, callback) in by_id:
                facts.known_message_ids[connector, callback] = by_id[connector, callback]
        facts.messages = {key: self.messages[key] for key in wanted if key in self.messages}
        return facts

    def read_held(
        self, candidates: Iterable[Candidate], mine: Iterable[Candidate], facts: Facts, bounds: tuple[int, int]
    ) -> None:
        """`Gathering.held`: the rows that the gate may see, and no others."""
        wanted = wanted_rows(list(candidates), mine, facts)
        rows = [stored.row for stored in self.held.values()]
        found = [row for row in rows if _in_range(row.position, bounds) or row.position in wanted.copies_of]
        for conversation, most in wanted.conversations.items():
            found += _first(self._line("conversation", conversation), most)
        for target, most in wanted.targets.items():
            found += _first(self._line("target", target), most)
        blocking = [row for row in rows if row.unfinished and row.blocks]
        found += [row for row in blocking if row.request_id in wanted.messages]
        found += [row for row in blocking if (row.conversation_id, row.target) in wanted.edits]
        facts.held = {row.position: row for row in found}

    def record_receipts(self, mine: Iterable[Candidate], facts: Facts) -> None:
        """`Gathering.receipts`: those that the gate let pass; a row that stands keeps its owner."""
        for one in mine:
            row = message_of_receipt(one, facts)
            if row is None or one.ending is not None or not isinstance(one.item, ReceiptItem | SendResultItem):
                continue
            owner = Owner(EPOCH, one.opened.partition, one.opened.offset, one.item.path)
            self.receipts.setdefault((row.message_id, participant_of(one.item), one.item.status), owner)
        for (message_id, participant, status), owner in self.receipts.items():
            facts.receipts.setdefault((message_id, participant), []).append(ReceiptRow(status, owner))

    def insert_holds(self, holds: Iterable[NewHold]) -> None:
        """New rows, in order of arrival."""
        for hold in holds:
            if any(stored.row.position == hold.position for stored in self.held.values()):
                raise AssertionError(f"two rows at {hold.position}")
            seq, wait = self.give(), hold.waiting
            row = HeldRow(
                id=f"row-{seq}",
                seq=seq,
                connector_id=hold.connector_id,
                account_id=hold.account_id,
                conversation_id=wait.conversation_id,
                target=wait.target,
                request_id=wait.request_id,
                position=hold.position,
                reason=wait.reason,
                attempt=1,
                decision=wait.decision,
                state=HeldState.WAITING,
                first_arrival_ms=hold.first_arrival_ms,
                expires_ms=hold.expires_ms,
            )
            self.held[row.id] = Stored(row, wait.due_ms)

    def settle(self, settlements: Iterable[Settlement], *, position_moves: bool = True) -> None:
        """`held_rows.settle_held`: rows are done or wait again, at the copy's position."""
        for one in settlements:
            stored = self.held[one.row.id]
            position = one.position if position_moves else stored.row.position
            said = dict(stored.row.decision or {})
            if one.waiting is None:
                decision = said | dict(one.decision or {})
                self.held[one.row.id] = stored.moved(HeldState.DONE, position=position, decision=decision)
                continue
            wait = one.waiting
            back = {"seq": self.give()} if wait.at_the_back else {}
            moved = stored.moved(
                HeldState.WAITING,
                position=position,
                attempt=stored.row.attempt + 1,
                reason=wait.reason,
                conversation_id=wait.conversation_id or stored.row.conversation_id,
                target=wait.target or stored.row.target,
                request_id=wait.request_id or stored.row.request_id,
                decision=said | dict(wait.decision or {}),
                **back,
            )
            self.held[one.row.id] = replace(moved, due_ms=wait.due_ms, copy_offset=None)

    def wake(self, conversations: Collection[str], targets: Collection[tuple[str, str]], now_ms: int) -> None:
        """`held_rows.wake_heads`."""
        for line, wanted in (("conversation", conversations), ("target", targets)):
            for key in wanted:
                head = min(self._line(line, key), key=lambda stored: stored.row.seq, default=None)
                turn = head is not None and (line == "target" or head.row.reason is HoldReason.QUEUED)
                if head is not None and turn and head.row.state is HeldState.WAITING:
                    self.held[head.row.id] = replace(head, due_ms=min(head.due_ms, now_ms))

    def heads(self) -> list[Stored]:
        """Waiting rows that nobody stands before."""
        return [
            stored
            for stored in self.held.values()
            if stored.row.state is HeldState.WAITING
            and not any(
                other.row.unfinished and other.row.seq < stored.row.seq and _same_line(other.row, stored.row)
                for other in self.held.values()
            )
        ]

    def unfinished(self) -> list[Stored]:
        """Rows that wait or are on their way."""
        return [stored for stored in self.held.values() if stored.row.unfinished]

    def _line(self, line: str, key: object) -> list[Stored]:
        if line == "conversation":
            return [one for one in self.unfinished() if one.row.blocks and one.row.conversation_id == key]
        return [one for one in self.unfinished() if not one.row.blocks and (one.row.connector_id, one.row.target) == key]

    def _entity(self, connector: str, key: str) -> str:
        if (connector, key) not in self.entities:
            self.entities[connector, key] = f"entity-{self.give()}"
        return self.entities[connector, key]


def _first(line: list[Stored], most: int) -> list[HeldRow]:
    return sorted((stored.row for stored in line), key=lambda row: row.seq)[:most]


def bounds_of(ranges: Mapping[int, tuple[int, int]]) -> tuple[int, int]:
    """First and end offset of the model's only partition."""
    return ranges[0]


def _same_line(other: HeldRow, row: HeldRow) -> bool:
    if other.blocks is not row.blocks:  # a row stands in one line at a time
        return False
    if row.blocks:
        return other.conversation_id == row.conversation_id
    return (other.connector_id, other.target) == (row.connector_id, row.target)


def _in_range(position: Position, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= position[2] < bounds[1]


def _text(owner: Owner) -> str:
    return "/".join(map(str, owner))
