from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.health.scene import HealthScene, scene_on


@pytest.fixture
def scene(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[HealthScene]:
    with scene_on(database, tmp_path / "keys") as made:
        yield made
