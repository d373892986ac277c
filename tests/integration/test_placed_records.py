"""Records read again by their place, and copies at the end of a partition, on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from shared.adapters.kafka import client_config
from shared.adapters.kafka_admin import KafkaAdmin
from shared.adapters.placed_records import Copy, PlacedRecords
from shared.domain.errors import NotFound


@pytest.fixture
def records(kafka_bootstrap: str, topic_prefix: str) -> Iterator[PlacedRecords]:
    name = f"{topic_prefix}places"
    KafkaAdmin(kafka_bootstrap).create_topic(name, 2, 1, {})
    producer = Producer(client_config(kafka_bootstrap, "test"))
    for number in range(1_000):
        producer.produce(name, str(number), f"k{number}", number % 2, headers=[("n", str(number).encode())])
        producer.poll(0)
    assert producer.flush(20) == 0
    with PlacedRecords(kafka_bootstrap, name) as placed:
        yield placed


def test_what_lies_at_a_place_is_found_whatever_lies_between(records: PlacedRecords) -> None:
    places = [(0, 0), (0, 3), (0, 499), (1, 2), (1, 300), (1, 500), (7, 0), (0, 10**12)]
    found = records.read_at(places)
    assert {place: record.value for place, record in found.items()} == {
        (0, 0): b"0",
        (0, 3): b"6",
        (0, 499): b"998",
        (1, 2): b"5",
        (1, 300): b"601",
    }
    assert (found[1, 2].key, found[1, 2].headers) == (b"k5", (("n", b"5"),))
    assert records.read_at([]) == {}


def test_what_retention_took_is_absent(records: PlacedRecords, kafka_bootstrap: str) -> None:
    admin = AdminClient(client_config(kafka_bootstrap, "test"))  # its answers come only while it is there
    deleted = admin.delete_records([TopicPartition(records.topic, 0, 100)])
    assert [future.result(10).low_watermark for future in deleted.values()] == [100]
    assert set(records.read_at([(0, 99), (0, 100), (1, 99)])) == {(0, 100), (1, 99)}
    assert records.bounds() == {0: (100, 500), 1: (0, 500)}


def test_copies_go_where_they_are_told_in_order(records: PlacedRecords) -> None:
    copies = [Copy(1, b"k", str(number).encode(), (("ce_id", b"1"),)) for number in range(300)]
    too_large = Copy(1, b"k", b"x" * 2_000_000, ())
    places = records.append([*copies, too_large, Copy(9, b"k", b"no such partition", ())])
    assert places == [*((1, 500 + number) for number in range(300)), None, None]
    again = records.read_at([(1, 500), (1, 799)])
    assert [record.value for record in again.values()] == [b"0", b"299"]
    assert again[1, 500].headers == (("ce_id", b"1"),)


def test_a_topic_that_is_not_there_is_said(kafka_bootstrap: str, topic_prefix: str) -> None:
    with PlacedRecords(kafka_bootstrap, f"{topic_prefix}none") as placed, pytest.raises(NotFound, match="topics apply"):
        placed.bounds()


class Forgetful:
    """A broker that has just become leader: once it says that its log ends where it does not."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._told = False

    def consume(self, count: int, timeout: float) -> list[Any]:
        if self._told:
            return list(self._consumer.consume(count, timeout))
        self._told = True
        return [_End()]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)


class _End:
    def error(self) -> KafkaError:
        return KafkaError(KafkaError._PARTITION_EOF)

    def offset(self) -> int:
        return 3


def test_an_end_before_what_is_there_is_not_believed(records: PlacedRecords) -> None:
    records._consumer = Forgetful(records._consumer)
    assert records.read_at([(0, 7)])[0, 7].value == b"14"
