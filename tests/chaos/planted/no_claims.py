"""The router asks nobody whether it has seen an item before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shared.adapters import router_store
from shared.adapters.router_store import ClaimRow
from tests.chaos.planted.start import start


def plant() -> None:
    """Everything is mine."""

    def claim(_cursor: Any, epoch: str, rows: Iterable[ClaimRow]) -> dict[bytes, tuple[str, int, int, str]]:
        return {row.key: (epoch, row.partition, row.offset, row.item) for row in rows}

    router_store.claim = claim


if __name__ == "__main__":
    start("router", plant)
