"""The router's statements on the rows of `channel_mapping` that are a person's aliases: whose they are, since when, until when.

`metadata` of such a row: `kind`, `since`, `by` (position of the item that added it), and where it happened `moves` (retired,
back, retired …: time and position of each), `until` (while it is retired), `collides` (older contact -> position that found it).
Times are ISO 8601, UTC; positions are `epoch/partition/offset/item`. No names and nothing that a person wrote.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import psycopg

from shared.adapters.binary_arrays import new_uuids, texts, uuids
from shared.adapters.mapping_rows import INSERT, MappingKey

FoundAlias = tuple[str, str | None, str | None]  # contact id, by whom, JSON of `moves` and `collides` where there is any
ContactPair = tuple[str, str, str]  # connector, older contact, younger contact


@dataclass(slots=True)
class AliasWrite:
    """One row as it is to stand. `metadata` is JSON: all of it for a new row, the changed parts for one that stands."""

    connector_id: str
    key: str
    contact_id: str
    metadata: str


_FIND = (
    "SELECT u.n, m.entidade_id::text, m.metadata ->> 'by',"
    "  CASE WHEN m.metadata ?| '{{moves,collides}}' THEN (m.metadata - '{{kind,since,by,until}}'::text[])::text END"
    " FROM unnest(%b::uuid[], %b::text[]) WITH ORDINALITY AS u(connector_id, chave, n)"
    " JOIN channel_mapping AS m ON m.connector_id = u.connector_id AND m.chave_externa = u.chave"
    "  AND m.entidade_type = 'contact'{lock}"
)
_LOCK = " ORDER BY m.connector_id, m.chave_externa FOR UPDATE OF m"


def find_aliases(
    cursor: psycopg.Cursor[Any], keys: Collection[MappingKey], *, lock: bool = False
) -> dict[MappingKey, FoundAlias]:
    """What stands for each key; absent ones are absent. `lock` keeps the rows from others until the end of the transaction."""
    if not keys:
        return {}
    ordered = sorted(keys)
    statement = _FIND.format(lock=_LOCK if lock else "")
    cursor.execute(statement, (uuids([key[0] for key in ordered]), texts([key[1] for key in ordered])))
    return {ordered[row[0] - 1]: (row[1], row[2], row[3]) for row in cursor.fetchall()}


def insert_aliases(cursor: psycopg.Cursor[Any], rows: Sequence[AliasWrite]) -> bool:
    """Add rows; where a key stands already its row stays, locked. Whether all of them are new."""
    if not rows:
        return True
    ordered = sorted(rows, key=attrgetter("connector_id", "key"))
    cursor.execute(
        INSERT.format(type="contact"),
        (
            new_uuids(len(ordered)),
            uuids([row.connector_id for row in ordered]),
            uuids([None for _ in ordered]),
            texts([row.key for row in ordered]),
            uuids([row.contact_id for row in ordered]),
            texts([row.metadata for row in ordered]),
        ),
    )
    return cursor.rowcount == len(ordered)


def update_aliases(cursor: psycopg.Cursor[Any], rows: Sequence[AliasWrite]) -> None:
    """Write contact and metadata of rows that stand: `until` goes unless it is given anew, the other keys stay unless given."""
    if not rows:
        return
    ordered = sorted(rows, key=attrgetter("connector_id", "key"))
    cursor.execute(
        "UPDATE channel_mapping AS m SET entidade_id = u.entidade_id,"
        "  metadata = (coalesce(m.metadata, '{}') - 'until') || u.metadata::jsonb"
        " FROM unnest(%b::uuid[], %b::text[], %b::uuid[], %b::text[]) AS u(connector_id, chave, entidade_id, metadata)"
        " WHERE m.connector_id = u.connector_id AND m.chave_externa = u.chave AND m.entidade_type = 'contact'",
        (
            uuids([row.connector_id for row in ordered]),
            texts([row.key for row in ordered]),
            uuids([row.contact_id for row in ordered]),
            texts([row.metadata for row in ordered]),
        ),
    )


def find_collisions(cursor: psycopg.Cursor[Any], pairs: Iterable[ContactPair]) -> dict[ContactPair, str]:
    """Who found first that the two contacts of a pair may be one person; locks the rows of the younger one."""
    wanted = set(pairs)
    if not wanted:
        return {}
    contacts = sorted({(connector, younger) for connector, _, younger in wanted})
    cursor.execute(
        "SELECT m.connector_id::text, m.entidade_id::text, m.metadata -> 'collides'"
        " FROM unnest(%b::uuid[], %b::uuid[]) AS u(connector_id, entidade_id)"
        " JOIN channel_mapping AS m ON m.entidade_id = u.entidade_id AND m.connector_id = u.connector_id"
        "  AND m.entidade_type = 'contact' ORDER BY m.connector_id, m.chave_externa FOR UPDATE OF m",
        (uuids([one[0] for one in contacts]), uuids([one[1] for one in contacts])),
    )
    found = {
        (connector, older, younger): by
        for connector, younger, collides in cursor.fetchall()
        for older, by in (collides or {}).items()
    }
    return {pair: found[pair] for pair in wanted & found.keys()}
