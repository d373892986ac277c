"""Keyset pages: a page begins after the position at which the one before ended, whatever was inserted meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.adapters.tables import Base

MAX_ROWS = 200

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a caller asks for: at most `limit` rows after a position (None: from the start)."""

    limit: int = 50
    after: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Rows in order; `next` is the position to go on after, None at the end."""

    rows: tuple[Row, ...]
    next: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The columns that a list is ordered by, the last one unique; all of them rise, or all of them fall."""

    columns: tuple[InstrumentedAttribute[Any], ...]
    falling: bool = False

    @property
    def types(self) -> tuple[type, ...]:
        """Python type of each part of a position."""
        return tuple(column.type.python_type for column in self.columns)


def page(session: Session, statement: Select[Row], order: Order, asked: Slice) -> Page[Row]:
    """Run a statement for one page; blocks. The index that holds filter and order makes it cost the same at any depth."""
    limit = max(1, min(asked.limit, MAX_ROWS))
    if asked.after is not None:
        statement = statement.where(_beyond(order.columns, asked.after, order.falling))
    columns = [column.desc() if order.falling else column for column in order.columns]
    rows = session.scalars(statement.order_by(*columns).limit(limit + 1)).all()
    kept = tuple(rows[:limit])
    return Page(rows=kept, next=_position(order, kept[-1]) if len(rows) > limit else None)


def _beyond(columns: Sequence[InstrumentedAttribute[Any]], after: tuple[Any, ...], falling: bool) -> ColumnElement[bool]:
    # (a, b) beyond (x, y) as `a >= x AND (a > x OR b > y)`: the first part alone is what an index can begin at.
    first, rest = columns[0], columns[1:]
    strictly: ColumnElement[bool] = first < after[0] if falling else first > after[0]
    if not rest:
        return strictly
    reaches = first <= after[0] if falling else first >= after[0]
    return and_(reaches, or_(strictly, _beyond(rest, after[1:], falling)))


def _position(order: Order, row: Base) -> tuple[Any, ...]:
    return tuple(getattr(row, column.key) for column in order.columns)
