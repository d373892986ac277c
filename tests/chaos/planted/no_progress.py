"""The router asserts no progress: neither per batch nor at its start."""

from __future__ import annotations

from typing import Any

from services.router import app, recovery
from shared.adapters import router_store
from tests.chaos.planted.start import start


def plant() -> None:
    """Both looks at `router_progress` are gone."""

    def nothing(*_arguments: Any) -> None:
        return None

    router_store.assert_progress = nothing
    app.check_progress = recovery.check_progress = nothing


if __name__ == "__main__":
    start("router", plant)
