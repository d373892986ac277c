"""A stack of these tests' own: they kill it, fill its ports and damage its files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local.settings import EmbeddedSettings
from deploy.local.stack import LocalStack


@dataclass
class OwnStack:
    """The stack, and the lines that it said."""

    local: LocalStack
    said: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStack]:
    home = tmp_path_factory.mktemp("own")
    said: list[str] = []
    stack = LocalStack(home, say=said.append, options=EmbeddedSettings())
    try:
        yield OwnStack(stack, said)
    finally:
        stack.stop()
        assert processes_of(home) == []


def processes_of(home: Path) -> list[str]:
    """Command lines of all living processes that work in this directory."""
    commands = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = " ".join(process.info["cmdline"] or ())
        if str(home) in command and process.info["status"] != psutil.STATUS_ZOMBIE and "pytest" not in command:
            commands.append(command)
    return commands


def create_topic(bootstrap: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(15)


def write_record(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
    producer.produce(topic, value)
    assert producer.flush(15) == 0


def read_first(bootstrap: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        record = consumer.poll(15)
        return record.value() if record is not None and record.error() is None else None
    finally:
        consumer.close()
