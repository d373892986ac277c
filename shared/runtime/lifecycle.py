"""How a worker process lives: SIGTERM and SIGINT ask it to stop, a watchdog ends a stuck stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

import structlog

from shared.domain.errors import ConfigError


class StopRequest:
    """Set once by a signal; loops look at it, sleeps wait on it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Ask for the stop."""
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep for at most `seconds`; True as soon as a stop was asked for."""
        return self._event.wait(seconds)


def on_signals(stop: Callable[[], None], drain_seconds: float) -> None:
    """Call `stop` on the first SIGTERM or SIGINT, and end the process by force `drain_seconds` after it."""

    def handle(signum: int, _frame: FrameType | None) -> None:
        stop()
        watchdog = threading.Timer(drain_seconds, _give_up, args=(signum,))
        watchdog.daemon = True
        watchdog.start()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _give_up(signum: int) -> None:
    structlog.get_logger().error("stop_timed_out", signal=signum)
    os._exit(70)


def run(main: Callable[[], None]) -> None:
    """Run a service's main: a ConfigError becomes one line on stderr and exit code 2."""
    try:
        main()
    except ConfigError as error:
        print(f"channels: {error}", file=sys.stderr)
        raise SystemExit(2) from error
