"""Keyset pages: a page begins after the position at which the one before ended, whatever was inserted meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, literal_column, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from shared.adapters.prepared import Plans, planned
from shared.adapters.reading import Reading
from shared.adapters.tables import Base, loaded_columns

MAX_ROWS = 200
_MAX_STATEMENTS = 512
_START = "00000000-0000-0000-0000-000000000000"  # before every id

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a caller asks for: at most `limit` rows after a position (None: from the start)."""

    limit: int = 50
    after: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Rows in order, to be read only; `next` is the position to go on after, None at the end."""

    rows: tuple[Row, ...]
    next: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The columns that a list is ordered by, the last one unique; all of them rise, or all of them fall."""

    columns: tuple[InstrumentedAttribute[Any], ...]
    falling: bool = False

    @property
    def table(self) -> type[Base]:
        """Whose rows are listed."""
        return cast(type[Base], self.columns[-1].class_)

    @property
    def types(self) -> tuple[type, ...]:
        """Python type of each part of a position."""
        return tuple(column.type.python_type for column in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listing:
    """A list that can be asked for: `conditions` by the name of what is asked for, each with a `bindparam` of that name.

    `within`: a table that the rows are joined to, on the first column of the order; None for none. `parents`: conditions of that
    table. `walked`: names of conditions of the rows that no index finds over all parents. `plans`: None leaves it to PostgreSQL.
    """

    order: Order
    conditions: Mapping[str, ColumnElement[bool]]
    within: InstrumentedAttribute[Any] | None = None
    parents: Mapping[str, ColumnElement[bool]] = field(default_factory=dict)
    walked: frozenset[str] = frozenset()
    plans: Plans | None = None


def page(reader: Reading, listing: Listing, wanted: Mapping[str, Any], asked: Slice) -> Page[Any]:
    """One page of the rows for which all that is `wanted` (and not None) holds; blocks. The index that holds filter and order
    makes it cost the same at any depth."""
    limit = max(1, min(asked.limit, MAX_ROWS))
    given = {name: value for name, value in wanted.items() if value is not None}
    # A session gives objects, a reader rows that read like them.
    objects = isinstance(reader, Session)
    statement = statement_of(listing, frozenset(given), after=asked.after is not None, limit=limit, objects=objects)
    values = given | {f"after_{number}": value for number, value in enumerate(asked.after or ())}
    rows = reader.scalars(statement, values).all() if isinstance(reader, Session) else reader.execute(statement, values)
    kept = tuple(rows[:limit])
    return Page(rows=kept, next=_position(listing.order, kept[-1]) if len(rows) > limit else None)


@lru_cache(_MAX_STATEMENTS)
def statement_of(listing: Listing, names: frozenset[str], *, after: bool, limit: int, objects: bool = False) -> Select[Any]:
    """One page of a list, for what is asked by name; its values are `names` and `after_0`, `after_1`, …

    Written once: to build a statement anew costs more than to run it. The limit is part of the text, so that the database
    plans for a page and not for the whole list."""
    if listing.within is not None and not names - listing.parents.keys() - listing.walked:
        return _walk(listing, listing.within, names, limit=limit, objects=objects)
    order = listing.order
    statement: Select[Any] = select(order.table) if objects else select(*loaded_columns(order.table))
    if listing.within is not None:
        statement = statement.join(listing.within.class_, listing.within == order.columns[0])
    for name in sorted(names):
        statement = statement.where({**listing.conditions, **listing.parents}[name])
    if after:
        places = _places(order)
        statement = statement.where(_beyond(order.columns, places, order.falling))
        if listing.within is not None:  # told of the other table too: its index is what the walk begins at
            statement = statement.where(listing.within >= places[0])
    columns = [column.desc() if order.falling else column for column in order.columns]
    return planned(statement.order_by(*columns).limit(literal_column(str(limit + 1))), listing.plans)


def _walk(
    listing: Listing, within: InstrumentedAttribute[Any], names: frozenset[str], *, limit: int, objects: bool
) -> Select[Any]:
    """The same parent by parent, and of each no more than a page: a join would read and sort all rows of a large one for its
    first few. It always goes on after something, `_START` if need be: this makes the index of both the cheapest way."""
    parent, own = listing.order.columns
    after_parent, after_own = _places(listing.order)
    last: ColumnElement[int] = literal_column(str(limit + 1))
    begins = case((within == after_parent, after_own), else_=literal_column(f"'{_START}'::uuid"))
    rows = select(*loaded_columns(listing.order.table)).where(
        parent == within, own > begins, *(listing.conditions[name] for name in sorted(names & listing.walked))
    )
    of_one = rows.order_by(own).limit(last).correlate(within.class_).lateral(listing.order.table.__tablename__)
    found: Any = aliased(listing.order.table, of_one)
    statement: Select[Any] = select(found) if objects else select(*of_one.c)
    statement = statement.select_from(within.class_).join(of_one, true()).where(within >= after_parent)
    for name in sorted(names - listing.walked):
        statement = statement.where(listing.parents[name])
    return statement.order_by(within, getattr(found, own.key)).limit(last)


def _places(order: Order) -> list[Any]:
    return [bindparam(f"after_{number}", _START, type_=column.type) for number, column in enumerate(order.columns)]


def _beyond(columns: Sequence[InstrumentedAttribute[Any]], after: Sequence[Any], falling: bool) -> ColumnElement[bool]:
    # (a, b) beyond (x, y) as `a >= x AND (a > x OR b > y)`: the first part alone is what an index can begin at.
    first, rest = columns[0], columns[1:]
    strictly: ColumnElement[bool] = first < after[0] if falling else first > after[0]
    if not rest:
        return strictly
    reaches = first <= after[0] if falling else first >= after[0]
    return and_(reaches, or_(strictly, _beyond(rest, after[1:], falling)))


def _position(order: Order, row: Any) -> tuple[Any, ...]:
    return tuple(getattr(row, column.key) for column in order.columns)
