"""What the hostile tests share: one installation per test, and a profile for long fuzzing (`make hostile`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.edge import Edge

settings.register_profile(
    "hostile", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture
def edge(kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> Iterator[Edge]:
    """Topics, keys and one connector; what was started is stopped."""
    edge = Edge.create(kafka_bootstrap, topic_prefix, tmp_path)
    yield edge
    edge.stop()
