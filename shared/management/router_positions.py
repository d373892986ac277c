"""Where the router stands on each raw partition by three witnesses, and what follows where they disagree. Pure.

Kafka's committed offset says where it goes on; the books in `channels.audit` say up to where its events came out, because they
are written with the events in one transaction; the progress in PostgreSQL says up to where the claims, ids and held rows go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Found(StrEnum):
    """What a disagreement means. The first is accepted by `adopt` as it is, the last by nothing."""

    RECREATED = "recreated"  # the topic was deleted and made anew
    REPEAT = "repeat"  # the offset went back: events that came out come out again
    SKIP = "skip"  # the offset went forward: records are never looked at
    FORGET = "forget"  # the database went back: it does not know what came out
    BEYOND = "beyond"  # the offset lies beyond the topic's end


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A row of `router_progress`: the topic's incarnation, the offset committed before the last batch, the end of claims."""

    topic_id: str
    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One raw partition. `log_first`, `log_end`: bounds of the topic; `emitted`: end of the last range in the books of this
    incarnation, None where there is none (any more)."""

    partition: int
    committed: int
    log_first: int
    log_end: int
    book: Book | None
    emitted: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A range of raw offsets [first, end) and what adopting means for it."""

    partition: int
    found: Found
    first: int
    end: int
    meaning: str


def judged(position: Position, topic_id: str) -> list[Finding]:
    """What is wrong with one partition; nothing: the router goes on by itself."""
    book, committed, emitted = position.book, position.committed, position.emitted
    findings: list[Finding] = []

    def find(found: Found, first: int, end: int, meaning: str) -> None:
        if first < end or found in (Found.RECREATED, Found.BEYOND):
            findings.append(Finding(partition=position.partition, found=found, first=first, end=end, meaning=meaning))

    if committed > position.log_end:
        find(Found.BEYOND, position.log_end, committed, _BEYOND)
        return findings
    if book is not None and book.topic_id != topic_id:
        find(Found.RECREATED, book.first, book.end, _RECREATED.format(old=book.topic_id))
        find(Found.SKIP, position.log_first, committed, _SKIP)
        return findings
    known = book.end if book is not None else 0
    done = emitted if emitted is not None else max(min(committed, known), book.first if book is not None else 0)
    find(Found.SKIP, committed, position.log_first, _RETENTION)
    find(Found.REPEAT, max(committed, position.log_first), done, _REPEAT)
    find(Found.SKIP, done, committed, _SKIP)
    find(Found.FORGET, known, min(done, committed), _FORGET)
    return findings


def needed(findings: Iterable[Finding]) -> tuple[Found, ...]:
    """What a person has to agree to, in order."""
    found = {finding.found for finding in findings}
    return tuple(each for each in (Found.REPEAT, Found.SKIP, Found.FORGET) if each in found)


_BEYOND = "the committed offset lies beyond the topic's end; adopting it would lose whatever arrives until then"
_RECREATED = (
    "the topic was deleted and made anew (it was {old}): what lay there is gone; of this range of it nobody can tell any more"
    " whether all came out"
)
_REPEAT = "came out already and comes out again, under the same ids as long as the database has them"
_SKIP = "never looked at: nothing comes out of it"
_RETENTION = "never looked at: retention has deleted it"
_FORGET = (
    "came out, but the database knows nothing of it any more: a provider's repeat of it comes out again, people and conversations"
    " that began there get new ids, receipts for messages of then are orphans, what was held then is lost"
)
