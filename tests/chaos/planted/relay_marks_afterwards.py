"""The relay marks rows sent after it has written their copies."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text

from shared.adapters import redelivery_rows
from shared.adapters.redelivery_rows import DueRow, RedeliveryRows, Sending
from tests.chaos.planted import moments
from tests.chaos.planted.start import start


def plant() -> None:
    """Look, write, mark."""
    note = RedeliveryRows.note_copies
    columns = redelivery_rows._ROW.replace("h.sent_at", "now() AS sent_at")
    due = f"SELECT {columns} FROM held_record h WHERE {redelivery_rows._IS_DUE} ORDER BY h.due_at LIMIT :rows"

    def mark_and_note(self: RedeliveryRows, sending: Sending, copies: Mapping[DueRow, int]) -> None:
        moments.reach("between")
        with self._engine.begin() as connection:
            marked = text("UPDATE held_record SET state = 'sent' WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'waiting'")
            connection.execute(marked, {"ids": [row.id for row in copies]})
        note(self, sending, copies)

    redelivery_rows.TAKE = text(due)
    RedeliveryRows.note_copies = mark_and_note  # type: ignore[method-assign]


if __name__ == "__main__":
    start("relay", plant)
