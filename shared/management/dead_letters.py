"""Dead letters as operators see them: which there are, what became of each, and whether its raw record can be read again.

A letter is one record of `channels.webhook.received.dlq`; its id is its place there, `<partition>/<offset>`. What became of it
stands in `dead_letter_mark`: without a row it is open. Letters are of all tenants, so this is an operator's view: it works as
the role `channels_worker` and shows no payload (`dead_letter_fragments` opens one, on purpose and audited).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Engine, select, tuple_
from sqlalchemy.orm import Session

from shared.adapters.avro import Codec
from shared.adapters.database import unit_of_work
from shared.adapters.kafka import full_name
from shared.adapters.placed_records import Place, PlacedRecords
from shared.adapters.tables import DeadLetterMark
from shared.adapters.topic_reader import TopicReader
from shared.domain.errors import CorruptData, InvalidInput, NotFound
from shared.domain.records import DeadLetter
from shared.domain.topics import Topic
from shared.management.rules import rules_enforced

REDRIVEN, DROPPED = "redriven", "dropped"
_ID = re.compile(r"(\d{1,9})/(\d{1,18})")
_AT_ONCE = 500


class Raw(StrEnum):
    """Whether the raw record of a letter can be read again."""

    THERE = "there"
    GONE = "gone"  # retention has taken it
    RECREATED = "recreated"  # it lay in a raw topic that was deleted and made anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What became of a letter, and who did it. `copy`: where the copy lies in the raw topic; `note`: why it was dropped."""

    outcome: str
    actor: str
    at: datetime
    note: str | None
    copy: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter and what is known of it."""

    partition: int
    offset: int
    event: DeadLetter
    raw: Raw
    mark: Mark | None

    @property
    def id(self) -> str:
        """Its place in the topic of dead letters."""
        return f"{self.partition}/{self.offset}"

    @property
    def place(self) -> Place:
        """Where the record that failed lies in the raw topic: the last copy, else the origin."""
        return raw_place(self.event)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters; None and empty mean any. Times are when the letter was written, `until` is not included."""

    tenant_id: str | None = None
    connector_id: str | None = None
    account_id: str | None = None
    reasons: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    done_too: bool = False  # redriven and dropped ones too

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.tenant_id or self.connector_id or self.account_id or self.reasons or self.since or self.until)

    def takes(self, event: DeadLetter) -> bool:
        """Whether this letter is meant, whatever became of it."""
        return (
            self.tenant_id in (None, event.tenant_id)
            and self.connector_id in (None, event.connector_id)
            and self.account_id in (None, event.account_id)
            and (not self.reasons or event.reason in self.reasons)
            and (self.since is None or event.dead_lettered_at_ms >= self.since.timestamp() * 1000)
            and (self.until is None or event.dead_lettered_at_ms < self.until.timestamp() * 1000)
        )


