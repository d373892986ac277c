"""The router does not look whether an account is paused."""

from __future__ import annotations

from dataclasses import replace

from services.router import gate
from shared.domain.enums import Direction, HoldReason
from shared.domain.records import Decision
from shared.domain.routing import decide_route
from shared.domain.snapshots import AccountSnapshot
from tests.chaos.planted.start import start


def plant() -> None:
    """Every route is open."""

    def open_to_all(account: AccountSnapshot, direction: Direction) -> Decision | HoldReason:
        return decide_route(replace(account, pause_cause=None), direction)

    gate.decide_route = open_to_all


if __name__ == "__main__":
    start("router", plant)
