from __future__ import annotations

import threading

import pytest

from shared.adapters.bounded_call import Overdue, call_bounded


def test_a_call_that_returns_is_waited_for():
    seen = []
    call_bounded(lambda: seen.append(1), 5)
    assert seen == [1]


def test_what_a_call_raises_is_raised_here():
    def refuse():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        call_bounded(refuse, 5)


def test_a_call_that_hangs_is_left_behind():
    release = threading.Event()
    with pytest.raises(Overdue):
        call_bounded(release.wait, 0.05)
    release.set()
