"""A row of the schedule of renewals in one word."""

from __future__ import annotations

import pytest

from shared.domain.enums import RenewalStanding, RenewalState, RenewalTask
from shared.domain.renewals import standing_of


@pytest.mark.parametrize(
    ("task", "state", "attempt", "told"),
    [
        ("renew", "planned", 0, "planned"),
        ("renew", "calling", 1, "planned"),  # the first try is under way
        ("renew", "planned", 1, "failing"),
        ("renew", "calling", 2, "failing"),
        ("renew", "stopped", 3, "stopped"),
        ("test", "planned", 0, "planned"),
        ("test", "planned", 1, "failing"),
        ("test", "stopped", 1, "stopped"),
        ("retire", "planned", 0, "retiring"),
        ("watch", "planned", 0, "watched"),
        ("none", "planned", 0, "none"),
    ],
)
def test_one_word_for_each_row(task: str, state: str, attempt: int, told: str) -> None:
    assert standing_of(RenewalTask(task), RenewalState(state), attempt) is RenewalStanding(told)
