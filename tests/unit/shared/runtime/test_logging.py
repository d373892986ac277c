from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.runtime.logging import IntoStructlog, configure_logging
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


def test_a_client_that_repeats_itself_is_cut_short_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    clock = [100.0]
    configure_logging("router", LogSettings(log_format="json", log_level="INFO"))
    kafka = logging.getLogger("channels.kafka")
    kafka.handlers = [IntoStructlog(quiet_seconds=5, now=lambda: clock[0])]
    for _ in range(20):
        kafka.warning("FAIL [router-0]: Connect failed")
    kafka.error("ERROR [router-0]: all brokers are down")
    clock[0] += 5
    kafka.warning("FAIL [router-0]: Connect failed again")
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(event["detail"].split()[0], event.get("held_back_lines")) for event in told] == [
        ("FAIL", None),
        ("ERROR", None),
        ("FAIL", 19),
    ]
