"""Reads a live database's catalog in the form of `spec_tables.yaml`."""

from __future__ import annotations

from typing import Any

import psycopg

Columns = dict[str, dict[str, Any]]

_TYPES = {
    "uuid": "uuid",
    "character varying": "string",
    "text": "text",
    "jsonb": "json",
    "boolean": "bool",
    "integer": "int",
    "date": "date",
    "timestamp with time zone": "time",
}


def live_tables(connection: psycopg.Connection[Any], names: tuple[str, ...]) -> dict[str, Columns]:
    """Columns of the named tables in their order, with what a single-column index or key says about each."""
    tables: dict[str, Columns] = {name: {} for name in names}
    for table, column, kind, nullable in connection.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relname = ANY(%s) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum",
        (list(names),),
    ):
        tables[table][column] = {"type": _TYPES.get(kind, kind)} | ({"empty": True} if nullable else {})
    for table, column, target in connection.execute(
        "SELECT c.relname, a.attname, f.relname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
        " JOIN pg_class f ON f.oid = k.confrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]"
        " WHERE k.contype = 'f' AND c.relname = ANY(%s)",
        (list(names),),
    ):
        assert tables[table][column]["type"] == "uuid"
        tables[table][column]["type"] = f"-> {target}"
    for table, columns, unique, primary, _ in _indexes(connection, names):
        if len(columns) == 1 and (primary or not unique):
            tables[table][columns[0]]["index"] = "pk" if primary else "idx"
        elif unique and columns[:1] == ["connector_id"] and len(columns) == 2 and table == "channel_account":
            tables[table][columns[1]]["index"] = "unique per connector"
    return tables


def live_unique(connection: psycopg.Connection[Any], names: tuple[str, ...]) -> set[str]:
    """Every unique index that is not a primary key, and every other index over several columns."""
    return {
        f"{table} ({', '.join(columns)})" + (" nulls not distinct" if nulls_equal else "") + ("" if unique else " not unique")
        for table, columns, unique, primary, nulls_equal in _indexes(connection, names)
        if not primary and (unique or len(columns) > 1)
    }


def live_enums(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Enum types with their values in order."""
    enums: dict[str, list[str]] = {}
    for name, value in connection.execute(
        "SELECT t.typname, e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid ORDER BY t.typname, e.enumsortorder"
    ):
        enums.setdefault(name, []).append(value)
    return enums


def _indexes(connection: psycopg.Connection[Any], names: tuple[str, ...]) -> list[tuple[str, list[str], bool, bool, bool]]:
    return connection.execute(
        "SELECT c.relname, array_agg(a.attname::text ORDER BY k.place), i.indisunique, i.indisprimary, i.indnullsnotdistinct"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(number, place)"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number WHERE c.relname = ANY(%s)"
        " GROUP BY i.indexrelid, c.relname, i.indisunique, i.indisprimary, i.indnullsnotdistinct",
        (list(names),),
    ).fetchall()
