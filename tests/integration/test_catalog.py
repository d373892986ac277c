"""Requirement 9: the nine tables letter by letter. The live catalog against our form of the owner's tables, always, and
against the owner's own text where it lies beside the repository; the mappings against the migrated catalog."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from shared.adapters.database import create_engine_for
from shared.adapters.migrations import upgrade
from shared.adapters.tables import Base
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.catalog import Columns, live_enums, live_tables, live_unique
from tests.integration.rows import connect

_EXPECTED: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "spec_tables.yaml").read_text())
_NINE = tuple(_EXPECTED["tables"])
_SPEC = Path(__file__).parents[3] / "shared" / "spec" / "channels-module.md"

_SPEC_TYPES = {
    "UUID": "uuid",
    "String": "string",
    "Text": "text",
    "JSONB": "json",
    "Bool": "bool",
    "Integer": "int",
    "Date": "date",
    "DateTime": "time",
}
_SPEC_INDEX = {"PK": "pk", "IDX": "idx", "Único (por connector)": "unique per connector"}


def expected_with_additions() -> dict[str, Columns]:
    tables: dict[str, Columns] = copy.deepcopy(_EXPECTED["tables"])
    for table, columns in _EXPECTED["added_columns"].items():
        tables[table] |= columns
    return tables


def owners_tables(text: str) -> tuple[dict[str, Columns], dict[tuple[str, str], list[str]]]:
    """The owner's Markdown: tables in our form, with `enum` as type, and the values of each enum column."""
    tables: dict[str, Columns] = {}
    values: dict[tuple[str, str], list[str]] = {}
    for section in re.split(r"^### Entidade ", text, flags=re.M)[1:]:
        table = re.match(r"`(\w+)`", section)
        assert table is not None
        columns = tables.setdefault(table[1], {})
        for name, *cells in re.findall(r"^\| `(\w+)` \|(.+?)\|(.+?)\|(.+?)\|", section, flags=re.M):
            kind, needed, index = (cell.strip() for cell in cells)
            assert needed in {"Sim", "Não"}
            enum = re.fullmatch(r"Enum\((.+)\)", kind)
            if enum:
                values[table[1], name] = [value.strip() for value in enum[1].split(",")]
            type_ = "enum" if enum else kind.replace("FK ->", "->") if kind.startswith("FK") else _SPEC_TYPES[kind]
            columns[name] = {"type": type_} | ({"empty": True} if needed == "Não" else {})
            columns[name] |= {"index": _SPEC_INDEX[index]} if index else {}
    return tables, values


@pytest.mark.req(9, 11, 64)
def test_the_live_catalog_equals_our_form_of_the_owners_tables(database: DatabaseUnderTest) -> None:
    with connect(database.owner_url) as connection:
        assert live_tables(connection, _NINE) == expected_with_additions()
        assert live_enums(connection) == _EXPECTED["enums"]
        assert live_unique(connection, _NINE) == set(_EXPECTED["unique"])


@pytest.mark.req(9)
def test_the_live_catalog_equals_the_owners_own_text(database: DatabaseUnderTest) -> None:
    if not _SPEC.exists():
        pytest.skip(f"LOUD: the owner's text {_SPEC.name} is not beside this clone; only our own form of it was compared")
    text = _SPEC.read_text()
    tables, values = owners_tables(text)
    assert tuple(tables) == _NINE
    assert sum(len(columns) for columns in tables.values()) == text.count("\n| `")  # no line of theirs was missed
    with connect(database.owner_url) as connection:
        live, enums = live_tables(connection, _NINE), live_enums(connection)
    for table, column in values:
        assert enums[live[table][column]["type"]] == values[table, column]
        live[table][column]["type"] = "enum"
    for table, columns in _EXPECTED["added_columns"].items():
        for column in columns:
            del live[table][column]
    assert live == tables


@pytest.mark.req(9)
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE channel_token ALTER COLUMN valor_encrypted TYPE varchar",
        "ALTER TABLE channel_account ALTER COLUMN identidade DROP NOT NULL",
        "ALTER TABLE channel_connector ADD COLUMN extra text",
        "DROP INDEX ix_channel_mapping_entidade_id",
        "CREATE INDEX ON channel_webhook (url)",
    ],
)
def test_the_comparison_finds_one_wrong_letter(database: DatabaseUnderTest, change: str) -> None:
    with connect(database.owner_url) as connection:
        connection.execute(change)
        assert live_tables(connection, _NINE) != expected_with_additions()


def test_the_mappings_equal_the_migrated_catalog(database: DatabaseUnderTest) -> None:
    engine = create_engine_for(database.owner_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(database: DatabaseUnderTest) -> None:
    before, after = upgrade(database.owner_url)
    assert before == after


@pytest.mark.req(39)
def test_last_day_of_checks_uses_its_index(database: DatabaseUnderTest) -> None:
    with connect(database.credential_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT 1 FROM channel_health_check")
    with connect(database.api_url) as connection:
        connection.execute("SET enable_seqscan = off")  # an empty table would be read whole
        plan = connection.execute(
            "EXPLAIN SELECT * FROM channel_health_check WHERE executado_em > now() - interval '24 hours'"
        ).fetchall()
    assert any("ix_channel_health_check_executado_em" in line for (line,) in plan)
