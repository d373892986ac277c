from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.runtime.logging import configure_logging
from shared.runtime.settings import LogSettings


@pytest.fixture(autouse=True)
def own_configuration() -> Iterator[None]:
    kafka = logging.getLogger("channels.kafka")
    handlers, propagate = kafka.handlers, kafka.propagate
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    kafka.handlers, kafka.propagate = handlers, propagate


def test_what_the_kafka_client_says_is_one_event_of_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # configured twice, said once
        configure_logging("router", LogSettings(log_format="json", log_level="INFO"))
    logging.getLogger("channels.kafka").warning("FAIL [%s]: Connect failed", "router-0")
    logging.getLogger("channels.kafka").debug("too fine")
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert event.pop("timestamp")
    assert event == {
        "event": "kafka_client",
        "level": "warning",
        "detail": "FAIL [router-0]: Connect failed",
        "service": "router",
    }
