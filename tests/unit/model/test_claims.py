from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.model.claims import Rules, run

RUNS = 2_000


@given(st.integers(min_value=0, max_value=2**32))
@settings(max_examples=RUNS, deadline=None, database=None)
def test_the_rules_of_the_design_lose_and_double_nothing(seed):
    assert {message: count for message, count in run(Rules(), seed).items() if count != 1} == {}


@pytest.mark.parametrize(
    ("simpler", "harm"),
    [
        (Rules(claims_have_owners=False), {"lost"}),
        (Rules(copy_beats_plain_item=False), {"lost"}),
        (Rules(takeover_compares=False), {"doubled"}),
        (Rules(offsets_with_events=False), {"lost"}),
        (Rules(events_are_transactional=False), {"doubled"}),
        (Rules(workers_are_fenced=False), {"doubled"}),
        (Rules(repeats_collapse=False, owners_name_the_item=False), {"doubled"}),
    ],
    ids=str,
)
def test_each_simpler_rule_is_caught(simpler, harm):
    seen = set()
    for seed in range(RUNS):
        for count in run(simpler, seed).values():
            if count != 1:
                seen.add("lost" if count == 0 else "doubled")
        if seen >= harm:
            return
    pytest.fail(f"{simpler} did no harm in {RUNS} runs: {seen or 'nothing seen'}")


def test_a_history_is_repeatable():
    assert run(Rules(), 7) == run(Rules(), 7)
