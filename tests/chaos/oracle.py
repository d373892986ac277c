"""Judges a run from outside: what was posted and answered, against what independent readers find in the topics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from tests.chaos.provider import Ledger

OURS = "chaos:"  # how the actor of a change begins that the campaign itself made


@dataclass(frozen=True)
class Emitted:
    """One `message.received` as a `read_committed` reader finds it, in the topic's order per conversation."""

    peer: str
    provider_message_id: str
    message_id: str
    conversation_id: str


@dataclass(frozen=True)
class StatusEvent:
    """One `channel.connector.status_changed`, in the topic's order per connector. Each change has an actor of its own."""

    connector_id: str
    old: str | None
    new: str
    actor: str


@dataclass
class StatusLedger:
    """What the administrator knows: changes that were committed for sure, and those that ended in an error."""

    sure: list[str] = field(default_factory=list)  # actors
    unsure: list[str] = field(default_factory=list)


@dataclass
class Verdict:
    """What is wrong, by kind; each list holds a few examples, `counts` all of them.

    `first`: the number of the earliest message (of all that were posted) that shows the fault, where one does.
    """

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """True if nothing is wrong."""
        return not self.counts

    def add(self, kind: str, example: str, count: int = 1, *, number: int | None = None) -> None:
        """Note one fault."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        examples = self.examples.setdefault(kind, [])
        if len(examples) < 5:
            examples.append(example)
        if number is not None:
            self.first[kind] = min(number, self.first.get(kind, number))

    def merge(self, other: Verdict) -> None:
        """Take over what another verdict holds."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        for kind, examples in other.examples.items():
            self.examples.setdefault(kind, []).extend(examples)
        for kind, number in other.first.items():
            self.first[kind] = min(number, self.first.get(kind, number))

    def __str__(self) -> str:
        return "clean" if self.clean else json.dumps(asdict(self), indent=1)


def judge(ledger: Ledger, emitted: Iterable[Emitted], books: Mapping[str, int], raw_items: int) -> Verdict:
    """Lost, doubled, out of order, invented; conversations split; and whether the books balance.

    `books`: outcome -> items, from channels.audit. `raw_items`: items that an independent reader counts in the raw topic.
    """
    verdict = Verdict()
    seen: dict[str, list[str]] = {}
    conversations: dict[str, set[str]] = {}
    times: Counter[str] = Counter()
    for event in emitted:
        seen.setdefault(event.peer, []).append(event.provider_message_id)
        conversations.setdefault(event.peer, set()).add(event.conversation_id)
        times[event.provider_message_id] += 1
    written = {message for messages in ledger.written.values() for message in messages}
    for message in sorted(ledger.acknowledged - times.keys()):
        verdict.add("lost", message, number=ledger.order.get(message))
    for message, count in times.items():
        if count > 1:
            verdict.add("doubled", f"{message} x{count}", count - 1, number=ledger.order.get(message))
        if message not in written:
            verdict.add("invented", message)
    for peer, messages in seen.items():
        late = _out_of_order(messages, ledger.written.get(peer, []))
        if late is not None:
            verdict.add("out_of_order", f"{peer}: {late}", number=ledger.order.get(late))
    for peer, found in conversations.items():
        if len(found) > 1:
            verdict.add("conversation_split", f"{peer}: {sorted(found)}")
    _judge_books(verdict, books, raw_items, sum(times.values()))
    return verdict


def judge_status(verdict: Verdict, ledger: StatusLedger, logged: Collection[str], events: Iterable[StatusEvent]) -> None:
    """Each committed change of a status exactly once, and in order. `logged`: actors of the changes in the audit log."""
    times: Counter[str] = Counter()
    states: dict[str, str | None] = {}
    for event in events:
        if event.actor.startswith(OURS):
            times[event.actor] += 1
        if event.old != states.get(event.connector_id):
            verdict.add("status_out_of_order", f"{event.actor}: from {event.old}, not {states.get(event.connector_id)}")
        states[event.connector_id] = event.new
    for actor in ledger.sure:
        if actor not in logged:
            verdict.add("status_undone", actor)
    for actor in logged:
        if actor not in times:
            verdict.add("status_lost", actor)
        elif times[actor] > 1:
            verdict.add("status_doubled", f"{actor} x{times[actor]}", times[actor] - 1)
    for actor in times.keys() - set(logged):
        verdict.add("status_invented", actor)


def judge_answers(verdict: Verdict, ledger: Ledger) -> None:
    """For a run in which nothing was killed: every post must have been answered (a 503 is an answer, an end is none)."""
    for outcome, count in ledger.attempts.items():
        if not outcome.isdigit():
            verdict.add("unanswered", outcome, count)


def _out_of_order(messages: list[str], written: list[str]) -> str | None:
    """The first message that comes after one that its peer wrote later (a doubled one is another fault)."""
    place = {message: index for index, message in enumerate(written)}
    latest = -1
    for message in dict.fromkeys(messages):
        if message in place:
            if place[message] < latest:
                return message
            latest = place[message]
    return None


def _judge_books(verdict: Verdict, books: Mapping[str, int], raw_items: int, emitted: int) -> None:
    booked = sum(books.values())
    if booked != raw_items:
        verdict.add("books_items", f"booked {booked}, in the raw topic {raw_items}", abs(booked - raw_items))
    if books.get("emitted", 0) != emitted:
        verdict.add(
            "books_emitted", f"booked {books.get('emitted', 0)}, in the topic {emitted}", abs(books.get("emitted", 0) - emitted)
        )
