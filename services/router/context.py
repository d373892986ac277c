"""What is the same for every item of a batch when it is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.router.facts import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is the same for the whole batch. `seal` seals a dead letter's fragment (None: too large to carry);
    `sync_due` says whether a request for this connector and thing may go out now (it is debounced)."""

    epoch: str
    raw_topic: str
    now_ms: int
    schema_version: str
    seal: Callable[[Candidate], bytes | None]
    sync_due: Callable[[str, str], bool]
