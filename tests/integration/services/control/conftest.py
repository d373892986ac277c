from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.control.scene import Scene, control_scene


@pytest.fixture
def scene(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Scene]:
    with control_scene(database.api_url, tmp_path / "keys") as made:
        yield made
