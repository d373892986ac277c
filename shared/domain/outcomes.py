"""What a decision can say. Outcomes are values: the shell applies them and holds no policy."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.enums import ItemOutcome
from shared.domain.topics import Topic
from shared.domain.values import value


@value
class Publish:
    """One event to write, in the transaction of its batch. `event` is a record of `shared.domain.records`."""

    topic: Topic
    key: str
    event_id: str
    subject: str
    time_ms: int
    event: object
    connector_id: str
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one item ends in the books; `reason` comes from the closed set of its outcome."""

    outcome: ItemOutcome
    reason: str = ""
