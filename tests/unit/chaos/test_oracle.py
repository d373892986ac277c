from __future__ import annotations

import pytest

from tests.chaos.oracle import Emitted, judge
from tests.chaos.provider import Ledger

LEDGER = Ledger(written={"p": ["a", "b", "c"], "q": ["d"]}, acknowledged={"a", "b", "d"})
GOOD = [Emitted("p", "a", "1", "k"), Emitted("p", "b", "2", "k"), Emitted("q", "d", "3", "l")]


def judged(emitted, books=None, raw_items=None):
    total = len(emitted)
    return judge(LEDGER, emitted, {"emitted": total} if books is None else books, total if raw_items is None else raw_items)


def test_a_clean_run_is_clean():
    assert judged(GOOD).clean


def test_what_was_not_answered_may_come_out_or_not():
    assert judged([*GOOD[:2], Emitted("p", "c", "4", "k"), GOOD[2]]).clean


@pytest.mark.parametrize(
    ("emitted", "books", "raw", "kind"),
    [
        (GOOD[1:], None, None, "lost"),
        ([*GOOD, GOOD[0]], None, None, "doubled"),
        ([GOOD[1], GOOD[0], GOOD[2]], None, None, "out_of_order"),
        ([*GOOD, Emitted("q", "x", "9", "l")], None, None, "invented"),
        ([*GOOD[:2], Emitted("q", "d", "3", "l"), Emitted("q", "d", "3", "m")], None, None, "conversation_split"),
        (GOOD, {"emitted": 3, "duplicate": 1}, 5, "books_items"),
        (GOOD, {"emitted": 2, "duplicate": 1}, 3, "books_emitted"),
    ],
)
def test_each_fault_is_named(emitted, books, raw, kind):
    assert kind in judged(emitted, books, raw).counts
