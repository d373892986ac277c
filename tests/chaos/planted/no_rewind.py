"""After a fault the router goes on with the next batch in place of the one that failed."""

from __future__ import annotations

from shared.adapters.kafka_transactions import TransactionalWorker
from tests.chaos.planted.start import start


def plant() -> None:
    """A new producer where one is needed, but no way back."""

    def stay(self: TransactionalWorker) -> dict[int, int]:
        self._writer.restore()
        return self.committed(self._assigned)

    TransactionalWorker.rewind = stay  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
