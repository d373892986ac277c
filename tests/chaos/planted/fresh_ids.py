"""Contacts and conversations get new ids in each batch; nothing is looked up in `channel_mapping`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from shared.adapters import alias_rows, mapping_rows
from shared.adapters.mapping_rows import FoundMapping, MappingInsert
from tests.chaos.planted.start import start


def plant() -> None:
    """What is given in memory stands."""

    def find(_cursor: Any, _entity_type: str, _keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], FoundMapping]:
        return {}

    def insert(_cursor: Any, _entity_type: str, rows: Sequence[MappingInsert]) -> dict[tuple[str, str], FoundMapping]:
        return {(row.connector_id, row.key): (row.entity_id, None) for row in rows}

    alias_rows.find_aliases = lambda *_, **__: {}
    alias_rows.insert_aliases = lambda *_: True

    def nobody(_cursor: Any, _keys: Any, **_more: Any) -> dict[tuple[str, str], Any]:
        return {}

    def all_new(_cursor: Any, _rows: Any) -> bool:
        return True

    mapping_rows.find_mappings = find
    mapping_rows.insert_mappings = insert
    alias_rows.find_aliases = nobody
    alias_rows.insert_aliases = all_new


if __name__ == "__main__":
    start("router", plant)
