"""What the copy of a held record says, and when what is to be done about held records. Pure.

Policy: a copy is the record as it lies in the raw topic, saying for which item of which record it stands. Where no such copy can
be made (the record is gone, cannot be read, or is too large with these words added), a copy without body goes in its place: the
router ends the row with a dead letter, so that nothing behind it waits for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.adapters.placed_records import Bounds
from shared.adapters.redelivery_rows import DueRow, PartitionReach
from shared.domain.enums import RecordSource
from shared.domain.records import RawPosition, WebhookReceived

MAX_COPY_BYTES = 990_000  # below what the client and the broker take by default, with room for the record's frame
WAKE_DELAY_SECONDS = 0.5  # a new snapshot reaches the routers first
DONE_DAYS, CLAIM_DAYS = 2, 10
_NO_END = 2**62


class CopyOutcome(StrEnum):
    """What became of one row of a round; the label of the metric."""

    SENT = "sent"
    RESENT = "resent"
    GONE = "gone"  # sent without a body: the record is not in the raw topic any more
    UNFIT = "unfit"  # sent without a body: the record cannot be copied
    FAILED = "failed"  # Kafka has not taken it, as far as is known; it is sent again later


class Task(StrEnum):
    """What is done now and then beside taking what is due."""

    RESEND = "resend"
    SWEEP = "sweep"
    MEASURE = "measure"
    PRUNE_DONE = "prune_done"
    PRUNE_CLAIMS = "prune_claims"


_EVERY_SECONDS = {Task.RESEND: 2.0, Task.SWEEP: 30.0, Task.MEASURE: 2.0, Task.PRUNE_DONE: 1.0, Task.PRUNE_CLAIMS: 1.0}
_SHARE = 5  # a task that takes long is done less often: it has at most one part in so many of the time


class Agenda:
    """Which task is due when. All are when it is made, except those that can wait until the backlog of a start is gone."""

    def __init__(self, now: float) -> None:
        later = {Task.PRUNE_DONE: 1.0, Task.PRUNE_CLAIMS: 1.0}
        self._at = {task: now + later.get(task, 0.0) for task in Task}

    def due(self, now: float) -> list[Task]:
        """The tasks that are due, in the order of the class."""
        return [task for task in Task if self._at[task] <= now]

    def done(self, task: Task, now: float, took: float, *, more: bool = False) -> None:
        """It was done, and took so many seconds; `more`: there is more of it to do, so it comes again after the next batch."""
        self._at[task] = now if more else now + max(_EVERY_SECONDS[task], _SHARE * took)


@dataclass(frozen=True, slots=True)
class Sorted:
    """The rows of one partition by what can be done: read their record, say that it is gone, or wait until it is seen."""

    readable: list[DueRow]
    gone: list[DueRow]
    unseen: list[DueRow]


def sort_rows(rows: Sequence[DueRow], epoch: str, bounds: Bounds | None) -> Sorted:
    """`bounds`: of the rows' partition in the present topic, whose id is `epoch`; None where it has no such partition.

    A place beyond the end is no proof that the record is lost: a new leader learns of its end late. Only an expired row is not
    left to wait for it.
    """
    found = Sorted([], [], [])
    for row in rows:
        if bounds is None or row.epoch != epoch or row.offset < bounds[0]:
            found.gone.append(row)
        elif row.offset < bounds[1]:
            found.readable.append(row)
        else:
            (found.gone if row.expired else found.unseen).append(row)
    return found


def copy_of(row: DueRow, record: WebhookReceived) -> WebhookReceived:
    """The record again, standing for this one item."""
    return replace(record, redelivery_of=_position(row), only_item=row.item, redrive=None)


def without_body(row: DueRow, tenant_id: str | None) -> WebhookReceived:
    """What stands for an item whose record cannot be copied. `tenant_id`: None if the connector is gone, too."""
    return WebhookReceived(
        record_id=row.id,
        source=RecordSource.WEBHOOK,
        tenant_id=tenant_id or "",
        connector_id=row.connector_id,
        url_account_id=None,
        received_at_ms=row.first_arrival_at_ms,
        headers={},
        secret_id=None,
        body_size_bytes=0,
        redelivery_of=_position(row),
        only_item=row.item,
    )


def target_partition(row: DueRow, count: int) -> int:
    """Where the copy goes: where the record lies; a topic created anew with fewer partitions may have no such one."""
    return row.partition if row.partition < count else row.partition % count


def reaches(committed: Mapping[int, int], bounds: Mapping[int, Bounds | None]) -> list[PartitionReach]:
    """How far the router and the log are, per partition. Bounds that are unknown now count as endless."""
    found = []
    for partition, known in sorted(bounds.items()):
        end = _NO_END if known is None else known[1]
        found.append(PartitionReach(partition=partition, passed=committed.get(partition, 0), end=end))
    return found


def _position(row: DueRow) -> RawPosition:
    return RawPosition(epoch=row.epoch, partition=row.partition, offset=row.offset, item=row.item)
