from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shared.runtime.tally import Count, Times

SECONDS = (0.0, 0.001, 0.0025, 0.003, 1.0, 1.5, 10.0, 11.0)
BOUNDS = (0.001, 0.0025, 1, 10)


def told(registry: CollectorRegistry) -> list[str]:
    """The scrape's lines without the times of creation, which are not ours to repeat."""
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_a_scrape_sees_what_the_librarys_own_metrics_would_show() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    count, times = Count("requests", "Text.", ["outcome"], registry=ours), Times("answer_seconds", "Text.", BOUNDS, registry=ours)
    counter = Counter("requests", "Text.", ["outcome"], registry=theirs)
    histogram = Histogram("answer_seconds", "Text.", buckets=BOUNDS, registry=theirs)
    for outcome, amount in (("accepted", 1), ("refused", 2), ("accepted", 3)):
        count.inc((outcome,), amount)
        counter.labels(outcome).inc(amount)
    for seconds in SECONDS:
        times.observe(seconds)
        histogram.observe(seconds)
    assert told(ours) == told(theirs)


def test_a_counter_without_labels_is_there_before_it_counts() -> None:
    registry = CollectorRegistry()
    Count("bytes", "Text.", registry=registry)
    assert registry.get_sample_value("bytes_total") == 0
