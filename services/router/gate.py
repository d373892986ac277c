"""Which items of a batch go on now and which wait (design section 6, Held): a fold in order of arrival. Pure.

It stands between the facts and the receipts: a receipt that waits must not be written down yet. Afterwards each candidate that
waits has the ending `held`, each message that goes on has its decision, and the rows to write are in the returned `Gated`.

Three kinds of candidates meet here: items that arrived now; copies, which the relay wrote for a held row (named by
`redelivery_of`); and replays of either after a crash, which find a row at their own position and obey it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.router.facts import Candidate, Facts, Owner, held_position, owns
from services.router.lines import Lines, came_before
from services.router.lookups import known_by_callback, messages_brought_by, target_of
from services.router.remembered import decision_of, outcome_of, restore, stored
from shared.domain.enums import HoldReason, IntakeOutcome, ItemOutcome
from shared.domain.holding import HeldRow, HoldLimits, NewHold, Settlement, Waiting, route_due, target_due
from shared.domain.items import MessageItem
from shared.domain.outcomes import Ending
from shared.domain.routing import INTAKE_FLOW, after_deadline, by_answer, decide_route
from shared.domain.snapshots import AccountSnapshot

HELD = Ending(outcome=ItemOutcome.HELD)
SECOND_COPY = Ending(outcome=ItemOutcome.DUPLICATE, reason="second_copy")
FOREIGN_COPY = Ending(outcome=ItemOutcome.DEAD_LETTERED, reason="claim_lost")
TARGET_UNKNOWN = "target_unknown"
LEAST_INTAKE_MS = 10_000  # for a flow's answer to a message whose own time went by while it queued
LAST_LOOK = "last_look"  # in a row's decision: it is due at the deadline, so its copy is written after it


@dataclass(slots=True)
class Gated:
    """What is to be written: new rows in order of arrival, rows that their copies settled, lines whose head may go on.

    `breaches`: copies whose row waits but whose claim another item holds, which cannot be, unless the provider's name of an
    account went to another account meanwhile. A person must look: each is a dead letter.
    """

    holds: list[NewHold] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    conversations: set[str] = field(default_factory=set)
    targets: set[tuple[str, str]] = field(default_factory=set)
    breaches: list[Candidate] = field(default_factory=list)


def gate(candidates: Sequence[Candidate], facts: Facts, epoch: str, limits: HoldLimits, now_ms: int) -> Gated:
    """Let each candidate pass or wait; candidates stand in order of arrival, their claims are in `facts.owners`."""
    fold = _Fold(facts, epoch, limits, now_ms, Lines(facts.held.values(), candidates, epoch))
    for candidate in candidates:
        fold.take(candidate)
    return fold.gated


class _Fold:
    def __init__(self, facts: Facts, epoch: str, limits: HoldLimits, now_ms: int, lines: Lines) -> None:
        self._facts = facts
        self._epoch = epoch
        self._limits = limits
        self._now_ms = now_ms
        self._lines = lines
        self.gated = Gated()

    def take(self, candidate: Candidate) -> None:
        copy_of = candidate.opened.held_copy_of
        held = self._facts.held
        row = held.get(held_position(self._epoch, candidate)) if held else None
        if row is not None:
            self._obey(candidate, row)
        elif copy_of is None:
            if candidate.ending is None and self._mine(candidate):
                self._consider(candidate, None)
        else:
            self._copy(candidate, held.get(Owner(copy_of.epoch, copy_of.partition, copy_of.offset, copy_of.item)))

    def _obey(self, candidate: Candidate, row: HeldRow) -> None:
        """The batch is tried again: what was decided about this record stands, whatever the configuration says by now."""
        candidate.row = row
        if row.unfinished:
            candidate.ending = HELD
            said = row.decision or {}
            asked = said.get("request")
            if row.reason is HoldReason.INTAKE and asked is not None and self._mine(candidate):
                candidate.asks = decision_of(asked)
                candidate.orphan_reason = said.get("orphan_reason")
            return
        restore(candidate, row.decision or {})

    def _copy(self, candidate: Candidate, row: HeldRow | None) -> None:
        if row is None or not row.unfinished:
            candidate.ending, candidate.unbooked = SECOND_COPY, True
        elif candidate.ending is not None:
            if candidate.ending.outcome is ItemOutcome.DUPLICATE:  # beaten by another copy of this batch
                candidate.ending, candidate.unbooked = SECOND_COPY, True
            else:
                candidate.row = row
                self._finish(candidate, row)
        elif not self._mine(candidate):
            self.gated.breaches.append(candidate)
            candidate.ending, candidate.row = FOREIGN_COPY, row
            self._finish(candidate, row)  # else it would be sent again for ever, and its line stand still
        else:
            candidate.row = row
            self._consider(candidate, row)

    def _consider(self, candidate: Candidate, row: HeldRow | None) -> None:
        waiting = self._wants(candidate, row)
        if waiting is not None:
            self._hold(candidate, row, waiting)
        elif row is not None:
            self._finish(candidate, row)
        if self._lines.wait_for_targets:
            for key, _ in messages_brought_by(candidate):
                line = candidate.opened.connector_id, key
                if self._lines.somebody_waits_for(line):
                    self.gated.targets.add(line)

    def _wants(self, candidate: Candidate, row: HeldRow | None) -> Waiting | None:
        """What it waits for, or None: then its decision, if it needs one, is made."""
        if not isinstance(candidate.item, MessageItem):
            return self._target_wants(candidate, row)
        if candidate.account is None:
            raise TypeError("a claimed item has an account")
        if row is not None and row.reason is HoldReason.INTAKE:
            self._answered(candidate, row, candidate.account)
            return None
        if self._now_ms >= self._expiry(candidate, row):
            held = row.reason if row is not None else HoldReason.QUEUED
            candidate.decision = after_deadline(candidate.account, held, expired=True)
            candidate.orphan_reason = TARGET_UNKNOWN if self._misses_target(candidate) else None
            return None
        if row is not None and not row.blocks:  # its message first: what is about the same one stays in order behind it
            waiting = self._target_wants(candidate, row) or self._turn_wants(candidate, row)
        else:
            waiting = self._turn_wants(candidate, row) or self._target_wants(candidate, row)
        return waiting or self._route_wants(candidate, row, candidate.account)

    def _turn_wants(self, candidate: Candidate, row: HeldRow | None) -> Waiting | None:
        """Waits behind others of its conversation. What let others pass while it waited for a message stands at the back."""
        if not self._lines.conversation_blocked(self._conversation(candidate), candidate, row):
            return None
        return self._queued(candidate, row, at_the_back=row is not None and not row.blocks)

    def _queued(self, candidate: Candidate, row: HeldRow | None, *, at_the_back: bool) -> Waiting:
        return Waiting(
            reason=HoldReason.QUEUED,
            due_ms=self._expiry(candidate, row),
            conversation_id=self._conversation(candidate),
            request_id=self._message_id(candidate),
            target=target_of(candidate) if at_the_back else None,  # so that younger edits of the same message stay behind it
            at_the_back=at_the_back,
        )

    def _target_wants(self, candidate: Candidate, row: HeldRow | None) -> Waiting | None:
        """Waits behind others that are about the same message, or for that message.

        The last look is one from the end of the log: a record that was written before the deadline and is read after it (we were
        away) may have the message right behind it, so its copy looks once more.
        """
        target = target_of(candidate)
        if target is None:
            return None
        line, expiry = (candidate.opened.connector_id, target), self._expiry(candidate, row)
        stood = row is not None and row.blocks and row.target is not None  # once, before all that stand there now
        if self._now_ms < expiry and not stood and self._lines.target_blocked(line, candidate, row):
            return Waiting(reason=HoldReason.BEHIND_TARGET, due_ms=expiry, target=target)
        if not self._misses_target(candidate):
            if stood and self._message_waits(candidate, line):  # it gave its message up; that came later, and is behind it
                candidate.orphan_reason = TARGET_UNKNOWN
            elif row is not None and row.blocks and self._overtakes(candidate, row, line):
                return self._queued(candidate, row, at_the_back=True)
            return None
        deadline = min(candidate.opened.received_at_ms + self._limits.target_ms, expiry)
        last_look = not self._limits.target_ms or (row is not None and LAST_LOOK in (row.decision or {}))
        if self._now_ms >= (deadline if last_look else expiry):
            candidate.orphan_reason = TARGET_UNKNOWN
            return None
        attempt = row.attempt + 1 if row is not None and row.reason is HoldReason.TARGET_UNKNOWN else 1
        due = target_due(attempt, self._now_ms, deadline)
        decision = {LAST_LOOK: True} if due >= deadline else None
        return Waiting(reason=HoldReason.TARGET_UNKNOWN, due_ms=due, target=target, decision=decision)

    def _misses_target(self, candidate: Candidate) -> bool:
        """Whether it is about a message that nobody has told us of before it."""
        target = target_of(candidate)
        if target is None or known_by_callback(candidate, self._facts):
            return False
        return not came_before((candidate.opened.connector_id, target), candidate, self._facts)

    def _message_waits(self, candidate: Candidate, line: tuple[str, str]) -> bool:
        message = self._facts.messages.get(line)
        return message is not None and self._lines.message_waits(self._conversation(candidate), message.message_id)

    def _overtakes(self, candidate: Candidate, row: HeldRow, line: tuple[str, str]) -> bool:
        """Whether, first of its conversation by now, it would come before its own message, or before an older edit of that."""
        if row.target is not None:
            return False
        return self._message_waits(candidate, line) or self._lines.older_waits(self._conversation(candidate), line[1], row)

    def _route_wants(self, candidate: Candidate, row: HeldRow | None, account: AccountSnapshot) -> Waiting | None:
        item = candidate.item
        if not isinstance(item, MessageItem):
            raise TypeError("receipts have no route")
        decided = decide_route(account, item.direction)
        if not isinstance(decided, HoldReason) and (decided.rule != INTAKE_FLOW or decided.reason == "echo"):
            candidate.decision = decided
            return None
        conversation, message_id = self._conversation(candidate), self._message_id(candidate)
        if isinstance(decided, HoldReason):
            deadline = candidate.opened.received_at_ms + self._intake_ms(account)
            if self._now_ms >= deadline:
                candidate.decision = after_deadline(account, decided)
                return None
            due = route_due(self._now_ms, deadline)
            return Waiting(reason=decided, due_ms=due, conversation_id=conversation, request_id=message_id)
        candidate.asks = decided
        return Waiting(
            reason=HoldReason.INTAKE,
            due_ms=min(self._intake_deadline(candidate, account), self._expiry(candidate, row)),
            conversation_id=conversation,
            request_id=message_id,
            decision={"request": stored(decided), "orphan_reason": candidate.orphan_reason},
        )

    def _answered(self, candidate: Candidate, row: HeldRow, account: AccountSnapshot) -> None:
        """The flow has answered, or its time is over."""
        said = row.decision or {}
        answer = said.get("answer")
        candidate.orphan_reason = said.get("orphan_reason")
        if answer is None:
            candidate.decision = after_deadline(account, HoldReason.INTAKE, expired=self._now_ms >= row.expires_ms)
        elif answer["outcome"] == IntakeOutcome.ROUTE:
            version = said.get("request", {}).get("account_snapshot_version", account.version)
            candidate.decision = by_answer(answer["org_unit_id"], answer.get("labels", ()), version)
        else:
            reason = "handled" if answer["outcome"] == IntakeOutcome.HANDLED else "dropped"
            candidate.ending = Ending(outcome=ItemOutcome.SETTLED_BY_FLOW, reason=reason)

    def _hold(self, candidate: Candidate, row: HeldRow | None, waiting: Waiting) -> None:
        candidate.ending = HELD
        opened = candidate.opened
        position = held_position(self._epoch, candidate)
        if row is None:
            if candidate.account is None:
                raise TypeError("a claimed item has an account")
            hold = NewHold(
                position=position,
                connector_id=opened.connector_id,
                account_id=candidate.account.account_id,
                first_arrival_ms=opened.received_at_ms,
                expires_ms=self._limits.expiry(opened.received_at_ms),
                waiting=waiting,
            )
            self.gated.holds.append(hold)
        else:
            self.gated.settlements.append(Settlement(row=row, position=position, waiting=waiting))
            self._left(row, waiting)
        self._lines.join(opened.connector_id, waiting, row)

    def _finish(self, candidate: Candidate, row: HeldRow) -> None:
        position = held_position(self._epoch, candidate)
        self.gated.settlements.append(Settlement(row=row, position=position, waiting=None, decision=outcome_of(candidate)))
        self._left(row, None)

    def _left(self, row: HeldRow, waiting: Waiting | None) -> None:
        """The row is done, or has changed its line or its place: whoever stands behind it may be first now."""
        self._lines.leave(row)
        stays = waiting is not None and not waiting.at_the_back and (waiting.conversation_id is not None) is row.blocks
        if stays:
            return
        if row.blocks and row.conversation_id is not None:
            self.gated.conversations.add(row.conversation_id)
        elif row.target is not None:
            self.gated.targets.add((row.connector_id, row.target))

    def _mine(self, candidate: Candidate) -> bool:
        key = candidate.claim_key
        return key is not None and owns(self._facts.owners[key], self._epoch, candidate)

    def _conversation(self, candidate: Candidate) -> str:
        return self._facts.conversations[candidate.opened.connector_id, candidate.conversation_key or ""]

    def _message_id(self, candidate: Candidate) -> str:
        key, _ = messages_brought_by(candidate)[0]
        return self._facts.messages[candidate.opened.connector_id, key].message_id

    def _expiry(self, candidate: Candidate, row: HeldRow | None) -> int:
        return row.expires_ms if row is not None else self._limits.expiry(candidate.opened.received_at_ms)

    def _intake_deadline(self, candidate: Candidate, account: AccountSnapshot) -> int:
        """From the arrival on; but whoever had to queue gives its flow a moment too: a dead flow must not hold each one anew."""
        intake_ms = self._intake_ms(account)
        return max(candidate.opened.received_at_ms + intake_ms, self._now_ms + min(intake_ms, LEAST_INTAKE_MS))

    def _intake_ms(self, account: AccountSnapshot) -> int:
        seconds = account.intake_deadline_seconds
        return self._limits.intake_ms if seconds is None else seconds * 1000
