"""Logging: structlog, one JSON line per event in production, columns on a terminal; secrets are masked by name."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from shared.runtime.settings import LogSettings

_ALWAYS_MASKED = frozenset({"authorization", "secret", "segredo", "token", "access_token", "api_key", "password", "apikey"})

_KAFKA_LOGGER = "channels.kafka"  # librdkafka's own complaints (shared.adapters.kafka)


class IntoStructlog(logging.Handler):
    """What a driver says through the standard library becomes one event of ours.

    While Kafka is away each client says so twenty times a second: of one kind (level and first word: FAIL, ERROR, …) one line
    in `quiet_seconds` is let through, and it tells how many were held back.
    """

    def __init__(self, quiet_seconds: float = 5.0, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._quiet_seconds = quiet_seconds
        self._now = now
        self._spoken_at: dict[tuple[int, str], float] = {}
        self._held_back: dict[tuple[int, str], int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """`detail` is the driver's own line."""
        line = record.getMessage()
        kind, now = (record.levelno, line.partition(" ")[0]), self._now()
        if now - self._spoken_at.get(kind, -math.inf) < self._quiet_seconds:
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return
        self._spoken_at[kind] = now
        held_back = self._held_back.pop(kind, 0)
        more = {"held_back_lines": held_back} if held_back else {}
        get_logger().log(record.levelno, "kafka_client", detail=line, **more)


def configure_logging(service: str, settings: LogSettings, masked: Iterable[str] = ()) -> None:
    """Set up logging for this process, once, at start. `masked`: field names whose values are replaced by `***`."""
    names = _ALWAYS_MASKED | {name.lower() for name in masked}
    as_columns = settings.log_format == "columns" or (settings.log_format == "auto" and sys.stderr.isatty())

    def mask(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {key: "***" if key.lower() in names else value for key, value in event.items()}

    # Tracebacks without local variables: structlog shows them by default, and a frame may hold an opened secret or a body.
    plain = structlog.dev.plain_traceback
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=plain) if as_columns else structlog.processors.JSONRenderer()
    )
    tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer() if as_columns else tracebacks,
            mask,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    kafka = logging.getLogger(_KAFKA_LOGGER)
    kafka.handlers = [IntoStructlog()]
    kafka.propagate = False


def get_logger() -> Any:
    """A bound logger; event names are static snake_case, values travel as fields."""
    return structlog.get_logger()
