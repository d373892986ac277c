"""What it means that an inbound item waits: for how long, in which line, and what is remembered of it. Pure.

A held row names its item by the position of the raw record that held it last, (epoch, partition, offset, item path).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.enums import HeldState, HoldReason

Position = tuple[str, int, int, str]  # epoch, partition, offset, item path
TargetLine = tuple[str, str]  # connector, external key of the message that is waited for

# What stands in the line of its conversation; the other reasons stand in the line of the message that they wait for.
BLOCKING = frozenset({HoldReason.INTAKE, HoldReason.FLOW_UNUSABLE, HoldReason.PAUSED, HoldReason.QUEUED})

_TARGET_PAUSES_MS = (2_000, 10_000, 60_000)  # after the first try, the second, the third; then as the third
_ROUTE_PAUSE_MS = 30_000  # a paused route tells us when it opens again; this is for the case that it did not
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldLimits:
    """How long things wait, in milliseconds. `intake_ms`: for a flow's answer, where the account says nothing; `target_ms`: for
    the message that a receipt, edit or reaction is about; `retention_ms`: how long the raw topic keeps a record."""

    intake_ms: int
    target_ms: int
    retention_ms: int

    def expiry(self, first_arrival_ms: int) -> int:
        """When an item must come out, whatever it waits for: a day before its raw record is gone."""
        return first_arrival_ms + self.retention_ms - DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """One row of `held_record`."""

    id: str
    seq: int
    connector_id: str
    account_id: str
    conversation_id: str | None
    target: str | None
    request_id: str | None
    position: Position
    reason: HoldReason
    attempt: int
    decision: Mapping[str, Any] | None
    state: HeldState
    first_arrival_ms: int
    expires_ms: int

    @property
    def blocks(self) -> bool:
        """Whether it stands in the line of its conversation."""
        return self.reason in BLOCKING

    @property
    def unfinished(self) -> bool:
        """Whether it still waits, or its copy is on its way."""
        return self.state is not HeldState.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a row says while it waits. `conversation_id` (and the message's own id as `request_id`) with a blocking reason, else
    `target`. `at_the_back`: a row that stood elsewhere gets a new place, behind all that stand in the line of its conversation;
    then `target` says which message it has waited for."""

    reason: HoldReason
    due_ms: int
    conversation_id: str | None = None
    target: str | None = None
    request_id: str | None = None
    decision: Mapping[str, Any] | None = None
    at_the_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHold:
    """A row to add."""

    position: Position
    connector_id: str
    account_id: str
    first_arrival_ms: int
    expires_ms: int
    waiting: Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a copy makes of its row: it waits again, or is done with `decision`. The row moves to `position`, the copy's."""

    row: HeldRow
    position: Position
    waiting: Waiting | None
    decision: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRows:
    """The rows that a batch has to see beside those at its own positions. Of a line only the first: it may be very long.

    `copies_of`: rows that copies name. `conversations`, `targets`: line -> how many of its first rows. `messages`: ids of
    messages of which it matters whether they wait themselves. `edits`: (conversation, external key of a message), for the rows in
    the line of that conversation which have waited for that message.
    """

    copies_of: Collection[Position] = ()
    conversations: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[TargetLine, int] = field(default_factory=dict)
    messages: Collection[str] = ()
    edits: Collection[tuple[str, str]] = ()


def target_due(attempt: int, now_ms: int, deadline_ms: int) -> int:
    """When to look again for a message that has not come; `attempt` counts the looks so far, from 1."""
    pause = _TARGET_PAUSES_MS[min(attempt, len(_TARGET_PAUSES_MS)) - 1]
    return max(now_ms, min(now_ms + pause, deadline_ms))


def route_due(now_ms: int, deadline_ms: int) -> int:
    """When to look again whether the route is open."""
    return max(now_ms, min(now_ms + _ROUTE_PAUSE_MS, deadline_ms))
