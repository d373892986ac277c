"""The fixture `database`: a fresh, migrated database for each test, cloned from a template that is migrated once."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import text

from shared.adapters import migrations
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
    """Name of a migrated, empty database. Named after the migrations and what runs them, so a kept stack has it ready."""
    digest = hashlib.sha256()
    digest.update(Path(migrations.__file__).read_bytes())
    for path in sorted(migrations_directory().rglob("*")):
        if path.suffix in {".py", ".sql"}:
            digest.update(path.read_bytes())
    name = f"channels_template_{digest.hexdigest()[:12]}"
    prepare_database(stack.superuser_url, name)
    return name


@pytest.fixture
def database(stack: StackAddresses, database_template: str) -> Iterator[DatabaseUnderTest]:
    """A database of the test's own; dropped afterwards, with whoever is still connected."""
    with cloned_database(stack.superuser_url, database_template) as made:
        yield made


@pytest.fixture
def another_database(stack: StackAddresses, database_template: str) -> Iterator[DatabaseUnderTest]:
    """A second one, for what is carried from one installation to another."""
    with cloned_database(stack.superuser_url, database_template) as made:
        yield made


@contextmanager
def cloned_database(superuser_url: str, template: str) -> Iterator[DatabaseUnderTest]:
    """A database of one's own inside the block."""
    name = f"channels_test_{uuid.uuid4().hex}"
    with installing(superuser_url) as connection:
        create_database(connection, name, template=template)
    urls = {setting.removeprefix("database_"): url for setting, url in role_urls(superuser_url, name).items()}
    assert set(urls) | {"name", "superuser_url"} == {field.name for field in fields(DatabaseUnderTest)}
    yield DatabaseUnderTest(name=name, superuser_url=superuser_url, **urls)
    with installing(superuser_url) as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
