"""A stand-in for the automation module: reads requests, answers as a flow of its kind would, and is killed like everybody else.

A process of its own (`python -m tests.chaos.automation`). How it answers is thrown by the message's own id, so a request that
it meets again after a kill gets the same answers again. It commits a request only when all its answers are out.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from prometheus_client import CollectorRegistry

from shared.adapters.avro import Codec
from shared.adapters.kafka import KAFKA_LOGGER, client_config, full_name
from shared.domain.enums import IntakeOutcome
from shared.domain.errors import CorruptData
from shared.domain.records import IntakeCompleted, IntakeRequested
from shared.domain.topics import Topic
from shared.runtime.lifecycle import StopRequest, on_signals
from shared.runtime.operations import OperationsServer
from shared.runtime.settings import KafkaSettings, load
from tests.chaos.ground_plan import FLOWS, HASTY_SECONDS, UNITS
from tests.chaos.provider import Route

PORT = "CHAOS_AUTOMATION_PORT"
_ROUTE, _EXTEND = IntakeOutcome.ROUTE, IntakeOutcome.EXTEND
_GARBAGE = b"\xc3\x01no answer at all"


@dataclass(frozen=True, slots=True)
class Said:
    """One answer and how long after the request it comes. `outcome` None: bytes that are no answer."""

    after_seconds: float
    outcome: IntakeOutcome | None
    unit: str | None = None
    reason: str | None = None
    extend_seconds: int | None = None
    for_nobody: bool = False


def answers(route: Route, provider_message_id: str) -> list[Said]:
    """What a flow says to the request about this message, in order."""
    dice = random.Random(f"answers-{provider_message_id}")
    soon, unit = dice.random() * 0.3, dice.choice(UNITS)
    to_unit = Said(soon, _ROUTE, unit)
    if route is Route.PATIENT:
        other = Said(soon, dice.choice((_ROUTE, IntakeOutcome.DROP)), UNITS[(UNITS.index(unit) + 1) % len(UNITS)], "second")
        ways = (
            (55, [to_unit]),
            (12, [Said(soon, IntakeOutcome.HANDLED)]),
            (10, [Said(soon, IntakeOutcome.DROP, reason="not_wanted")]),
            (6, [Said(0, _EXTEND, extend_seconds=500), Said(soon + 1.0, _ROUTE, unit)]),
            (8, [to_unit, other]),
            (3, [Said(0, _ROUTE, unit, for_nobody=True), to_unit]),
            (3, [Said(0, None), to_unit]),
            (3, [Said(0, _ROUTE), to_unit]),  # names no unit: no answer
        )
    else:
        ways = (
            (60, [to_unit]),
            (12, [Said(HASTY_SECONDS + 2.0, _ROUTE, unit)]),
            (12, []),
            (8, [Said(0, None)]),
            (8, [Said(0, _EXTEND, extend_seconds=2 * HASTY_SECONDS), Said(HASTY_SECONDS + 1.0, _ROUTE, unit)]),
        )
    return list(dice.choices([way for _, way in ways], [weight for weight, _ in ways])[0])


@dataclass(slots=True)
class _Unfinished:
    """Requests of one partition whose answers are not all out: offset -> how many are missing."""

    missing: dict[int, int] = field(default_factory=dict)
    read_to: int = 0

    def offset(self) -> int:
        """From which a restart must read again."""
        return min(self.missing, default=self.read_to)


class Automation:
    """`run` works until stopped. Kafka's faults are ridden out; answers may come twice, never not at all."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._bootstrap, self._prefix = settings.kafka_bootstrap, settings.topic_prefix
        self._codec = Codec()
        self._routes = {flow: route for route, flow in FLOWS.items()}
        self._due: list[tuple[float, int, int, int, IntakeRequested, Said]] = []
        self._count = itertools.count()
        self._unfinished: dict[int, _Unfinished] = {}
        self._asked_at = 0.0
        self._committed_at = 0.0

    @property
    def ready(self) -> tuple[bool, str]:
        """Whether it asks for requests."""
        return time.monotonic() - self._asked_at < 5.0, "asks for requests"

    def run(self, stop: StopRequest) -> None:
        """Read, answer, commit."""
        config = client_config(self._bootstrap, "chaos-automation")
        reading = {
            **config,
            "group.id": f"{self._prefix}chaos-automation",
            "group.instance.id": "chaos-automation",
            "session.timeout.ms": 6_000,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
        consumer = Consumer(reading, logger=KAFKA_LOGGER)
        producer = Producer({**config, "acks": "all", "enable.idempotence": True}, logger=KAFKA_LOGGER)
        consumer.subscribe([full_name(self._prefix, Topic.INTAKE_REQUESTED)], on_assign=self._begin, on_revoke=self._begin)
        while not stop:
            for message in consumer.consume(200, 0.02):
                if message.error() is None:
                    self._take(message.partition() or 0, message.offset() or 0, message.value() or b"")
            self._asked_at = time.monotonic()
            self._answer(producer)
            producer.poll(0)
            self._commit(consumer)
        producer.flush(5)
        self._committed_at = 0.0
        self._commit(consumer)
        consumer.close()

    def _begin(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._unfinished.clear()
        self._due.clear()

    def _take(self, partition: int, offset: int, value: bytes) -> None:
        request: IntakeRequested = self._codec.decode(Topic.INTAKE_REQUESTED, value)
        says = answers(self._routes[request.intake_flow_id], request.message.provider_message_id)
        state = self._unfinished.setdefault(partition, _Unfinished())
        state.read_to = offset + 1
        if says:
            state.missing[offset] = len(says)
        for one in says:
            due = time.monotonic() + one.after_seconds
            heapq.heappush(self._due, (due, next(self._count), partition, offset, request, one))

    def _answer(self, producer: Producer) -> None:
        topic = full_name(self._prefix, Topic.INTAKE_COMPLETED)
        while self._due and self._due[0][0] <= time.monotonic():
            _, _, partition, offset, request, said = heapq.heappop(self._due)

            def out(error: object, _message: object, partition: int = partition, offset: int = offset) -> None:
                state = self._unfinished.get(partition)
                if error is None and state is not None and offset in state.missing:
                    state.missing[offset] -= 1
                    if not state.missing[offset]:
                        del state.missing[offset]

            key = request.message.conversation_id.encode()
            producer.produce(topic, key=key, value=self._value(request, said), on_delivery=out)

    def _value(self, request: IntakeRequested, said: Said) -> bytes:
        if said.outcome is None:
            return _GARBAGE
        request_id = str(UUID(int=UUID(request.request_id).int ^ 1)) if said.for_nobody else request.request_id
        completed = IntakeCompleted(
            request_id=request_id,
            outcome=said.outcome,
            org_unit_id=said.unit if said.outcome is _ROUTE else None,
            reason=said.reason,
            extend_seconds=said.extend_seconds,
            labels=("vip",) if said.outcome is _ROUTE else (),
            completed_at_ms=time.time_ns() // 1_000_000,
        )
        return self._codec.encode(Topic.INTAKE_COMPLETED, completed)

    def _commit(self, consumer: Consumer) -> None:
        if time.monotonic() - self._committed_at < 0.3:
            return
        self._committed_at = time.monotonic()
        topic = full_name(self._prefix, Topic.INTAKE_REQUESTED)
        positions = [TopicPartition(topic, partition, state.offset()) for partition, state in self._unfinished.items()]
        try:
            if positions:
                consumer.commit(offsets=positions, asynchronous=False)
        except KafkaException:  # Kafka is away, or the group forms: the next commit says the same
            return


def understood(codec: Codec, value: bytes) -> IntakeCompleted | None:
    """An answer as it lies in the topic; None if it is none."""
    try:
        answer: IntakeCompleted = codec.decode(Topic.INTAKE_COMPLETED, value)
    except CorruptData:
        return None
    return None if answer.outcome is _ROUTE and answer.org_unit_id is None else answer


def decisive(said: Iterator[IntakeCompleted]) -> IntakeCompleted | None:
    """The first answer that settles a request."""
    return next((answer for answer in said if answer.outcome is not _EXTEND), None)


def main() -> None:
    """Run until SIGTERM."""
    stop = StopRequest()
    on_signals(stop.set, 10)
    automation = Automation(load(KafkaSettings))
    operations = OperationsServer("127.0.0.1", int(os.environ[PORT]), CollectorRegistry(), lambda: automation.ready)
    operations.start()
    try:
        automation.run(stop)
    finally:
        operations.stop()


if __name__ == "__main__":
    main()
