from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.local.home_lock import HomeLock
from deploy.local.postgres import PostgresNode


def _node(home: Path) -> PostgresNode:
    return PostgresNode(home, HomeLock(home), lambda _: None)


def test_the_socket_lies_beside_the_data() -> None:
    node = _node(Path("/srv/channels"))
    assert node.socket_folder == Path("/srv/channels/postgres/socket")
    assert node.superuser_url == "postgresql+psycopg://postgres@/postgres?host=/srv/channels/postgres/socket"


@pytest.mark.parametrize("deep", [Path("/srv") / ("d" * 90), Path("/srv") / ("ü" * 45), Path("/srv/one, two")])
def test_a_deep_or_odd_home_gets_a_short_socket_path_of_its_own(deep: Path) -> None:
    folder = _node(deep).socket_folder
    assert len(os.fsencode(folder / ".s.PGSQL.5432.lock")) <= 100
    assert folder != _node(deep.with_name("e" * 90)).socket_folder
    assert folder == _node(deep).socket_folder


def test_a_space_in_the_path_is_quoted_in_the_url() -> None:
    assert _node(Path("/srv/my channels")).superuser_url.endswith("host=/srv/my%20channels/postgres/socket")
