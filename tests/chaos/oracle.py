"""Judges a run from outside: what was posted and answered, against what independent readers find in the topics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from tests.chaos.provider import Ledger


@dataclass(frozen=True)
class Emitted:
    """One `message.received` as a `read_committed` reader finds it, in the topic's order per conversation."""

    peer: str
    provider_message_id: str
    message_id: str
    conversation_id: str


@dataclass
class Verdict:
    """What is wrong, by kind; each list holds a few examples, `counts` all of them."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """True if nothing is wrong."""
        return not self.counts

    def add(self, kind: str, example: str, count: int = 1) -> None:
        """Note one fault."""
        self.counts[kind] += count
        examples = self.examples.setdefault(kind, [])
        if len(examples) < 5:
            examples.append(example)

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
        verdict.add("lost", message)
    for message, count in times.items():
        if count > 1:
            verdict.add("doubled", f"{message} x{count}", count - 1)
        if message not in written:
            verdict.add("invented", message)
    for peer, messages in seen.items():
        if _out_of_order(messages, ledger.written.get(peer, [])):
            verdict.add("out_of_order", peer)
    for peer, found in conversations.items():
        if len(found) > 1:
            verdict.add("conversation_split", f"{peer}: {sorted(found)}")
    _judge_books(verdict, books, raw_items, sum(times.values()))
    return verdict


def _out_of_order(messages: list[str], written: list[str]) -> bool:
    """First occurrences in another order than the peer wrote them (a doubled one is another fault)."""
    place = {message: index for index, message in enumerate(written)}
    places = [place[message] for message in dict.fromkeys(messages) if message in place]
    return places != sorted(places)


def _judge_books(verdict: Verdict, books: Mapping[str, int], raw_items: int, emitted: int) -> None:
    booked = sum(books.values())
    if booked != raw_items:
        verdict.add("books_items", f"booked {booked}, in the raw topic {raw_items}", abs(booked - raw_items))
    if books.get("emitted", 0) != emitted:
        verdict.add(
            "books_emitted", f"booked {books.get('emitted', 0)}, in the topic {emitted}", abs(books.get("emitted", 0) - emitted)
        )
