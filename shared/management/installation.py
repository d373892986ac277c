"""Makes a database ready: roles, the database itself, its schema. Everything may be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from shared.adapters.database import DatabaseFault, classify
from shared.adapters.migrations import OWNER, create_database, create_roles, installing, upgrade, url_for
from shared.domain.errors import ConfigError, Unavailable
from shared.management.rules import first_line

_SETTINGS = {
    "database_owner_url": OWNER,
    "database_api_url": "channels_api",
    "database_worker_url": "channels_worker",
    "database_credential_url": "channels_credential",
}


def prepare_database(superuser_url: str, database: str) -> dict[str, str]:
    """Create what is missing of roles and database and bring the schema up to date; blocks until it is done.

    Raises Unavailable, or ConfigError where the given role may not do it.

    Returns the settings that name one URL per role. Roles are made without a password: the embedded server trusts its
    socket; elsewhere the administrator gives them one. Several callers at once go one after the other.
    """
    with _told(), installing(superuser_url) as connection:
        create_roles(connection)
        create_database(connection, database)
        upgrade(_inside(superuser_url, database))
    return role_urls(superuser_url, database)


def role_urls(superuser_url: str, database: str) -> dict[str, str]:
    """Setting name -> URL of each role, at the superuser's address."""
    return {name: url_for(superuser_url, role=role, database=database) for name, role in _SETTINGS.items()}


def migrate(owner_url: str) -> tuple[str | None, str]:
    """Bring the schema up to date as its owner; returns the revision before and after. Raises as `prepare_database`."""
    with _told():
        return upgrade(owner_url)


def _inside(superuser_url: str, database: str) -> str:
    return make_url(superuser_url).set(database=database).render_as_string(hide_password=False)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if classify(error) is DatabaseFault.RETRY:
            raise Unavailable(f"the database does not answer: {first_line(error)}") from error
        raise ConfigError(f"the database refuses to be set up: {first_line(error)}") from error
