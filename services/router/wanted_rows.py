"""Which held rows a batch has to see, so that the gate decides as if it saw all of them. Pure.

Of a line only the first rows matter: whoever is not before its first stands behind it. In one batch the first may leave, and
those after it; but only a copy makes a row leave, so one more row is enough than copies of that line are in the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from services.router.facts import Candidate, Facts
from services.router.lookups import messages_brought_by, target_of
from shared.domain.holding import TargetLine, WantedRows
from shared.domain.items import MessageItem, ReceiptItem


def wanted_rows(candidates: Sequence[Candidate], mine: Iterable[Candidate], facts: Facts) -> WantedRows:
    """`mine` are the candidates whose claim is ours; their ids are in `facts`."""
    copies = [one for one in candidates if one.opened.held_copy_of is not None]
    leaving: Counter[str] = Counter()
    ending: Counter[TargetLine] = Counter()
    anywhere = 0  # copies that do not tell where their row stands: what they hold cannot be read, or is refused by now
    messages: set[str] = set()
    edits: set[tuple[str, str]] = set()
    for copy in copies:
        conversation, line = _conversation(copy, facts), _line(copy)
        if conversation is not None:
            leaving[conversation] += 1
        if line is not None:
            ending[line] += 1
        if conversation is not None and line is not None:  # an edit or its like: does its message wait, or an older edit?
            edits.add((conversation, line[1]))
            if line in facts.messages:
                messages.add(facts.messages[line].message_id)
        if conversation is None and not (line is not None and isinstance(copy.item, ReceiptItem)):
            anywhere += 1
    lines = {line for one in mine for line in _lines(one)}
    return WantedRows(
        copies_of={(of.epoch, of.partition, of.offset, of.item) for one in copies if (of := one.opened.held_copy_of) is not None},
        conversations={one: 1 + anywhere + leaving[one] for one in set(facts.conversations.values())},
        targets={line: 1 + anywhere + ending[line] for line in lines},
        messages=messages,
        edits=edits,
    )


def _lines(candidate: Candidate) -> set[TargetLine]:
    connector, line = candidate.opened.connector_id, _line(candidate)
    brought = {(connector, key) for key, _ in messages_brought_by(candidate)}
    return brought if line is None else brought | {line}


def _line(candidate: Candidate) -> TargetLine | None:
    target = target_of(candidate)
    return None if target is None else (candidate.opened.connector_id, target)


def _conversation(candidate: Candidate, facts: Facts) -> str | None:
    if not isinstance(candidate.item, MessageItem) or candidate.conversation_key is None:
        return None
    return facts.conversations.get((candidate.opened.connector_id, candidate.conversation_key))
