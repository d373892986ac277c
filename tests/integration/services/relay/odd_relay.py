"""A relay process that sends itself a signal the first time it comes to a step of redelivery: ODD_STEP, ODD_SIGNAL."""

from __future__ import annotations

import os
import signal
from typing import Any

from services.relay.__main__ import main
from services.relay.raw_copies import RawCopies
from shared.adapters.redelivery_rows import RedeliveryRows
from shared.runtime.lifecycle import run


def plant(step: str, number: int) -> None:
    """`marked`: rows are marked, nothing is written; `written`: copies are in Kafka, nothing is noted; `noted`: all is done."""
    copy, note = RawCopies.copy, RedeliveryRows.note_copies
    left = [number]

    def here(name: str) -> None:
        if name == step and left:
            os.kill(os.getpid(), left.pop())

    def odd_copy(self: RawCopies, *arguments: Any) -> Any:
        here("marked")
        copied = copy(self, *arguments)
        here("written")
        return copied

    def odd_note(self: RedeliveryRows, *arguments: Any) -> None:
        note(self, *arguments)
        here("noted")

    RawCopies.copy = odd_copy  # type: ignore[method-assign]
    RedeliveryRows.note_copies = odd_note  # type: ignore[method-assign]


if __name__ == "__main__":
    plant(os.environ["ODD_STEP"], signal.Signals[os.environ["ODD_SIGNAL"]])
    run(main)
