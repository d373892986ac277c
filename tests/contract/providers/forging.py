"""Many forgeries of one scheme, and what became of them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from shared.providers.contract import Verified
from tests.contract.providers.schemes import scheme_of

SHORT_COUNT = 1_000  # of each scheme in every run of the tests


@dataclass(slots=True)
class Campaign:
    """`accepted` and `raised` hold what must not be; `kinds` counts what was tried."""

    scheme: str
    tried: int = 0
    accepted: list[str] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def forge(name: str, count: int, seed: int) -> Campaign:
    """Through the edge's decision and the provider's verification, in this process."""
    scheme, campaign = scheme_of(name), Campaign(name)
    source, began = scheme.forgeries(seed), time.perf_counter()
    for _ in range(count):
        kind, request = next(source)
        campaign.tried += 1
        campaign.kinds[kind] += 1
        try:
            verdict = scheme.judge(request, scheme.known)
        except Exception as error:
            campaign.raised.append(f"{kind}: {error!r}")
            continue
        if isinstance(verdict, Verified):
            campaign.accepted.append(f"{kind}: {dict(request.headers)} {request.query} {request.body[:400]!r}")
    campaign.seconds = time.perf_counter() - began
    return campaign
