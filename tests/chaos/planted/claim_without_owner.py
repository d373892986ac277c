"""A claim remembers only that it was taken, not by which position: a replay finds its own claim and takes it for a repeat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shared.adapters import router_store
from shared.adapters.router_store import ClaimRow
from tests.chaos.planted.start import start


def plant() -> None:
    """INSERT … ON CONFLICT DO NOTHING: mine is what I have just inserted."""

    def claim(cursor: Any, epoch: str, rows: Iterable[ClaimRow]) -> dict[bytes, tuple[str, int, int, str]]:
        ordered = sorted(rows, key=lambda row: row.key)
        cursor.execute(
            "INSERT INTO claim (key, epoch, raw_partition, raw_offset, item)"
            " SELECT u.key, %s::uuid, 0, 0, '' FROM unnest(%b::bytea[]) AS u(key) ORDER BY 1"
            " ON CONFLICT DO NOTHING RETURNING key",
            (epoch, [row.key for row in ordered]),
        )
        fresh = {bytes(row[0]) for row in cursor.fetchall()}
        return {
            row.key: (epoch, row.partition, row.offset, row.item) if row.key in fresh else (epoch, -1, -1, "") for row in ordered
        }

    router_store.claim = claim


if __name__ == "__main__":
    start("router", plant)
