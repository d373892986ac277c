"""The fixture `database`: a fresh, migrated database for each test, cloned from a template that is migrated once."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Protocol

import pytest
from sqlalchemy import text

from shared.adapters.migrations import create_database, installing, migrations_directory
from shared.management.installation import prepare_database, role_urls


class StackAddresses(Protocol):
    """What is needed of the fixture `stack`."""

    superuser_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUnderTest:
    """URLs of one test's own database. Tests log in as the roles; `superuser_url` is for setting the scene only."""

    name: str
    superuser_url: str  # of the server's maintenance database
    owner_url: str
    api_url: str
    worker_url: str
    credential_url: str


@pytest.fixture(scope="session")
def database_template(stack: StackAddresses) -> str:
    """Name of a migrated, empty database. Its name follows from the migrations, so a kept stack has it ready."""
    digest = hashlib.sha256()
    for path in sorted(migrations_directory().rglob("*")):
        if path.suffix in {".py", ".sql"}:
            digest.update(path.read_bytes())
    name = f"channels_template_{digest.hexdigest()[:12]}"
    prepare_database(stack.superuser_url, name)
    return name


@pytest.fixture
def database(stack: StackAddresses, database_template: str) -> Iterator[DatabaseUnderTest]:
    """A database of the test's own; dropped afterwards, with whoever is still connected."""
    name = f"channels_test_{uuid.uuid4().hex}"
    with installing(stack.superuser_url) as connection:
        create_database(connection, name, template=database_template)
    urls = {setting.removeprefix("database_"): url for setting, url in role_urls(stack.superuser_url, name).items()}
    assert set(urls) | {"name", "superuser_url"} == {field.name for field in fields(DatabaseUnderTest)}
    yield DatabaseUnderTest(name=name, superuser_url=stack.superuser_url, **urls)
    with installing(stack.superuser_url) as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
