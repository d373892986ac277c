"""Asks Amazon SNS's own host for commands, under the egress guard as services do."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry

from shared.adapters.blocking_http import BlockingHttpClient
from shared.adapters.certificate_source import CertificateSource
from shared.runtime.http import http_parts
from shared.runtime.settings import HttpSettings, load


@contextmanager
def asking_sns() -> Iterator[CertificateSource]:
    """A source for as long as the block lasts. Raises ConfigError."""
    if not structlog.is_configured():  # a command prints its result; of calls only what is amiss, and beside it
        quiet = structlog.make_filtering_bound_logger(logging.WARNING)
        structlog.configure(wrapper_class=quiet, logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    parts = http_parts(load(HttpSettings), CollectorRegistry())
    with BlockingHttpClient(parts) as client:
        yield CertificateSource(client=client, tls=parts.tls)
