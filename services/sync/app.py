"""The three parts of a sync process, side by side: units and flows, requests for a sync, and the syncs themselves."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from shared.runtime.lifecycle import StopRequest


class Part(Protocol):
    """One of them; none needs another."""

    @property
    def readiness(self) -> tuple[bool, str]:
        """(can work, what it is doing)."""
        ...

    def run(self, stop: StopRequest) -> None:
        """Until it is asked to stop."""
        ...


class Sync:
    """`run` has a thread for each part."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._faults: list[BaseException] = []

    @property
    def readiness(self) -> tuple[bool, str]:
        """Ready when all are; what each does, for `/readyz`."""
        states = [part.readiness for part in self._parts]
        return all(ready for ready, _ in states), "; ".join(dict.fromkeys(told for _, told in states))

    def run(self, stop: StopRequest) -> None:
        """All of them until the stop; what ends one of them (a wrong schema) ends the others, and is raised."""
        threads = [threading.Thread(target=self._guarded, args=(part, stop), name=type(part).__name__) for part in self._parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._faults:
            raise self._faults[0]

    def _guarded(self, part: Part, stop: StopRequest) -> None:
        try:
            part.run(stop)
        except BaseException as error:
            self._faults.append(error)
        finally:
            stop.set()
