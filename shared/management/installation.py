"""Makes a database ready: roles, the database itself, its schema. Everything may be repeated."""

from __future__ import annotations

from shared.adapters.migrations import OWNER, create_database, create_roles, installing, upgrade, url_for

_SETTINGS = {
    "database_owner_url": OWNER,
    "database_api_url": "channels_api",
    "database_worker_url": "channels_worker",
    "database_credential_url": "channels_credential",
}


def prepare_database(superuser_url: str, database: str) -> dict[str, str]:
    """Create what is missing of roles and database and bring the schema up to date; blocks until it is done.

    Returns the settings that name one URL per role. Roles are made without a password: the embedded server trusts its
    socket; elsewhere the administrator gives them one. Several callers at once go one after the other.
    """
    settings = role_urls(superuser_url, database)
    with installing(superuser_url) as connection:
        create_roles(connection)
        create_database(connection, database)
        upgrade(settings["database_owner_url"])
    return settings


def role_urls(superuser_url: str, database: str) -> dict[str, str]:
    """Setting name -> URL of each role, at the superuser's address."""
    return {name: url_for(superuser_url, role=role, database=database) for name, role in _SETTINGS.items()}


def migrate(owner_url: str) -> tuple[str | None, str]:
    """Bring the schema up to date as its owner; returns the revision before and after."""
    return upgrade(owner_url)
