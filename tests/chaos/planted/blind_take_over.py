"""A copy takes its item's claim over from whoever holds it, not only from the record that it is the copy of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shared.adapters import router_store
from shared.adapters.binary_arrays import byteas
from shared.adapters.router_store import ClaimRow
from tests.chaos.planted.start import start


def plant() -> None:
    """The claims of copies are given up before they are made."""
    claim = router_store.claim

    def blindly(cursor: Any, epoch: str, rows: Iterable[ClaimRow]) -> dict[bytes, tuple[str, int, int, str]]:
        wanted = list(rows)
        copies = [row.key for row in wanted if row.taken_from is not None]
        cursor.execute("DELETE FROM claim WHERE key = ANY(%b::bytea[])", (byteas(copies),))
        return claim(cursor, epoch, wanted)

    router_store.claim = blindly


if __name__ == "__main__":
    start("router", plant)
