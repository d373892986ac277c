"""Logging: structlog, one JSON line per event in production, columns on a terminal; secrets are masked by name."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

import structlog

from shared.runtime.settings import LogSettings

_ALWAYS_MASKED = frozenset({"authorization", "secret", "segredo", "token", "access_token", "api_key", "password", "apikey"})


def configure_logging(service: str, settings: LogSettings, masked: Iterable[str] = ()) -> None:
    """Set up logging for this process, once, at start. `masked`: field names whose values are replaced by `***`."""
    names = _ALWAYS_MASKED | {name.lower() for name in masked}
    as_columns = settings.log_format == "columns" or (settings.log_format == "auto" and sys.stderr.isatty())

    def mask(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {key: "***" if key.lower() in names else value for key, value in event.items()}

    renderer: Any = structlog.dev.ConsoleRenderer() if as_columns else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if not as_columns else structlog.processors.StackInfoRenderer(),
            mask,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def get_logger() -> Any:
    """A bound logger; event names are static snake_case, values travel as fields."""
    return structlog.get_logger()
