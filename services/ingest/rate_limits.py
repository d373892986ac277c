"""Token buckets in front of verification and behind it, for providers that ask for them (`Receiving.rate_limits`).

Kept in this process: with several edges behind one address a client gets as many buckets. Memory is bounded: a bucket
that is full again says nothing and may go, and when too many are alive the one longest unused is forgotten.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

from shared.providers.contract import RateLimit, Request

MAX_BUCKETS = 50_000  # some 250 bytes each
_MAX_KEY_CHARACTERS = 160
_SWEPT_PER_CALL = 2  # more than are made per call, so the full ones at the old end go before they pile up


class RateLimits:
    """All buckets of one edge. `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float], max_buckets: int = MAX_BUCKETS) -> None:
        self._now = now
        self._max_buckets = max_buckets
        # (connector, key) -> tokens, when counted, when full again; least recently used first
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_seconds(self, connector_id: str, limits: Sequence[RateLimit], request: Request) -> int:
        """Take one token of each limit that holds for the request: 0, or after how many whole seconds it may come again."""
        for limit in limits:
            key = limit.key(request)
            wait = 0 if key is None else self.take(connector_id, key, limit)
            if wait:
                return wait
        return 0

    def take(self, connector_id: str, key: str, limit: RateLimit) -> int:
        """Take one token: 0 if there was one, else after how many whole seconds there will be."""
        now, place, per_second = self._now(), (connector_id, key[:_MAX_KEY_CHARACTERS]), limit.per_minute / 60
        self._sweep(now)
        tokens, counted_at, _ = self._buckets.pop(place, (float(limit.burst), now, now))
        tokens = min(float(limit.burst), tokens + (now - counted_at) * per_second)
        wait = 0 if tokens >= 1 else max(1, math.ceil((1 - tokens) / per_second))
        if wait == 0:
            tokens -= 1
        self._buckets[place] = (tokens, now, now + (limit.burst - tokens) / per_second)
        if len(self._buckets) > self._max_buckets:
            self._buckets.popitem(last=False)
        return wait

    def _sweep(self, now: float) -> None:
        for _ in range(_SWEPT_PER_CALL):
            oldest = next(iter(self._buckets), None)
            if oldest is None or self._buckets[oldest][2] > now:
                return
            del self._buckets[oldest]
