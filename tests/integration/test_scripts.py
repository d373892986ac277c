"""What the scripts of the migrations say is what the database holds, letter by letter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from shared.adapters.clock import new_uuid7
from shared.adapters.database import create_engine_for
from shared.adapters.migrations import migrations_directory, run_script
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import connect

_FUNCTION = re.compile(r"^CREATE (?:OR REPLACE )?FUNCTION (\w+)\(.*?\bAS \$\$(.*?)\$\$;$", re.M | re.S)
_HEADS = re.compile(r"^\s*CREATE (?:OR REPLACE )?FUNCTION\b", re.M | re.I)
_MOVES_ON = "held_record_moves_on"
_AS_RELEASED = "a held record does not go from $1 to $2"  # what databases held that were migrated before 0019


@pytest.fixture
def rows(database: DatabaseUnderTest) -> Iterator[psycopg.Connection[Any]]:
    with connect(database.owner_url) as connection:
        yield connection


@pytest.fixture
def owner(database: DatabaseUnderTest) -> Iterator[Connection]:
    """As Alembic hands one to a migration."""
    engine = create_engine_for(database.owner_url, pool_size=1)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def written() -> dict[str, str]:
    """The last body of each function that the scripts create."""
    bodies: dict[str, str] = {}
    for path in sorted((migrations_directory() / "sql").glob("*.sql")):
        script = path.read_text(encoding="utf-8")
        found = _FUNCTION.findall(script)
        assert len(found) == len(_HEADS.findall(script)), f"{path.name} creates a function in a form that this test does not read"
        bodies |= dict(found)
    return bodies


def held(rows: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    return rows.execute("SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace").fetchall()


def a_held_record(rows: psycopg.Connection[Any]) -> str:
    record = {name: new_uuid7() for name in ("id", "connector_id", "account_id", "conversation_id", "epoch")}
    rows.execute(
        "INSERT INTO held_record (id, connector_id, account_id, conversation_id, epoch, raw_partition, raw_offset, item, reason,"
        " blocks, due_at, expires_at, first_arrival_at) VALUES (%(id)s, %(connector_id)s, %(account_id)s, %(conversation_id)s,"
        " %(epoch)s, 0, 0, '/0', 'paused', true, now(), now(), now())",
        record,
    )
    return record["id"]


def refused(rows: psycopg.Connection[Any], record: str, state: str) -> str:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        rows.execute("UPDATE held_record SET state = %s WHERE id = %s", (state, record))
    assert caught.value.diag.constraint_name == "held_state"
    return str(caught.value.diag.message_primary)


def test_every_function_is_held_as_it_is_written(rows: psycopg.Connection[Any]) -> None:
    functions = held(rows)
    assert len(functions) > 15
    assert sorted(functions) == sorted(written().items())


def test_what_is_refused_names_both_states(rows: psycopg.Connection[Any]) -> None:
    record = a_held_record(rows)
    assert refused(rows, record, "done") == "a held record does not go from waiting to done"
    for state in ("sent", "done"):
        rows.execute("UPDATE held_record SET state = %s WHERE id = %s", (state, record))
    assert refused(rows, record, "waiting") == "a held record does not go from done to waiting"
    assert refused(rows, record, "done") == "a held record does not go from done to done"


def test_a_database_of_the_releases_before_is_mended(rows: psycopg.Connection[Any], owner: Connection) -> None:
    body = written()[_MOVES_ON].replace("%s to %s", "$1 to $2")
    assert _AS_RELEASED in body
    options = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp"
    rows.execute(f"CREATE OR REPLACE FUNCTION {_MOVES_ON}() RETURNS trigger {options} AS $${body}$$")
    record = a_held_record(rows)
    assert refused(rows, record, "done") == _AS_RELEASED
    about = "SELECT prosecdef, proconfig::text, proacl::text, proowner FROM pg_proc WHERE proname = %s"
    before = rows.execute(about, (_MOVES_ON,)).fetchall()
    run_script(owner, "0019_function_texts")
    owner.commit()
    assert refused(rows, record, "done") == "a held record does not go from waiting to done"
    assert sorted(held(rows)) == sorted(written().items())
    assert rows.execute(about, (_MOVES_ON,)).fetchall() == before


@pytest.mark.parametrize("words", ["%s of %s, 100%, %% %(name)s %I", ":name ::text $1 ? {0} \\\\"])
def test_a_script_reaches_the_database_letter_by_letter(
    owner: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    (tmp_path / "sql").mkdir()
    body = f"BEGIN RETURN '{words}'; END"
    script = f"-- {words}\nCREATE FUNCTION said() RETURNS text LANGUAGE plpgsql AS $$ {body} $$;\nSELECT 1;\n"
    (tmp_path / "sql" / "words.sql").write_text(script)
    monkeypatch.setattr("shared.adapters.migrations.migrations_directory", lambda: tmp_path)
    run_script(owner, "words")
    assert owner.execute(text("SELECT said()")).scalar() == words
