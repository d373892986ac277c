"""A claim's owner is the record, not the item in it, and repeats within a batch are not collapsed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from services.router import app, decide, gate
from services.router.facts import Candidate, Owner
from shared.adapters import router_store
from shared.adapters.router_store import ClaimRow
from shared.domain.holding import Position
from tests.chaos.planted.start import start


def plant() -> None:
    """Without the collapse; with it the fault would not show within one record."""
    claim = router_store.claim

    def of_the_record(cursor: Any, epoch: str, rows: Iterable[ClaimRow]) -> dict[bytes, tuple[str, int, int, str]]:
        first: dict[bytes, ClaimRow] = {}
        for row in rows:
            first.setdefault(row.key, replace(row, item=""))
        return claim(cursor, epoch, first.values())

    def owner(epoch: str, candidate: Candidate) -> Owner:
        return Owner(epoch, candidate.opened.partition, candidate.opened.offset, "")

    def owns(found: Position, epoch: str, candidate: Candidate) -> bool:
        return found == owner(epoch, candidate)

    router_store.claim = of_the_record
    app.collapse = lambda candidates: [one for one in candidates if one.claim_key is not None]
    app.owns = decide.owns = gate.owns = owns
    decide.owner_of = owner


if __name__ == "__main__":
    start("router", plant)