class DeadLetters:
    """The letters of one installation. `engine` logs in as `channels_worker`. Blocks; use it as a context manager.

    Raises Unavailable when Kafka or PostgreSQL does not answer, ConfigError or NotFound where a topic is missing.
    """

    def __init__(self, bootstrap: str, topic_prefix: str, codec: Codec, engine: Engine) -> None:
        self.codec = codec
        self.engine = engine
        self.unreadable = 0  # records seen that this release cannot decode
        self._bootstrap = bootstrap
        self._box = PlacedRecords(bootstrap, full_name(topic_prefix, Topic.WEBHOOK_RECEIVED_DLQ))
        self.raw = PlacedRecords(bootstrap, full_name(topic_prefix, Topic.WEBHOOK_RECEIVED))
        self.topic_id = ""  # of the letters' topic: marks hold for this incarnation
        self._raw_id = ""
        self._raw_bounds: dict[int, tuple[int, int]] = {}

    def __enter__(self) -> DeadLetters:
        self.topic_id = self._box.incarnation()
        self._raw_id, self._raw_bounds = self.raw.incarnation(), self.raw.bounds()
        return self

    def __exit__(self, *raised: object) -> None:
        self._box.__exit__(*raised)
        self.raw.__exit__(*raised)

    def scan(self, wanted: LetterFilter) -> Iterator[Letter]:
        """Letters as they were written, oldest first; open ones only, unless the filter says otherwise."""
        with unit_of_work(self.engine) as session, rules_enforced():
            marks = marks_of(session, self.topic_id)
        with TopicReader(self._bootstrap, self._box.topic) as reader:
            for record in reader.scan():
                mark = marks.get((record.partition, record.offset))
                if mark is not None and not wanted.done_too:
                    continue
                event = self._decoded(record.value or b"")
                if event is not None and wanted.takes(event):
                    yield self._letter((record.partition, record.offset), event, mark)

    def last(self, wanted: LetterFilter, count: int) -> list[Letter]:
        """The newest ones, newest first."""
        return list(reversed(deque(self.scan(wanted), maxlen=count)))

    def named(self, ids: Iterable[str]) -> list[Letter]:
        """By id, in order of the topic, open or not. Raises InvalidInput for what is no id, NotFound for what is not there."""
        places = sorted({_place(text) for text in ids})
        found = self._box.read_at(places)
        with unit_of_work(self.engine) as session, rules_enforced():
            marks = marks_of(session, self.topic_id, places)
        letters = []
        for place in places:
            event = self._decoded(found[place].value) if place in found else None
            if event is None:
                raise NotFound(f"there is no dead letter {place[0]}/{place[1]}; `channels dlq list --all` shows which there are")
            letters.append(self._letter(place, event, marks.get(place)))
        return letters

    def first_kept(self) -> dict[int, int]:
        """Partition -> first letter that retention has left: marks before it have had their time."""
        return {partition: first for partition, (first, _) in self._box.bounds().items()}

    def _letter(self, place: Place, event: DeadLetter, mark: Mark | None) -> Letter:
        return Letter(partition=place[0], offset=place[1], event=event, raw=self._raw_of(event), mark=mark)

    def _raw_of(self, event: DeadLetter) -> Raw:
        if event.origin_topic != self.raw.topic or event.origin.epoch != self._raw_id:
            return Raw.RECREATED
        partition, offset = raw_place(event)
        first, end = self._raw_bounds.get(partition, (0, 0))
        return Raw.THERE if first <= offset < end else Raw.GONE

    def _decoded(self, value: bytes) -> DeadLetter | None:
        try:
            event: DeadLetter = self.codec.decode(Topic.WEBHOOK_RECEIVED_DLQ, value)
        except CorruptData:
            self.unreadable += 1
            return None
        return event


def raw_place(event: DeadLetter) -> Place:
    """Partition and offset of the record that failed last."""
    return event.origin.partition, event.tries[-1] if event.tries else event.origin.offset


def marks_of(session: Session, topic_id: str, places: Iterable[Place] | None = None) -> dict[Place, Mark]:
    """What became of these letters (None: of all); an open one is absent."""
    statement = select(DeadLetterMark).where(DeadLetterMark.topic_id == topic_id)
    if places is None:
        return {(row.partition, row.letter_offset): _mark(row) for row in session.scalars(statement)}
    found: dict[Place, Mark] = {}
    ordered = sorted(places)
    for start in range(0, len(ordered), _AT_ONCE):
        some = tuple_(DeadLetterMark.partition, DeadLetterMark.letter_offset).in_(ordered[start : start + _AT_ONCE])
        found |= {(row.partition, row.letter_offset): _mark(row) for row in session.scalars(statement.where(some))}
    return found


def _mark(row: DeadLetterMark) -> Mark:
    copy = (row.raw_partition, row.raw_offset) if row.raw_partition is not None and row.raw_offset is not None else None
    return Mark(outcome=row.outcome, actor=row.actor, at=row.at, note=row.note, copy=copy)


def _place(text: str) -> Place:
    found = _ID.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text[:64]!r} is no id of a dead letter; such as 0/1234, as `channels dlq list` shows it")
    return int(found[1]), int(found[2])
