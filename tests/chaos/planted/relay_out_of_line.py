"""The relay sends rows that stand behind others, and before they are due."""

from __future__ import annotations

from sqlalchemy import text

from shared.adapters import redelivery_rows
from tests.chaos.planted.start import start


def plant() -> None:
    """Every now and then one of those that queue."""
    early = "h.state = 'waiting' AND (h.due_at <= now() OR h.reason = 'queued' AND random() < 0.02)"
    redelivery_rows.TAKE = text(redelivery_rows.TAKE.text.replace(redelivery_rows._IS_DUE, early))


if __name__ == "__main__":
    start("relay", plant)
