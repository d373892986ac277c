"""Starts a real service's main after a fault was planted in its process; the product code has no switches for that."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from shared.runtime.lifecycle import run
from tests.chaos.planted import moments

_INSTALL: dict[str, Callable[[], None]] = {"router": moments.install_router, "relay": moments.install_relay}


def start(service: str, plant: Callable[[], None]) -> None:
    """Plant, hook the moments around it, and run `services.<service>`."""
    plant()
    _INSTALL.get(service, lambda: None)()
    run(importlib.import_module(f"services.{service}.__main__").main)
