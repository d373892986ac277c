"""Logging: structlog, one JSON line per event in production, columns on a terminal; secrets are masked by name."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

import structlog

from shared.runtime.settings import LogSettings

_ALWAYS_MASKED = frozenset({"authorization", "secret", "segredo", "token", "access_token", "api_key", "password", "apikey"})

_KAFKA_LOGGER = "channels.kafka"  # librdkafka's own complaints (shared.adapters.kafka)


class _IntoStructlog(logging.Handler):
    """What a driver says through the standard library becomes one event of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """`detail` is the driver's own line."""
        get_logger().log(record.levelno, "kafka_client", detail=record.getMessage())


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
    kafka.handlers = [_IntoStructlog()]
    kafka.propagate = False


def get_logger() -> Any:
    """A bound logger; event names are static snake_case, values travel as fields."""
    return structlog.get_logger()
