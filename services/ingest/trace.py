"""The trace context that the edge gives to a request which brings none."""

from __future__ import annotations

import random


def new_traceparent() -> str:
    """A new trace, sampled flag off (https://www.w3.org/TR/trace-context/); unique, not secret."""
    both = f"{random.getrandbits(192):048x}"
    return f"00-{both[:32]}-{both[32:]}-00"
