"""The books: what became of every item of a batch, per raw partition. Pure.

A redriven item is booked twice: once backwards as the dead letter that it was, once as what became of it now; in the same way
the copy of a held item takes it off the line of what is held. So the sum over all lines is the number of original items, however
often one of them was tried. A copy that changes nothing is not booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from services.router.facts import Candidate
from services.router.keys import position_id
from shared.domain.enums import ItemOutcome
from shared.domain.outcomes import Publish
from shared.domain.records import AuditCount, AuditRecorded, Redrive
from shared.domain.topics import Topic

HOUR_MS = 3_600_000
BookKey = tuple[str, str | None, int, ItemOutcome, str]  # connector, account, hour, outcome, reason


def audit(candidates: Iterable[Candidate], ranges: Mapping[int, tuple[int, int]], epoch: str, now_ms: int) -> list[Publish]:
    """One audit event per partition of the batch. `ranges`: partition -> (first offset, end offset)."""
    counters: dict[int, Counter[BookKey]] = {partition: Counter() for partition in ranges}
    taken_back: set[tuple[int, int]] = set()
    for candidate in candidates:
        opened, ending = candidate.opened, candidate.ending
        if opened.record is not None and opened.record.redrive is not None:
            place = opened.partition, opened.offset
            if place not in taken_back:  # one dead letter, whatever a copy of its whole record holds
                taken_back.add(place)
                counters[opened.partition][_dead_letter(opened.connector_id, opened.record.redrive)] -= 1
        if ending is None:
            raise TypeError("every item of a decided batch has an ending")
        if candidate.unbooked:
            continue
        hour, row = _hour(opened.received_at_ms), candidate.row
        if row is not None and opened.held_copy_of is not None:
            if ending.outcome is ItemOutcome.HELD:
                continue  # it stands on that line already
            counters[opened.partition][opened.connector_id, row.account_id, hour, ItemOutcome.HELD, ""] -= 1
        account = candidate.account.account_id if candidate.account is not None else None
        counters[opened.partition][opened.connector_id, account, hour, ending.outcome, ending.reason] += 1
    return [_event(partition, ranges[partition], counts, epoch, now_ms) for partition, counts in sorted(counters.items())]


def _dead_letter(connector_id: str, redrive: Redrive) -> BookKey:
    """The line on which the item stands that is tried again."""
    hour = _hour(redrive.first_arrival_at_ms)
    return connector_id, redrive.account_id, hour, ItemOutcome.DEAD_LETTERED, redrive.reason


def _hour(at_ms: int) -> int:
    return at_ms - at_ms % HOUR_MS


def _event(partition: int, bounds: tuple[int, int], counts: Counter[BookKey], epoch: str, now_ms: int) -> Publish:
    rows = tuple(
        AuditCount(connector_id=key[0], account_id=key[1], hour_ms=key[2], outcome=key[3], reason=key[4], count=count)
        for key, count in counts.items()
        if count
    )
    event = AuditRecorded(epoch=epoch, partition=partition, first_offset=bounds[0], end_offset=bounds[1], counts=rows)
    return Publish(
        topic=Topic.AUDIT,
        key=str(partition),
        event_id=position_id(epoch, partition, bounds[0], "", "audit"),
        subject=str(partition),
        time_ms=now_ms,
        event=event,
        connector_id="",
    )
