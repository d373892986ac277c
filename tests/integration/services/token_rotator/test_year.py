"""Requirement 61 over time. `make year` lets 10 000 tokens live for a year; a run of the suite is content with less."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.token_rotator.scene import RotatorScene, scene_on
from tests.integration.services.token_rotator.year import simulate

_TOKENS = int(os.environ.get("CHANNELS_YEAR_TOKENS", "300"))
_DAYS = int(os.environ.get("CHANNELS_YEAR_DAYS", "60"))


@pytest.fixture
def scene(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[RotatorScene]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with scene_on(database, tmp_path / "keys", window_seconds=3_600) as made:
        yield made
    structlog.reset_defaults()


@pytest.mark.req(61, 79)
def test_no_token_ends_in_a_year_and_each_renewal_is_one_call(scene: RotatorScene) -> None:
    summary = simulate(scene, tokens=_TOKENS, days=_DAYS)
    print(f"\n{summary.lines()}", file=sys.__stdout__ if _TOKENS > 1_000 else sys.stdout)
    assert (summary.expired, summary.refused, summary.stopped) == (0, 0, 0)
    assert (summary.successes_beyond_one, summary.overlaps) == (0, 0)
    assert summary.busiest_window <= summary.budget
    assert summary.least_left_days >= 300 / 86_400
    assert summary.per_token[0] >= _DAYS // 63  # 90 days of life, renewed after 63 at the latest
    assert summary.notices == 0
    assert summary.kills + summary.faults > 0
