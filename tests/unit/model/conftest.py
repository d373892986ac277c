from __future__ import annotations

import pytest


@pytest.fixture
def model_runs(request: pytest.FixtureRequest) -> int:
    """How many histories of the inbound model to try."""
    return int(request.config.getoption("--model-runs"))
