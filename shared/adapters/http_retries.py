"""Whether and when a call is made again. Pure; the client sleeps."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Protocol

from shared.adapters.http_faults import CallFault
from shared.providers.calling import ProviderResponse, retry_after_seconds

_WORTH_REPEATING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Timer(Protocol):
    """Time that passes; tests move it by hand."""

    def seconds(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Come back after that many."""
        ...


class LoopTimer:
    """The event loop's time."""

    def seconds(self) -> float:
        """Seconds of the loop's monotonic clock."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Come back after that many."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much a call is worth. `seconds` bounds everything: all attempts and the pauses between them.

    A single attempt is bounded by the call's own time-out; with more there must be a bound.
    """

    attempts: int = 1
    seconds: float = math.inf
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 15.0

    def __post_init__(self) -> None:
        if self.attempts > 1 and math.isinf(self.seconds):
            raise ValueError("repetitions need a bound in time")


ONCE = Effort()
PATIENT = Effort(attempts=3, seconds=45.0)


def pause_before_next(
    effort: Effort, made: int, elapsed: float, *, repeatable: bool, result: ProviderResponse | CallFault, chance: float
) -> float | None:
    """Seconds to wait before the next attempt after `made` ones; None: `result` stands.

    What may have reached the peer is repeated only if the call does no harm twice (`repeatable`). A `Retry-After` is never
    undercut; one beyond the time that is left is the caller's business. `chance`: 0 to 1, spreads those who failed together.
    """
    if made >= effort.attempts or not _may_repeat(result, repeatable):
        return None
    longest = min(effort.first_pause_seconds * 2.0 ** (made - 1), effort.longest_pause_seconds)
    pause = longest * (0.5 + 0.5 * chance)
    if isinstance(result, ProviderResponse):
        told = retry_after_seconds(result)
        if told is not None:
            pause = max(pause, told * (1.0 + 0.1 * chance))
    return pause if elapsed + pause < effort.seconds else None


def _may_repeat(result: ProviderResponse | CallFault, repeatable: bool) -> bool:
    if isinstance(result, CallFault):
        return result.retryable and (repeatable or not result.may_have_left)
    return repeatable and result.status in _WORTH_REPEATING
