"""An independent reader of the books: what the raw topic holds, counted from the providers' bodies, against `channels.audit`.

Written without the router and without our normalisers: it opens each original record with the tenant's key, and counts the
elements of Meta's bodies as Meta documents them. Copies (redelivered or redriven) are no new items. For each connector, account
and hour that has closed the lines must add up to the items; the ranges of the books must cover each raw offset once; what is held
cannot be negative; and what the books call emitted must have come out.

Held items: `+1 held` on the line of first arrival, and later `-1 held` with `+1` of the ending on the same line. A redriven item:
`-1 dead_lettered` on the line where it stood, `+1` of its new ending where it stands now: its account may be known by then.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shared.adapters.avro import Codec
from shared.adapters.kafka import full_name
from shared.adapters.topic_reader import TopicReader
from shared.domain.errors import CorruptData
from shared.domain.records import WebhookReceived
from shared.domain.topics import Topic

HOUR_MS = 3_600_000
_LISTS = {"messages": ("messages", "statuses", "errors"), "smb_message_echoes": ("message_echoes", "errors")}
_CAME_OUT = {"emitted", "orphaned"}


class Line(NamedTuple):
    """Where an item stands in the books."""

    connector_id: str
    account_id: str | None
    hour_ms: int


@dataclass
class Raw:
    """What the raw topic says."""

    items: Counter[Line] = field(default_factory=Counter)
    hours: dict[tuple[int, int], int] = field(default_factory=dict)  # raw position -> hour of arrival
    ends: dict[int, tuple[int, int]] = field(default_factory=dict)  # partition -> first offset, end


@dataclass
class BooksReader:
    """`open_body(record)`: the plain body, by the tenant's key. `account_of(connector, number)`: whose number that is, None for
    nobody's; `late`: numbers that were nobody's when their items came first, so that only redriven ones stand on the account."""

    bootstrap: str
    prefix: str
    codec: Codec
    open_body: Callable[[WebhookReceived], bytes]
    account_of: Mapping[tuple[str, str], str]
    late: frozenset[str] = frozenset()

    def differences(self, epoch: str, until_ms: int) -> list[str]:
        """What does not balance, over hours that closed before then; empty: the books are right."""
        raw, audits = self._raw(), [event for event in self._events(Topic.AUDIT) if event.epoch == epoch]
        booked: Counter[Line] = Counter()
        outcomes: dict[Line, Counter[str]] = {}
        for event in audits:
            for row in event.counts:
                line = Line(row.connector_id, row.account_id, row.hour_ms)
                booked[line] += row.count
                outcomes.setdefault(line, Counter())[row.outcome.value] += row.count
        told = _coverage(audits, raw)
        closed = {line for line in raw.items.keys() | booked.keys() if line.hour_ms + HOUR_MS <= until_ms}
        for line in sorted(closed, key=str):
            if raw.items[line] != booked[line]:
                told.append(f"{line}: {raw.items[line]} items came in, {booked[line]} are booked")
            if outcomes.get(line, Counter())["held"] < 0:
                told.append(f"{line}: {outcomes[line]['held']} held now")
        return told + self._unseen(raw, outcomes, closed)

    def _raw(self) -> Raw:
        raw, originals = Raw(), {}
        redriven: set[tuple[int, int, str]] = set()
        for place, key, record in self._records():
            first, end = raw.ends.get(place[0], (place[1], place[1]))
            raw.ends[place[0]] = min(first, place[1]), max(end, place[1] + 1)
            raw.hours[place] = _hour(record.received_at_ms) if record is not None else 0
            if record is None:
                raw.items[Line(key, None, 0)] += 1
            elif record.redrive is not None:
                origin = record.redrive.origin
                redriven.add((origin.partition, origin.offset, origin.item))
            elif record.redelivery_of is None:
                originals[place] = record
        for place, record in originals.items():
            for path, number in _elements(self.open_body(record)):
                account = self.account_of.get((record.connector_id, number))
                if number in self.late and not {(*place, path), (*place, "")} & redriven:
                    account = None
                raw.items[Line(record.connector_id, account, _hour(record.received_at_ms))] += 1
        return raw

    def _unseen(self, raw: Raw, outcomes: Mapping[Line, Counter[str]], closed: set[Line]) -> list[str]:
        """What the books call emitted, against the events: each message once, in `message.received` or before a flow."""
        sure: Counter[Line] = Counter()
        asked: Counter[Line] = Counter()
        received = [event.message for event in self._events(Topic.MESSAGE_RECEIVED)]
        known = {message.message_id for message in received}
        for event in [*received, *self._events(Topic.DELIVERY_UPDATED)]:
            sure[self._line(raw, event)] += 1
        for event in self._events(Topic.INTAKE_REQUESTED):
            if event.message.message_id not in known:  # it is at the flow, or was settled there
                asked[self._line(raw, event.message)] += 1
        told = []
        for line in sorted(closed, key=str):
            counts = outcomes.get(line, Counter())
            count = sum(counts[each] for each in _CAME_OUT)
            if not sure[line] <= count <= sure[line] + asked[line]:
                told.append(f"{line}: {count} are booked as emitted, {sure[line]} came out and {asked[line]} went to a flow")
        return told

    def _line(self, raw: Raw, event: Any) -> Line:
        return Line(event.connector_id, event.account_id, raw.hours.get((event.raw.partition, event.raw.offset), -1))

    def _records(self) -> Iterator[tuple[tuple[int, int], str, WebhookReceived | None]]:
        with TopicReader(self.bootstrap, full_name(self.prefix, Topic.WEBHOOK_RECEIVED)) as reader:
            for found in reader.scan():
                try:
                    record = self.codec.decode(Topic.WEBHOOK_RECEIVED, found.value or b"")
                except CorruptData:
                    record = None
                yield (found.partition, found.offset), found.key or "", record

    def _events(self, topic: Topic) -> list[Any]:
        with TopicReader(self.bootstrap, full_name(self.prefix, topic)) as reader:
            return [self.codec.decode(topic, found.value) for found in reader.scan() if found.value is not None]


def _coverage(audits: list[Any], raw: Raw) -> list[str]:
    """Each raw offset in one range of the books. An empty range is a correction of lines, such as adopting makes."""
    told = []
    for partition, (first, end) in sorted(raw.ends.items()):
        at = first
        for start, stop in sorted((e.first_offset, e.end_offset) for e in audits if e.partition == partition):
            if start == stop:
                continue
            if start != at:
                told.append(f"partition {partition}: the books go from {at} to {start}")
            at = max(at, stop)
        if at < end:
            told.append(f"partition {partition}: the books end at {at}, the topic at {end}")
    return told


def _elements(body: bytes) -> Iterator[tuple[str, str]]:
    """(place, phone number id) of each element of a body, as Meta documents it; a body that is no JSON is one element."""
    try:
        document = json.loads(body)
    except ValueError:
        yield "", ""
        return
    for e, entry in enumerate(document["entry"]):
        for c, change in enumerate(entry["changes"]):
            value, path = change["value"], f"/entry/{e}/changes/{c}"
            number = value.get("metadata", {}).get("phone_number_id", "")
            lists = {name: value.get(name) or [] for name in _LISTS.get(change["field"], ())}
            if not any(lists.values()):
                yield path, number
            for name, elements in lists.items():
                for index, element in enumerate(elements):
                    # What is no element of Meta's is set aside on the connector's line, whatever stands around it.
                    sound = isinstance(element, dict) and "id" in element
                    yield f"{path}/value/{name}/{index}", number if sound else ""


def _hour(at_ms: int) -> int:
    return at_ms - at_ms % HOUR_MS
