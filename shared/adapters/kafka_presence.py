"""Tells whether Kafka is there, within two seconds of losing it and of getting it back.

A killed broker closes its connections and the client says so at once. A frozen one (SIGSTOP, a machine that hangs) keeps them
open and says nothing, so a thread asks for the topic's leaders twice a second. Deliveries count as answers, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

_ASK_EVERY_SECONDS = 0.5
_ANSWER_WITHIN_SECONDS = 1.0  # with the pause before: a frozen broker is noticed after at most 1.5 s
_FRESH_SECONDS = 1.0


class KafkaPresence:
    """The state, and the thread that asks. Safe for threads; starts as absent."""

    def __init__(self, topic: str) -> None:
        self.present = False
        self.reason = "not asked yet"
        self._topic = topic
        self._acknowledged_at = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger()

    def start(self, client: Callable[[], Producer]) -> None:
        """Begin to ask; `client` gives the client in use."""
        self._thread = threading.Thread(target=self._ask_on, args=(client,), name="kafka-presence", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; does not wait for an answer under way."""
        self._stopping.set()

    def acknowledged(self) -> None:
        """Kafka has just taken a record."""
        self._acknowledged_at = time.monotonic()

    def failed(self, error: KafkaError) -> None:
        """A record was not delivered; means something only where none is being delivered either."""
        if not self._fresh():
            self.lost(f"records are not delivered ({error.str()})")

    def lost(self, reason: str) -> None:
        """Kafka is away, as far as the client can tell."""
        if self.present:
            self._log.warning("kafka_lost", reason=reason)
        self.present, self.reason = False, reason

    def _fresh(self) -> bool:
        return time.monotonic() - self._acknowledged_at < _FRESH_SECONDS

    def _ask_on(self, client: Callable[[], Producer]) -> None:
        while not self._stopping.is_set():
            fault = self._ask(client())
            if fault is None:
                self._found()
            elif not self._fresh():
                self.lost(fault)
            self._stopping.wait(_ASK_EVERY_SECONDS)

    def _found(self) -> None:
        if not self.present:
            self._log.info("kafka_found")
        self.present, self.reason = True, "Kafka answers"

    def _ask(self, client: Producer) -> str | None:
        """None if at least one partition has a leader; else what is wrong. Blocks for a second at most."""
        try:
            topic = client.list_topics(self._topic, timeout=_ANSWER_WITHIN_SECONDS).topics[self._topic]
        except KafkaException as error:
            return f"no answer ({error.args[0].name()})"
        if topic.error is not None:
            return f"topic {self._topic}: {topic.error.str()}"
        if not any(partition.leader >= 0 for partition in topic.partitions.values()):
            return f"topic {self._topic} has no leader"
        return None
