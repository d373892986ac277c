"""Dead letters for unit tests."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.domain.records import DeadLetter, RawPosition
from shared.management.dead_letters import Letter, Mark, Raw

ORIGIN = RawPosition(epoch="e", partition=2, offset=10, item="/m/0")
LETTER = DeadLetter(
    record_id="r",
    tenant_id="t",
    connector_id="c",
    account_id="a",
    origin=ORIGIN,
    origin_topic="raw",
    reason="unknown_account",
    detail="phone_number_id:1",
    schema_version="1",
    first_arrival_at_ms=5,
    dead_lettered_at_ms=1_700_000_000_000,
    sealed_fragment=None,
)


def letter(event: DeadLetter = LETTER, raw: Raw = Raw.THERE, mark: str | None = None) -> Letter:
    done = None if mark is None else Mark(outcome=mark, actor="cli:ana", at=datetime.now(UTC), note="n", copy=None)
    return Letter(partition=0, offset=7, event=event, raw=raw, mark=done)
