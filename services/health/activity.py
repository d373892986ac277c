"""What the books say of each account: when items came in. Counted with the offset of the record, so that each counts once."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Engine, text

from services.health.writing import translated
from shared.adapters.consumer_offsets import advance_offset, begin_offset
from shared.adapters.database import unit_of_work
from shared.domain.records import AuditRecorded

CONSUMER = "health"
_DAYS = 15
_ADD = text(
    "INSERT INTO account_activity AS a (account_id, day, hours)"
    " SELECT g.account_id, g.day, array_agg(CASE WHEN h = g.hour THEN g.items ELSE 0 END ORDER BY h)"
    " FROM (SELECT unnest(CAST(:accounts AS uuid[])) AS account_id, unnest(CAST(:days AS date[])) AS day,"
    "  unnest(CAST(:hours AS int[])) AS hour, unnest(CAST(:items AS bigint[])) AS items) g"
    " JOIN channel_account c ON c.id = g.account_id CROSS JOIN generate_series(0, 23) AS h"
    " GROUP BY g.account_id, g.day, g.hour, g.items ORDER BY g.account_id, g.day"
    " ON CONFLICT (account_id, day) DO UPDATE SET hours ="
    "  ARRAY(SELECT x + y FROM unnest(a.hours, excluded.hours) WITH ORDINALITY AS u (x, y, n) ORDER BY n)"
)
_DAYS_OF = text(
    "SELECT account_id::text, day, hours FROM account_activity WHERE account_id = ANY(CAST(:ids AS uuid[])) AND day >= :first"
)
_FORGET = text("DELETE FROM account_activity WHERE day < :first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One record of the books, by its place in the topic."""

    topic: str
    partition: int
    offset: int
    record: AuditRecorded | None  # None: it could not be read


class Activity:
    """Safe for threads; blocks. Writes as the role `channels_worker`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, books: Sequence[Book], topic_id: str) -> list[Book]:
        """Count what was not counted yet; returns those. Raises Unavailable."""
        fresh: list[Book] = []
        with translated(), unit_of_work(self._engine) as session:
            for (topic, partition), run in groupby(sorted(books, key=_place), key=lambda one: (one.topic, one.partition)):
                start = begin_offset(session, CONSUMER, topic, partition, topic_id)
                news = [one for one in run if one.offset >= start]
                if news:
                    advance_offset(session, CONSUMER, topic, partition, topic_id, start=start, end=news[-1].offset + 1)
                    fresh += news
            counts = _counts(fresh)
            for hour in sorted({hour for *_, hour in counts}):  # one row of an account and day at most in each statement
                lines = sorted((account, day, items) for (account, day, at), items in counts.items() if at == hour)
                session.execute(
                    _ADD,
                    {
                        "accounts": [account for account, _, _ in lines],
                        "days": [day for _, day, _ in lines],
                        "hours": [hour] * len(lines),
                        "items": [items for *_, items in lines],
                    },
                )
            session.commit()
        return fresh

    def days(self, account_ids: Sequence[str], now_ms: int) -> dict[str, dict[dt.date, list[int]]]:
        """Items per hour of the last two weeks, by account and day. Raises Unavailable."""
        found: dict[str, dict[dt.date, list[int]]] = {}
        with translated(), unit_of_work(self._engine) as session:
            for row in session.execute(_DAYS_OF, {"ids": list(account_ids), "first": _first_day(now_ms)}):
                found.setdefault(row.account_id, {})[row.day] = row.hours
        return found

    def forget(self, now_ms: int) -> None:
        """Delete the days that nobody asks for any more. Raises Unavailable."""
        with translated(), unit_of_work(self._engine) as session:
            session.execute(_FORGET, {"first": _first_day(now_ms)})
            session.commit()


def _place(book: Book) -> tuple[str, int, int]:
    return book.topic, book.partition, book.offset


def _counts(books: Sequence[Book]) -> Counter[tuple[str, dt.date, int]]:
    counts: Counter[tuple[str, dt.date, int]] = Counter()
    for book in books:
        for line in book.record.counts if book.record is not None else ():
            if line.account_id is not None and line.count > 0:
                at = dt.datetime.fromtimestamp(line.hour_ms / 1000, dt.UTC)
                counts[line.account_id, at.date(), at.hour] += line.count
    return counts


def _first_day(now_ms: int) -> dt.date:
    return (dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC) - dt.timedelta(days=_DAYS)).date()
