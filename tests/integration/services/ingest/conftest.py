"""One edge with topics, keys and a connector of its own per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge import Edge


@pytest.fixture
def edge(kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> Iterator[Edge]:
    edge = Edge.create(kafka_bootstrap, topic_prefix, tmp_path)
    try:
        yield edge
    finally:
        edge.stop()
