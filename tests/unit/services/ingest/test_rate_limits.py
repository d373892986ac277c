"""Buckets in front of verification: how fast, how many, and how little memory."""

from __future__ import annotations

from services.ingest.rate_limits import RateLimits
from shared.providers.contract import RateLimit

LIMIT = RateLimit(key=lambda request: request.query, per_minute=20, burst=5)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_passes_and_then_one_every_three_seconds() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    assert [limits.take("c", "k", LIMIT) for _ in range(6)] == [0, 0, 0, 0, 0, 3]
    clock.seconds += 2.9
    assert limits.take("c", "k", LIMIT) == 1
    clock.seconds += 0.2
    assert limits.take("c", "k", LIMIT) == 0
    assert limits.take("c", "k", LIMIT) == 3


def test_in_an_hour_as_many_pass_as_the_limit_says() -> None:
    clock, passed = Clock(), 0
    limits = RateLimits(clock)
    for _ in range(3600 * 4):
        clock.seconds += 0.25
        passed += limits.take("c", "k", LIMIT) == 0
    assert 1195 <= passed <= 1205


def test_keys_and_connectors_have_buckets_of_their_own() -> None:
    limits = RateLimits(Clock())
    for connector in ("a", "b"):
        for key in ("x", "y"):
            assert [limits.take(connector, key, LIMIT) for _ in range(6)].count(0) == 5


def test_a_refused_request_costs_nothing() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    for _ in range(100):
        limits.take("c", "k", LIMIT)
    clock.seconds += 3.1
    assert limits.take("c", "k", LIMIT) == 0


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    limits = RateLimits(Clock(), max_buckets=100)
    for _ in range(5):
        limits.take("c", "loud", LIMIT)
    for number in range(99):
        limits.take("c", f"stranger {number}", LIMIT)
    assert limits.take("c", "loud", LIMIT) > 0
    for number in range(1000):
        limits.take("c", f"other {number}" * 100, LIMIT)
    assert len(limits) == 100


def test_buckets_that_are_full_again_are_forgotten() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    for number in range(1000):
        limits.take("c", str(number), LIMIT)
    clock.seconds += 60
    for _ in range(500):
        limits.take("c", "one", LIMIT)
    assert len(limits) == 1
