"""Runs Alembic over `schemas/migrations`, and the statements that make roles and databases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from shared.domain.errors import Unavailable

OWNER = "channels_owner"
ROLES = (OWNER, "channels_api", "channels_worker", "channels_credential")

_LOCK = 4_737_812_001  # an arbitrary number that stands for "somebody sets up the database"
# Of a table: shorter than PostgreSQL waits before it looks for a deadlock (1 s), so that it is the migration that gives way.
_HELD_TABLE_MS = 500
_PATIENCE_SECONDS, _PAUSE_SECONDS = 60.0, 1.0
_HELD = frozenset({"55P03", "40P01"})  # a lock not had in time, a deadlock


def migrations_directory() -> Path:
    """Where the migrations lie."""
    return Path(str(files("schemas"))) / "migrations"


def url_for(superuser_url: str, *, role: str, database: str) -> str:
    """The URL of one role, at the address of another URL. It holds no password."""
    base = make_url(superuser_url)
    url = URL.create("postgresql+psycopg", username=role, host=base.host, port=base.port, database=database, query=base.query)
    return url.render_as_string(hide_password=False)


@contextmanager
def installing(superuser_url: str) -> Iterator[Connection]:
    """A superuser's connection in autocommit; holds the lock that makes two installers go one after the other."""
    engine = create_engine(make_url(superuser_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        yield connection  # the lock ends with the connection


def create_roles(connection: Connection) -> list[str]:
    """Create the roles that are missing (login, no password, no other right); returns their names."""
    present = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
    missing = [role for role in ROLES if role not in present]
    for role in missing:
        connection.execute(text(f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT"))
    return missing


def create_database(connection: Connection, database: str, template: str | None = None) -> bool:
    """Create the database for its owner unless it stands (True = created); only the four roles may connect to it."""
    quoted = connection.dialect.identifier_preparer.quote(database)
    found = connection.execute(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": database}).first()
    if found is None:
        source = f" TEMPLATE {connection.dialect.identifier_preparer.quote(template)}" if template else ""
        connection.execute(text(f"CREATE DATABASE {quoted} OWNER {OWNER}{source}"))
    connection.execute(text(f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC"))
    connection.execute(text(f"GRANT CONNECT ON DATABASE {quoted} TO {', '.join(ROLES)}"))
    return found is None


def upgrade(url: str) -> tuple[str | None, str]:
    """Run the missing migrations, all in one transaction; returns the revision before and after.

    `url` is the owner's, or that of a superuser, who becomes the owner for it: what is created is the owner's. A table that is in
    use is waited for only briefly, since whoever wants it next waits behind the migration: all is undone and tried again, for
    a minute. Raises Unavailable then, DBAPIError.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return _upgrade_once(url)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in _HELD:
                raise
            if time.monotonic() > until:
                raise Unavailable(
                    "a transaction holds a table that a migration changes; nothing was changed."
                    " End it (its process is in pg_stat_activity), and try again"
                ) from error
        time.sleep(_PAUSE_SECONDS)


def _upgrade_once(url: str) -> tuple[str | None, str]:
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()))
    head = ScriptDirectory.from_config(config).get_current_head()
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {OWNER}"))
        # Held to the end of the transaction: a second process waits here and then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = {_HELD_TABLE_MS}"))
        before = MigrationContext.configure(connection).get_current_revision()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, str(head)


def run_script(connection: Connection, name: str) -> None:
    """Run one of the migrations' SQL files, letter by letter; `name` is without its suffix. Every migration goes through this."""
    script = (migrations_directory() / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    # With an empty set of parameters, SQLAlchemy's default, the driver looks for placeholders of its own: `%s` became `$1`.
    connection.exec_driver_sql(script, execution_options={"no_parameters": True})
