"""Counters and a histogram for one event loop: plain numbers that Prometheus reads at each scrape.

The library's own metrics lock and check at every increment, four times a request: a tenth of the edge's CPU. These belong to
one thread; a scrape in another sees each number whole.
https://prometheus.github.io/client_python/collector/custom/
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class Count(Collector):
    """A counter. `counts`: the values of its labels → what was counted so far; add to it."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = (), *, registry: CollectorRegistry) -> None:
        self._name, self._help, self._labels = name, help_text, tuple(labels)
        self.counts: dict[tuple[str, ...], int] = {} if labels else {(): 0}
        registry.register(self)

    def inc(self, labels: tuple[str, ...] = (), amount: int = 1) -> None:
        """Count `amount` more."""
        counts = self.counts
        counts[labels] = counts.get(labels, 0) + amount

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What a scrape sees."""
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for labels, value in list(self.counts.items()):
            family.add_metric(labels, value)
        yield family


class Times(Collector):
    """A histogram of seconds. `bounds`: upper bounds of the buckets, rising, without the infinite one."""

    def __init__(self, name: str, help_text: str, bounds: Sequence[float], *, registry: CollectorRegistry) -> None:
        self._name, self._help, self._bounds = name, help_text, tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, seconds: float) -> None:
        """Count one; a bucket holds what is not above its bound."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What a scrape sees: each bucket with all smaller ones."""
        so_far, buckets = 0, []
        for bound, count in zip((*(str(float(bound)) for bound in self._bounds), "+Inf"), self._counts[:], strict=True):
            so_far += count
            buckets.append((bound, so_far))
        yield HistogramMetricFamily(self._name, self._help, buckets=buckets, sum_value=self._sum)
