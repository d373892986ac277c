"""Keeps the gauge of the time that tokens have left."""

from __future__ import annotations

import threading
from contextlib import suppress

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.domain.enums import TokenKind
from shared.management.token_expiry import token_seconds_left
from shared.runtime.metrics import ControlMetrics

_EVERY_SECONDS = 60.0  # days are told; it looks at every token of all tenants
_STATEMENT_SECONDS = 15.0  # a statement that takes longer is not waited for


class TokenGauge:
    """Owns one thread that asks the database every minute. While it does not answer, the gauge is absent."""

    def __init__(self, engine: Engine, metrics: ControlMetrics, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._engine = engine
        self._gauge = metrics.token_seconds_left
        self._every = every_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="token-gauge", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End; blocks for a statement at most, as a rule."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_STATEMENT_SECONDS)

    def refresh(self) -> None:
        """Ask once. A kind that nobody has a token of any more goes away."""
        try:
            left = token_seconds_left(self._engine)
        except SQLAlchemyError as error:
            structlog.get_logger().warning("token_gauge_waits", error=type(error).__name__)
            left = {}
        for kind in TokenKind:
            if kind in left:
                self._gauge.labels(kind.value).set(left[kind])
            else:
                with suppress(KeyError):  # it was not there
                    self._gauge.remove(kind.value)

    def _run(self) -> None:
        while True:
            self.refresh()
            if self._stopping.wait(self._every):
                return
