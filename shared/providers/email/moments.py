"""Moments as JSON of providers has them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso_ms(value: str | None) -> int | None:
    """An ISO 8601 moment (also with seven digits of fraction) in ms since the epoch; without a zone it is UTC; else None."""
    if not value or len(value) > 64:
        return None
    try:
        moment = datetime.fromisoformat(value)  # beyond six digits of fraction are cut off
        shown = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        found = int(shown.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return found if 631_152_000_000 <= found < 4_102_444_800_000 else None
