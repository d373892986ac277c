"""The relay deletes the rows of a batch before it publishes them."""

from __future__ import annotations

from collections.abc import Sequence

from shared.adapters.numbered_publisher import NumberedPublisher, OutgoingRecord
from shared.adapters.outbox import LeasedOutbox
from tests.chaos.planted import moments
from tests.chaos.planted.start import start


def plant() -> None:
    """Settle, then publish."""
    recover, publish, settle = LeasedOutbox.recover, NumberedPublisher.publish, LeasedOutbox.settle
    at_work: list[LeasedOutbox] = []

    def remember(self: LeasedOutbox, committed: int) -> int:
        at_work[:] = [self]
        return recover(self, committed)

    def after_deletion(self: NumberedPublisher, records: Sequence[OutgoingRecord], number: int) -> None:
        settle(at_work[0], number, ())
        moments.reach("between")
        publish(self, records, number)

    LeasedOutbox.recover = remember  # type: ignore[method-assign]
    NumberedPublisher.publish = after_deletion  # type: ignore[method-assign]


if __name__ == "__main__":
    start("relay", plant)
