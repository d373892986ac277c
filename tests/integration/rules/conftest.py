"""The use cases on a fresh database, and plain SQL by the same role and for the same tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of
from tests.integration.rows import connect


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


@pytest.fixture
def open_sql(database: DatabaseUnderTest, management: Management) -> Iterator[Callable[..., psycopg.Connection[Any]]]:
    """Opens a connection as the role of the API that acts for the tenant of `management`."""
    with ExitStack() as opened:

        def open_one(*, autocommit: bool = True) -> psycopg.Connection[Any]:
            connection = opened.enter_context(connect(database.api_url, autocommit=True))
            connection.execute("SELECT set_config('channels.tenant', %s, false)", (management.tenant,))
            connection.autocommit = autocommit
            return connection

        yield open_one


@pytest.fixture
def sql(open_sql: Callable[..., psycopg.Connection[Any]]) -> psycopg.Connection[Any]:
    return open_sql()
