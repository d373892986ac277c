from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.token_rotator.scene import RotatorScene, scene_on


@pytest.fixture
def scene(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[RotatorScene]:
    with scene_on(database, tmp_path / "keys") as made:
        yield made
