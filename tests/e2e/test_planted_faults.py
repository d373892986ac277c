"""The oracle bites: a fault planted in each service is caught through real processes (`make chaos` plays all of them)."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.stack import StackAddresses
from tests.chaos.planted.cases import CASES
from tests.chaos.planted.stage import play

QUICK = ("claim_without_owner", "forgetful_drain", "dropped_row", "queue_ignored", "position_not_moved")


@pytest.mark.parametrize("module", QUICK)
def test_a_planted_fault_is_caught(module: str, stack: StackAddresses, tmp_path: Path):
    [case] = (one for one in CASES if one.module == module)

    result = play(case, tmp_path, stack)

    assert result.as_expected, f"{result.found}; moments {result.moments}\n{result.report.as_text()}"
    assert 0 < result.after <= result.report.posted
