"""Who stands before whom: the unfinished held rows of conversations and of messages, as a batch is folded over them. Pure.

Rows of the database are ordered by `seq`; what the batch itself holds stands behind all of them, in order of arrival. So does a
row that goes from the line of a message to that of its conversation: its turn there counts from now on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.router.facts import Candidate, Facts
from shared.domain.holding import BLOCKING, HeldRow, TargetLine, Waiting


class Lines:
    """Built from the rows that were read; `join` and `leave` follow what the fold decides."""

    def __init__(self, rows: Iterable[HeldRow], candidates: Sequence[Candidate], epoch: str) -> None:
        self._epoch = epoch
        self._conversations: dict[str, dict[str, HeldRow]] = {}
        self._targets: dict[TargetLine, dict[str, HeldRow]] = {}
        self._new_in_conversation: set[str] = set()
        self._new_messages: set[str] = set()
        self._new_for_target: set[TargetLine] = set()
        self._places: dict[tuple[int, int, str], int] | None = None
        self._candidates = candidates
        for row in rows:
            if row.unfinished:
                self._stand(row, row.conversation_id if row.blocks else None, row.target)

    def conversation_blocked(self, conversation: str, candidate: Candidate, row: HeldRow | None) -> bool:
        """Whether something of this conversation that came before still waits. `row`: the candidate's own, if it is a copy."""
        standing = self._conversations.get(conversation)
        if row is not None and row.blocks:
            return standing is not None and self._behind(standing.values(), candidate, row)
        if conversation in self._new_in_conversation:
            return True
        if not standing:
            return False
        return row is not None or self._behind(standing.values(), candidate, None)

    def message_waits(self, conversation: str, message_id: str) -> bool:
        """Whether this message itself still waits in the line of its conversation, wherever it stands."""
        standing = self._conversations.get(conversation, {}).values()
        return message_id in self._new_messages or any(row.request_id == message_id for row in standing)

    def target_blocked(self, line: TargetLine, candidate: Candidate, row: HeldRow | None) -> bool:
        """Whether something that came before and is about the same message still waits."""
        if row is None and line in self._new_for_target:
            return True
        standing = self._targets.get(line)
        return standing is not None and self._behind(standing.values(), candidate, row)

    @property
    def wait_for_targets(self) -> bool:
        """Whether anything waits for any message."""
        return bool(self._new_for_target or self._targets)

    def older_waits(self, conversation: str, target: str, row: HeldRow) -> bool:
        """Whether one stands behind this row that is about the same message, and older: it has waited for that message."""
        standing = self._conversations.get(conversation, {}).values()
        return any(other.target == target and other.seq > row.seq for other in standing)

    def somebody_waits_for(self, line: TargetLine) -> bool:
        """Whether the coming of this message is news to anybody."""
        return line in self._new_for_target or bool(self._targets.get(line))

    def join(self, connector_id: str, waiting: Waiting, row: HeldRow | None) -> None:
        """A row stands in its line now: a new one, or one that a copy has held again."""
        conversation = waiting.conversation_id if waiting.reason in BLOCKING else None
        if row is not None:
            moved = replace(row, seq=sys.maxsize, target=waiting.target or row.target) if waiting.at_the_back else row
            self._stand(moved, conversation, waiting.target)
        elif conversation is not None:
            self._new_in_conversation.add(conversation)
            self._new_messages.update(() if waiting.request_id is None else (waiting.request_id,))
        elif waiting.target is not None:
            self._new_for_target.add((connector_id, waiting.target))

    def leave(self, row: HeldRow) -> None:
        """A row does not stand where it stood."""
        if row.blocks and row.conversation_id is not None:
            self._conversations.get(row.conversation_id, {}).pop(row.id, None)
        elif row.target is not None:
            self._targets.get((row.connector_id, row.target), {}).pop(row.id, None)

    def _stand(self, row: HeldRow, conversation: str | None, target: str | None) -> None:
        if conversation is not None:
            self._conversations.setdefault(conversation, {})[row.id] = row
        elif target is not None:
            self._targets.setdefault((row.connector_id, target), {})[row.id] = row

    def _behind(self, standing: Iterable[HeldRow], candidate: Candidate, row: HeldRow | None) -> bool:
        if row is not None:
            return any(other.seq < row.seq for other in standing)
        return any(not self._came_later(other, candidate) for other in standing)

    def _came_later(self, row: HeldRow, candidate: Candidate) -> bool:
        """In a batch that is tried again, rows of its later items (and copies) stand already: this one went on before them."""
        epoch, partition, offset, item = row.position
        opened = candidate.opened
        if (epoch, partition) != (self._epoch, opened.partition):
            return False
        if offset != opened.offset:
            return offset > opened.offset
        return self._place(partition, offset, item) > candidate.index

    def _place(self, partition: int, offset: int, item: str) -> int:
        if self._places is None:  # rarely needed
            self._places = {(one.opened.partition, one.opened.offset, one.item.path): one.index for one in self._candidates}
        return self._places.get((partition, offset, item), -1)


def came_before(line: TargetLine, candidate: Candidate, facts: Facts) -> bool:
    """Whether the message is known, and not only since a later item of this batch."""
    if line not in facts.messages:
        return False
    brought = facts.brought.get(line)
    return brought is None or brought < candidate.order
