"""docs/GLOSSARY.md names every table, column and enum value of the owner's text."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Enum

from shared.adapters.tables import Base

_NINE = "channel_"


def test_the_glossary_is_complete() -> None:
    named = set(re.findall(r"`(\w+)`", (Path(__file__).parents[2] / "docs" / "GLOSSARY.md").read_text()))
    wanted: set[str] = set()
    for table in Base.metadata.tables.values():
        if table.name.startswith(_NINE):
            wanted |= {table.name, *table.columns.keys()}
            enums = [column.type for column in table.columns if isinstance(column.type, Enum)]
            wanted |= {value for enum in enums for value in (str(enum.name), *enum.enums)}
    assert len(wanted) > 80
    assert wanted - named == set()
