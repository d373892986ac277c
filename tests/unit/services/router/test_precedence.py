from __future__ import annotations

import threading

import pytest

from services.router.precedence import Precedence

SECONDS = 10


class Other:
    """The thread that opens: says when it was let through."""

    def __init__(self, precedence: Precedence) -> None:
        self._precedence = precedence
        self._asks, self.passed = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while self._asks.acquire(timeout=SECONDS):
            self._precedence.give_way()
            self.passed.release()

    def ask(self) -> None:
        self._asks.release()

    def passes(self) -> bool:
        return self.passed.acquire(timeout=SECONDS)

    def rests(self) -> bool:
        return not self.passed.acquire(timeout=0.05)


def test_the_other_thread_rests_while_one_settles_and_works_while_that_one_waits() -> None:
    precedence = Precedence()
    other = Other(precedence)
    with precedence.first():
        other.ask()
        assert other.rests()
        with precedence.waiting():
            assert other.passes()
        other.ask()
        assert other.rests()
    assert other.passes()


def test_to_wait_outside_of_settling_stops_nobody() -> None:
    precedence = Precedence()
    other = Other(precedence)
    with precedence.waiting():
        pass
    other.ask()
    assert other.passes()


def test_a_failure_leaves_nobody_behind() -> None:
    precedence = Precedence()
    other = Other(precedence)
    with pytest.raises(ZeroDivisionError), precedence.first(), precedence.waiting():
        raise ZeroDivisionError
    other.ask()
    assert other.passes()
