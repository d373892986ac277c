"""A relay that begins does not ask Kafka which batch is out: it takes every stamped row again."""

from __future__ import annotations

from shared.adapters.outbox import LeasedOutbox
from tests.chaos.planted.start import start


def plant() -> None:
    """As if nothing had ever been committed."""
    recover = LeasedOutbox.recover

    def from_the_rows(self: LeasedOutbox, committed: int) -> int:
        return max(recover(self, 0), committed)

    LeasedOutbox.recover = from_the_rows  # type: ignore[method-assign]


if __name__ == "__main__":
    start("relay", plant)
