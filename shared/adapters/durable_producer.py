"""A producer for those who may answer only after Kafka has the record: acks=all, idempotent, reports on the event loop.

One synchronous client, polled by the event loop itself: every millisecond while reports are owed, else ten times a second. A
thread that polls would take the interpreter's lock from the loop once per record, which costs more than the record itself. A
client that ended itself (a fatal error) is replaced; what it had not delivered is reported as failed. Whether Kafka is there is
told by `kafka_presence.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from shared.adapters.kafka import KAFKA_LOGGER
from shared.adapters.kafka_presence import KafkaPresence
from shared.domain.errors import ChannelsError, InvalidInput, Unavailable

__all__ = ["Delivered", "DurableProducer"]

Headers = list[tuple[str, bytes]]
Delivered = Callable[[ChannelsError | None], None]
"""Called on the event loop once per record: None when Kafka has it, else why it does not (or may not) have it."""

_POLL_SECONDS = 0.001  # while reports are owed: it adds half of that to an answer
_IDLE_POLL_SECONDS = 0.1  # errors of the client are told by polls, too
_NEVER_FIT = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD)


class DurableProducer:
    """Writes to one cluster; made and used on one event loop.

    `config`: from `client_config`. `watched_topic`: the topic whose leaders must be there for `ready`. `delivery_seconds`: after
    it (and up to a second more) an undelivered record is reported as failed. `queued_records`: above it `produce` refuses.
    """

    def __init__(
        self,
        config: Mapping[str, str | int | bool],
        *,
        watched_topic: str,
        delivery_seconds: float = 4.0,
        queued_records: int = 20_000,
        linger_ms: int = 2,
    ) -> None:
        self._config: dict[str, str | int | bool] = {
            **config,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": linger_ms,
            "message.timeout.ms": int(delivery_seconds * 1000),
            "queue.buffering.max.messages": queued_records,
            "queue.buffering.max.kbytes": 131_072,
            "message.max.bytes": 1_000_000,
            "socket.connection.setup.timeout.ms": 2_000,
        }
        self._presence = KafkaPresence(watched_topic)
        self._producer = self._new_producer()
        self._reports: deque[tuple[Delivered, KafkaError | None]] = deque()  # told by the client, not yet handed over
        self._owed = 0  # records without a report
        self._fatal = False
        self._retired: list[Producer] = []  # clients that ended themselves and have not yet reported all they held
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._quick = False  # the timer is set for a report that is owed
        self._log = structlog.get_logger()

    @property
    def ready(self) -> bool:
        """True while Kafka can be expected to take records: flips within 2 s of losing it and of getting it back."""
        return self._presence.present

    @property
    def reason(self) -> str:
        """Why `ready` is what it is, in a few words."""
        return self._presence.reason

    def start(self) -> None:
        """Begin to poll and to watch; call it on the event loop that will get the reports."""
        self._loop = asyncio.get_running_loop()
        self._poll()
        self._presence.start(lambda: self._producer)

    def produce(self, topic: str, key: bytes, value: bytes, headers: Headers, delivered: Delivered) -> None:
        """Queue one record; `delivered` is called on the loop, never from within this call. Never blocks.

        Raises Unavailable at once while Kafka is away or the queue is full; `delivered` is then not called.
        """
        if not self._presence.present:
            raise Unavailable(f"Kafka: {self._presence.reason}")
        if self._loop is None:
            raise Unavailable("Kafka: nobody polls for reports")
        reported = partial(self._reported, delivered)
        try:
            self._producer.produce(topic, value, key, on_delivery=reported, headers=headers)  # type: ignore[arg-type]  # a list is invariant
        except BufferError as error:
            raise Unavailable("Kafka: the send queue is full") from error
        except KafkaException as error:
            raise _translated(error.args[0]) from error
        self._owed += 1
        if not self._quick:
            self._poll_in(_POLL_SECONDS)

    def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> asyncio.Future[None]:
        """As `produce`, as a future that ends with None or with the error."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def delivered(error: ChannelsError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self.produce(topic, key, value, headers, delivered)
        return future

    async def stop(self, seconds: float) -> int:
        """Wait for what is queued, at most `seconds`, then poll no more; how many records were left without a report."""
        left: int = await asyncio.to_thread(self._producer.flush, seconds)
        self._presence.stop()
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
        self._hand_over()
        return left

    def _new_producer(self) -> Producer:
        return Producer({**self._config, "error_cb": self._on_error}, logger=KAFKA_LOGGER)

    def _poll(self) -> None:
        try:
            self._producer.poll(0)
            if self._retired:
                self._poll_retired()
            self._hand_over()
            if self._fatal:
                self._replace()
        finally:  # whatever a receiver of reports raises, the others get theirs
            self._poll_in(_POLL_SECONDS if self._owed else _IDLE_POLL_SECONDS)

    def _poll_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._quick = seconds == _POLL_SECONDS
        if self._loop is not None:
            self._timer = self._loop.call_later(seconds, self._poll)

    def _replace(self) -> None:
        """The client will never send again. Its records are reported as failed: nobody is told that they are safe."""
        new = self._new_producer()  # before the old one is given up: if this fails, the next poll tries again
        old, self._producer, self._fatal = self._producer, new, False
        old.purge()
        self._retired.append(old)
        self._log.error("producer_replaced", unreported=len(old))

    def _poll_retired(self) -> None:
        """Records without a report would be requests without an answer, and places that nobody gives back."""
        fatal = self._fatal  # what an old client says of itself is no news of the one in use
        for old in self._retired:
            old.poll(0)
        self._fatal = fatal
        self._retired = [old for old in self._retired if len(old)]

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._log.error("producer_failed", error=error.str())
            self._fatal = True
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._presence.lost("no broker is reachable")

    def _reported(self, delivered: Delivered, error: KafkaError | None, _: Message) -> None:
        self._reports.append((delivered, error))

    def _hand_over(self) -> None:
        """Outside of the client's poll, which would end at the first exception."""
        reports, acknowledged = self._reports, False
        while reports:
            delivered, error = reports.popleft()
            self._owed -= 1
            if error is None:
                if not acknowledged:
                    acknowledged = True
                    self._presence.acknowledged()
                delivered(None)
            else:
                self._presence.failed(error)
                delivered(_translated(error))


def _translated(error: KafkaError) -> ChannelsError:
    if error.code() in _NEVER_FIT:
        return InvalidInput(f"Kafka refuses the record: {error.str()}", reason="record_refused")
    return Unavailable(f"Kafka: {error.str()}")
