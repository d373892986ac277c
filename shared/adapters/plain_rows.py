"""Rows of the mappings, read and written by statements that are written once per table.

What a session does for itself (a statement built for each flush, results taken apart by loaders) costs several times what
PostgreSQL takes for one row. A `PipelinedSession` gets its objects from plain rows here, and its changes wait for its commit;
any other session loads and flushes as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import Column, Enum, Insert, Update, bindparam, insert, inspect, update
from sqlalchemy.orm import Mapper, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from shared.adapters.pipelined_work import PipelinedSession
from shared.adapters.tables import Base, stored_in

Row = TypeVar("Row", bound=Base)
_ID = "row_id"


@cache
def is_whole(table: type[Base]) -> bool:
    """Whether objects of a table have one id, and no columns that are loaded only where they are named."""
    mapper = _mapper(table)
    return len(mapper.primary_key) == 1 and not any(one.deferred for one in mapper.column_attrs)


def adopt(session: Session, table: type[Row], plain: Any) -> Row:
    """The session's object of what was found, with the values that were found; `plain` has the attributes of `loaded_columns`."""
    mapper = _mapper(table)
    known = session.identity_map.get(mapper.identity_key_from_primary_key((plain.id,)))
    row = cast(Row, mapper.class_manager.new_instance() if known is None else known)
    for name, of in _attributes(table):
        value = getattr(plain, name)
        set_committed_value(row, name, value if of is None or value is None else of(value))
    if known is None:
        make_transient_to_detached(row)
        session.add(row)
    return row


def write_changes(session: Session, row: Base, columns: Sequence[str]) -> None:
    """Write these columns of a row as they are now. By a `PipelinedSession` at its commit at the latest."""
    if not isinstance(session, PipelinedSession):
        session.flush()
        return
    own = _own_columns(type(row))
    values = {name: getattr(row, own[name]) for name in columns}
    session.send_later(_change(type(row), tuple(columns)), values | {_ID: _id_of(row)})
    _is_written(session, row)


def write_new(session: Session, row: Base) -> None:
    """Insert a row. By a `PipelinedSession` at its commit at the latest, where nothing is left to the database to fill in."""
    values = {column: getattr(row, attribute) for column, attribute in _own_columns(type(row)).items()}
    if not isinstance(session, PipelinedSession) or not _is_filled_by_us(type(row), values):
        session.add(row)
        session.flush()
        return
    session.send_later(_addition(type(row)), values)
    for column, attribute in _own_columns(type(row)).items():
        set_committed_value(row, attribute, values[column])
    make_transient_to_detached(row)
    session.add(row)
    _is_written(session, row)


def _is_written(session: Session, row: Base) -> None:
    # What a flush says at its end. Else the next one would look for changes in vain, for longer than the row was written.
    state = instance_state(row)
    state._commit_all(state.dict, session.identity_map)


def _id_of(row: Base) -> Any:
    (found,) = inspect(row).identity or (None,)
    return found


def _is_filled_by_us(table: type[Base], values: Mapping[str, Any]) -> bool:
    columns = stored_in(table).columns
    (key,) = _mapper(table).primary_key
    return values[key.name] is not None and all(column.server_default is None for column in columns)


@cache
def _own_columns(table: type[Base]) -> dict[str, str]:
    # Names of the columns -> names of their attributes.
    columns = ((one.columns[0], one.key) for one in _mapper(table).column_attrs)
    return {column.name: key for column, key in columns if isinstance(column, Column)}


@cache
def _change(table: type[Base], columns: tuple[str, ...]) -> Update:
    local = stored_in(table)
    (key,) = _mapper(table).primary_key
    return update(local).where(key == bindparam(_ID)).values({local.c[name]: bindparam(name) for name in columns})


@cache
def _addition(table: type[Base]) -> Insert:
    local = stored_in(table)
    return insert(local).values({column: bindparam(column.name) for column in local.columns}).inline()


@cache
def _attributes(table: type[Base]) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    # A plain row has the values of enums; its object has their members.
    return tuple((one.key, _member_of(one.columns[0].type)) for one in _mapper(table).column_attrs)


def _member_of(kind: Any) -> Callable[[Any], Any] | None:
    return kind.enum_class if isinstance(kind, Enum) else None


@cache
def _mapper(table: type[Base]) -> Mapper[Any]:
    return inspect(table)
