"""The router's statements on `channel_mapping`: external keys and the entities (conversation, message) they name
(`alias_rows` has the contacts).

All work inside the transaction of a batch (`router_store`), on rows sorted by key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import psycopg

from shared.adapters.binary_arrays import new_uuids, texts, uuids

FoundMapping = tuple[str, str | None]  # entity id, conversation id of a message
MappingKey = tuple[str, str]  # connector, external key


@dataclass(slots=True)
class MappingInsert:
    """One row of `channel_mapping` to add unless it stands already. `conversation_id` is a message's."""

    connector_id: str
    account_id: str | None
    key: str
    entity_id: str
    conversation_id: str | None = None


_FIND = (
    "SELECT u.n, m.entidade_id::text, m.metadata ->> 'conversation_id'"
    " FROM unnest(%b::uuid[], %b::text[]) WITH ORDINALITY AS u(connector_id, chave, n)"
    " JOIN channel_mapping AS m ON m.connector_id = u.connector_id AND m.chave_externa = u.chave AND m.entidade_type = '{type}'"
)
INSERT = (  # also for the rows of aliases (`alias_rows`)
    "INSERT INTO channel_mapping AS m (id, connector_id, account_id, chave_externa, entidade_type, entidade_id, metadata)"
    " SELECT u.id, u.connector_id, u.account_id, u.chave, '{type}', u.entidade_id, u.metadata::jsonb"
    " FROM unnest(%b::uuid[], %b::uuid[], %b::uuid[], %b::text[], %b::uuid[], %b::text[])"
    "  AS u(id, connector_id, account_id, chave, entidade_id, metadata) ORDER BY u.connector_id, u.chave"
    # locks what stands, and leaves it as it is
    " ON CONFLICT (connector_id, chave_externa, entidade_type) DO UPDATE SET entidade_id = m.entidade_id WHERE false"
)


def find_mappings(cursor: psycopg.Cursor[Any], entity_type: str, keys: Iterable[MappingKey]) -> dict[MappingKey, FoundMapping]:
    """(connector, external key) -> what stands there; absent keys are absent."""
    ordered = sorted(keys)
    if not ordered:
        return {}
    cursor.execute(_FIND.format(type=entity_type), (uuids([key[0] for key in ordered]), texts([key[1] for key in ordered])))
    return {ordered[number - 1]: (entity_id, conversation_id) for number, entity_id, conversation_id in cursor.fetchall()}


def find_messages_by_id(cursor: psycopg.Cursor[Any], keys: Iterable[MappingKey]) -> dict[MappingKey, FoundMapping]:
    """(connector, message id) -> (message id, conversation id): the other side of the mapping, for callback data."""
    ordered = sorted(keys)
    if not ordered:
        return {}
    cursor.execute(
        "SELECT DISTINCT ON (m.connector_id, m.entidade_id)"
        "  m.connector_id::text, m.entidade_id::text, m.metadata ->> 'conversation_id'"
        " FROM unnest(%b::uuid[], %b::uuid[]) AS u(connector_id, entidade_id)"
        " JOIN channel_mapping AS m ON m.entidade_id = u.entidade_id AND m.connector_id = u.connector_id"
        "  AND m.entidade_type = 'message' ORDER BY m.connector_id, m.entidade_id, m.id",
        (uuids([key[0] for key in ordered]), uuids([key[1] for key in ordered])),
    )
    return {(row[0], row[1]): (row[1], row[2]) for row in cursor.fetchall()}


def insert_mappings(
    cursor: psycopg.Cursor[Any], entity_type: str, rows: Sequence[MappingInsert]
) -> dict[MappingKey, FoundMapping]:
    """Add rows; where a key stands already, the older entity wins. Returns what stands for each key afterwards."""
    if not rows:
        return {}
    ordered = sorted(rows, key=attrgetter("connector_id", "key"))
    cursor.execute(
        INSERT.format(type=entity_type),
        (
            new_uuids(len(ordered)),
            uuids([row.connector_id for row in ordered]),
            uuids([row.account_id for row in ordered]),
            texts([row.key for row in ordered]),
            uuids([row.entity_id for row in ordered]),
            texts([_metadata(entity_type, row) for row in ordered]),
        ),
    )
    standing: dict[MappingKey, FoundMapping] = {
        (row.connector_id, row.key): (row.entity_id, row.conversation_id) for row in ordered
    }
    if cursor.rowcount != len(ordered):
        standing |= find_mappings(cursor, entity_type, standing)
    return standing


def _metadata(entity_type: str, row: MappingInsert) -> str:
    """JSON of one id of our own (nothing to escape), without an encoder built for each row."""
    if entity_type == "message":
        return f'{{"conversation_id":"{row.conversation_id}"}}' if row.conversation_id is not None else '{"conversation_id":null}'
    return "{}"
