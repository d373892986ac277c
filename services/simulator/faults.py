"""Faults on demand: the next calls of an operation get this answer instead of the usual one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Fault:
    """`operation`: the stand-in's name of what fails (`send`, `media`, `*`). `code`: the provider's own error.

    `retry_after_seconds` goes where the provider puts it. `lost`: the call is done and its answer never arrives.
    `times`: how many calls it hits; below 0 all of them until it is cleared.
    """

    operation: str = "*"
    code: str
    times: int = 1
    retry_after_seconds: int | None = None
    lost: bool = False


@dataclass(slots=True)
class FaultPlan:
    """The faults of one stand-in, first come first served."""

    _faults: list[Fault] = field(default_factory=list)

    def add(self, **fault: Any) -> None:
        """Plan one; arguments are those of Fault."""
        self._faults.append(Fault(**fault))

    def clear(self) -> None:
        """Forget all."""
        self._faults.clear()

    def take(self, operation: str) -> Fault | None:
        """The fault that hits this call, used up by it."""
        for fault in self._faults:
            if fault.operation in ("*", operation) and fault.times != 0:
                fault.times -= fault.times > 0
                return fault
        return None


class AnswerLost(Exception):
    """Raised by an API call that was done and whose answer is not to arrive: the server closes the connection."""
