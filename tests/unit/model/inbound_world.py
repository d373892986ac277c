"""The world of the inbound model: a raw topic, PostgreSQL, what readers of committed events see, a router, a relay, a flow.

The router's steps are the real pure functions; each of its two commits is a step of its own, so whoever drives the world may
end or freeze it before, between and after them. `Rules` are the parts that the tests break on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.router import gate as gating
from services.router.audit import audit
from services.router.batches import Settling
from services.router.context import Context
from services.router.decide import decide
from services.router.facts import Opened, owner_of, ranges_of
from services.router.sorting import collapse, sort_out
from shared.domain.enums import HeldState, HoldReason, IntakeOutcome, WebhookEvent
from shared.domain.holding import DAY_MS, HoldLimits, Position
from shared.domain.items import AnyItem, PoisonItem
from shared.domain.outcomes import Publish
from shared.domain.records import IntakeCompleted, IntakeRequested, RawPosition
from shared.domain.snapshots import AccountSnapshot
from tests.unit.model.inbound_tables import Tables, bounds_of
from tests.unit.services.router.builders import EPOCH, KnownAccounts, opened

HOUR_MS = 3_600_000
INTAKE_MS = 120_000
TARGET_MS = 600_000
EXPIRY_MS = 6 * HOUR_MS
LIMITS = HoldLimits(intake_ms=INTAKE_MS, target_ms=TARGET_MS, retention_ms=DAY_MS + EXPIRY_MS)
RESEND_MS = 30_000
START_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Rules:
    """Mechanisms outside of the pure functions; False is without."""

    cuts_before_copies: bool = True  # a batch ends before a copy whose original is in it
    position_moves: bool = True  # a row follows its copy
    receipts_after_gate: bool = True
    offsets_with_events: bool = True
    workers_are_fenced: bool = True
    progress_is_asserted: bool = True
    partition_has_holder: bool = True  # who takes over says so in PostgreSQL first
    wakes: bool = True  # whoever leaves a line lets the next one come out
    sweeps: bool = True
    sends_again: bool = True
    answers_only_waiting: bool = True  # a flow's answer counts only while its row waits


@dataclass(frozen=True, slots=True)
class Taken:
    """Records that a router has read, with the snapshots and the committed offset that it knew then."""

    start: int
    records: Sequence[Opened]
    accounts: KnownAccounts
    generation: int


@dataclass(frozen=True, slots=True)
class InHand:
    """A batch whose PostgreSQL half is committed."""

    taken: Taken
    publishes: Sequence[Publish]

    @property
    def end(self) -> int:
        """Offset after the batch."""
        return self.taken.records[-1].offset + 1


@dataclass(frozen=True, slots=True)
class Seen:
    """One event that a reader of committed events sees, and when it came."""

    publish: Publish
    at_ms: int


@dataclass(frozen=True, slots=True)
class Sending:
    """A row that one relay marked sent."""

    row_id: str
    position: Position
    sent_ms: int


@dataclass
class World:
    """Everything there is. Steps return what they leave in somebody's hand."""

    accounts: dict[str, AccountSnapshot]
    rules: Rules = field(default_factory=Rules)
    now_ms: int = START_MS
    log: list[Opened] = field(default_factory=list)
    committed: int = 0
    generation: int = 0
    seen: list[Seen] = field(default_factory=list)
    tables: Tables = field(default_factory=Tables)
    breaches: int = 0
    swept_ms: int = 0

    # --- the router

    def take(self, size: int) -> Taken | None:
        """Read at most `size` records from the committed offset on."""
        records: list[Opened] = []
        settling = Settling()
        for record in self.log[self.committed : self.committed + size]:
            if self.rules.cuts_before_copies and settling.repeats(record):
                break
            records.append(record)
            settling.add(record)
        self.tables.holder = self.generation
        return Taken(self.committed, records, KnownAccounts(*self.accounts.values()), self.generation) if records else None

    def settle(self, taken: Taken, *, crash: bool = False) -> InHand | None:
        """The PostgreSQL half. None: the router is stale, or died before the commit."""
        tables = self.tables.copy()
        ranges = ranges_of(taken.records)
        if self.rules.progress_is_asserted and tables.first > taken.start:
            return None
        if self.rules.partition_has_holder and tables.holder != taken.generation:
            return None
        tables.first, tables.end = taken.start, max(tables.end, bounds_of(ranges)[1])
        candidates = sort_out(taken.records, taken.accounts)
        winners = collapse(candidates)
        owners = tables.claim(winners)
        mine = [one for one in winners if one.claim_key and owners[one.claim_key] == owner_of(EPOCH, one)]
        facts = tables.gather(mine, owners)
        tables.read_held(candidates, mine, facts, bounds_of(ranges))
        if not self.rules.receipts_after_gate:
            tables.record_receipts(mine, facts)
        gated = gating.gate(candidates, facts, EPOCH, LIMITS, self.now_ms)
        if self.rules.receipts_after_gate:
            tables.record_receipts(mine, facts)
        tables.insert_holds(gated.holds)
        tables.settle(gated.settlements, position_moves=self.rules.position_moves)
        if self.rules.wakes:
            tables.wake(gated.conversations, gated.targets, self.now_ms)
        if crash:
            return None
        self.tables = tables
        self.breaches += len(gated.breaches)
        publishes = list(decide(candidates, facts, self._context()))
        return InHand(taken, publishes + audit(candidates, ranges, EPOCH, self.now_ms))

    def finish(self, batch: InHand) -> bool:
        """The Kafka half: events and offset in one transaction, refused for a router whose partition went elsewhere."""
        if self.rules.workers_are_fenced and batch.taken.generation != self.generation:
            return False
        self.seen += [Seen(publish, self.now_ms) for publish in batch.publishes]
        self.committed = max(self.committed, batch.end)
        return True

    def _context(self) -> Context:
        return Context(
            epoch=EPOCH,
            raw_topic="raw",
            now_ms=self.now_ms,
            schema_version="1",
            seal=lambda one: None,
            sync_due=lambda connector, refs: False,
        )

    # --- the raw topic

    def post(self, *items: AnyItem) -> int:
        """One verified body arrives; its offset."""
        self.log.append(_arrived(opened(len(self.log), *items), self.now_ms))
        return len(self.log) - 1

    # --- the relay

    def mark(self, most: int) -> list[Sending]:
        """Rows that are due and head of their line, and those whose copy got lost: marked sent."""
        sendings: list[Sending] = []
        due = sorted((one for one in self.tables.heads() if one.due_ms <= self.now_ms), key=lambda one: one.due_ms)
        for stored in due[:most]:
            moved = stored.moved(HeldState.SENT)
            self.tables.held[stored.row.id] = replace(moved, sent_ms=self.now_ms, copy_offset=None)
            sendings.append(Sending(stored.row.id, stored.row.position, self.now_ms))
        if self.rules.sends_again:
            for stored in self.tables.unfinished():
                sent = stored.row.state is HeldState.SENT and self.now_ms - stored.sent_ms >= RESEND_MS
                if sent and (stored.copy_offset is None or stored.copy_offset < self.committed):
                    self.tables.held[stored.row.id] = replace(stored, sent_ms=self.now_ms)
                    sendings.append(Sending(stored.row.id, stored.row.position, self.now_ms))
        return sendings

    def write(self, sendings: Sequence[Sending], *, readable: bool = True) -> dict[Sending, int]:
        """The copies, in order of place. Not `readable`: the raw records are gone."""
        return {one: self._copy(one.position, readable) for one in sorted(sendings, key=lambda one: one.position[2:])}

    def note(self, copies: dict[Sending, int]) -> None:
        """Where the copies lie, unless their row was settled or sent anew meanwhile."""
        for sending, offset in copies.items():
            stored = self.tables.held[sending.row_id]
            same = (stored.row.position, stored.sent_ms) == (sending.position, sending.sent_ms)
            if stored.row.state is HeldState.SENT and same:
                self.tables.held[sending.row_id] = replace(stored, copy_offset=offset)

    def sweep(self) -> None:
        """The safety net: heads that only wait for their turn come out although nobody woke them."""
        if not self.rules.sweeps or self.now_ms - self.swept_ms < RESEND_MS:
            return
        self.swept_ms = self.now_ms
        for stored in self.tables.heads():
            if stored.row.reason in (HoldReason.QUEUED, HoldReason.BEHIND_TARGET) and stored.due_ms > self.now_ms:
                self.tables.held[stored.row.id] = replace(stored, due_ms=self.now_ms)

    def account_published(self, account_id: str) -> None:
        """A new snapshot of an account: what waited for its route is looked at again."""
        for stored in self.tables.unfinished():
            waits = stored.row.state is HeldState.WAITING and stored.row.reason in (HoldReason.PAUSED, HoldReason.FLOW_UNUSABLE)
            if waits and stored.row.account_id == account_id:
                self.tables.held[stored.row.id] = replace(stored, due_ms=min(stored.due_ms, self.now_ms + 500))

    def _copy(self, position: Position, readable: bool) -> int:
        epoch, partition, offset, path = position
        original = self.log[offset]
        record = original.record
        assert record is not None
        of = RawPosition(epoch=epoch, partition=partition, offset=offset, item=path)
        items = tuple(item for item in original.items if item.path == path) if readable else ()
        copied = replace(record, redelivery_of=of, only_item=path, redrive=None)
        self.log.append(replace(original, offset=len(self.log), record=copied, items=items or (_GONE,)))
        return len(self.log) - 1

    # --- the flow

    def answer(self, said: IntakeCompleted) -> bool:
        """`automation.intake.completed` arrives; whether it counted."""
        for stored in self.tables.unfinished():
            row = stored.row
            if row.request_id != said.request_id or row.reason is not HoldReason.INTAKE:
                continue
            if row.state is not HeldState.WAITING and self.rules.answers_only_waiting:
                return False
            if said.outcome is IntakeOutcome.EXTEND:
                due = min(self.now_ms + (said.extend_seconds or 0) * 1000, row.expires_ms)
                self.tables.held[row.id] = replace(stored, due_ms=due)
                return True
            if "answer" in (row.decision or {}):
                return False
            answer = {"outcome": said.outcome.value, "org_unit_id": said.org_unit_id, "labels": list(said.labels)}
            decision = dict(row.decision or {}) | {"answer": answer}
            self.tables.held[row.id] = replace(stored, due_ms=self.now_ms, row=replace(row, decision=decision))
            return True
        return False


def requests(seen: Sequence[Seen]) -> list[IntakeRequested]:
    """What the flow was asked."""
    return [one.publish.event for one in seen if isinstance(one.publish.event, IntakeRequested)]


_GONE = PoisonItem(
    path="",
    evento=WebhookEvent.MESSAGE_IN,
    account_refs=(),
    dedup_key="",
    reason="redelivery_item_missing",
    fragment=b"",
)


def _arrived(record: Opened, at_ms: int) -> Opened:
    assert record.record is not None
    return replace(record, record=replace(record.record, received_at_ms=at_ms))
