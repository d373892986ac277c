"""Follows the two compacted snapshot topics into a `Directory`: how every service learns its configuration.

Reads all partitions from the beginning without a consumer group, `read_committed`, and is ready once it has come to the end that
each partition had when it started. It serves on from memory through any loss of Kafka, and `ready` never goes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.adapters.avro import Codec
from shared.adapters.directory import Directory
from shared.adapters.kafka import KAFKA_LOGGER, client_config, full_name
from shared.domain.errors import ConfigError, CorruptData, Unavailable
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot
from shared.domain.topics import Topic

__all__ = ["ConnectorListener", "Directory", "SnapshotReader"]

ConnectorListener = Callable[[str, ConnectorSnapshot | None], None]

_KINDS = (Topic.CONNECTOR_SNAPSHOT, Topic.ACCOUNT_SNAPSHOT)
_POLL_SECONDS = 0.2
_RETRY_SECONDS = 1.0
_CALL_SECONDS = 5.0


class SnapshotReader:
    """Owns one thread and one consumer; `directory` may be read from every thread at any time.

    `on_connector_change(connector_id, snapshot or None)` is called in the reader's thread after the directory has changed.
    """

    def __init__(
        self, bootstrap: str, topic_prefix: str, codec: Codec, on_connector_change: ConnectorListener | None = None
    ) -> None:
        self.directory = Directory()
        self.undecodable = 0  # records skipped since the start; each was logged
        self._bootstrap = bootstrap
        self._prefix = topic_prefix
        self._topics = {full_name(topic_prefix, kind): kind for kind in _KINDS}
        self._codec = codec
        self._on_connector_change = on_connector_change
        self._next: dict[tuple[str, int], int] = {}  # where to read on after the consumer had to be rebuilt
        self._unread: dict[tuple[str, int], int] = {}  # partition -> end to be reached before we are ready
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._log = structlog.get_logger()

    @property
    def ready(self) -> bool:
        """True once all that was published before the start is in the directory; stays true."""
        return self._ready.is_set()

    def start(self) -> None:
        """Begin to read; returns at once."""
        self._thread.start()

    def wait_ready(self, seconds: float) -> bool:
        """Block until ready, at most `seconds`; True if ready."""
        return self._ready.wait(seconds)

    def stop(self) -> None:
        """End the thread and close the consumer; the directory stays readable. Blocks for a poll at most, as a rule."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_CALL_SECONDS + _RETRY_SECONDS)

    def _run(self) -> None:
        failing = False
        while not self._stopping.is_set():
            consumer = self._consumer()
            try:
                self._assign(consumer)
                failing = False
                self._follow(consumer)
            except Exception as error:
                if not failing:  # one line per outage, not one per second
                    self._log.warning("snapshots_waiting", error=str(error), kind=type(error).__name__)
                failing = True
                self._stopping.wait(_RETRY_SECONDS)
            finally:
                consumer.close()

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **client_config(self._bootstrap, "snapshots"),
                "group.id": f"{self._prefix}channels-snapshots",  # demanded by the library; nothing is ever committed to it
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": 4096,  # the default would buffer 64 MB per partition while it catches up
            },
            logger=KAFKA_LOGGER,
        )

    def _assign(self, consumer: Consumer) -> None:
        """Take all partitions, from the beginning or from where the last consumer stood."""
        wanted: list[TopicPartition] = []
        for name in self._topics:
            metadata = consumer.list_topics(name, timeout=_CALL_SECONDS).topics[name]
            if metadata.error is not None or not metadata.partitions:
                raise Unavailable(f"topic {name} does not exist yet; run `channels topics apply`")
            for number in metadata.partitions:
                place = (name, number)
                if place not in self._next:
                    self._unread[place] = consumer.get_watermark_offsets(TopicPartition(*place), timeout=_CALL_SECONDS)[1]
                wanted.append(TopicPartition(name, number, self._next.get(place, OFFSET_BEGINNING)))
        consumer.assign(wanted)

    def _follow(self, consumer: Consumer) -> None:
        while not self._stopping.is_set():
            for message in consumer.consume(500, _POLL_SECONDS):
                error = message.error()
                if error is None:
                    self._take(message)
                    self._next[_place(message)] = (message.offset() or 0) + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._reached_end(consumer, _place(message), message.offset() or 0)
                elif error.fatal():
                    raise KafkaException(error)
                # the rest (broker away, leader moved) is the library's to mend; it is in its log

    def _reached_end(self, consumer: Consumer, place: tuple[str, int], offset: int) -> None:
        if place not in self._unread:
            return
        if offset < self._unread[place]:  # behind an open transaction, or the topic was made anew: where is the end now?
            self._unread[place] = consumer.get_watermark_offsets(TopicPartition(*place), timeout=_CALL_SECONDS)[1]
        if offset < self._unread[place]:
            return
        del self._unread[place]
        if not self._unread and not self.ready:
            self._log.info("snapshots_ready", connectors=len(self.directory.connectors()), accounts=self.directory.account_count)
            self._ready.set()

    def _take(self, message: Message) -> None:
        kind = self._topics[message.topic() or ""]
        try:
            key = (message.key() or b"").decode()
            value = message.value()
            snapshot = None if value is None else self._decode(kind, key, value)
        except (CorruptData, UnicodeDecodeError) as error:
            self.undecodable += 1
            self._log.error(
                "snapshot_undecodable",
                topic=kind.value,
                partition=message.partition(),
                offset=message.offset(),
                error=str(error),
            )
            return
        if kind is Topic.ACCOUNT_SNAPSHOT:
            self._put_account(key, snapshot)
        else:
            self._put_connector(key, snapshot)

    def _decode(self, kind: Topic, key: str, value: bytes) -> ConnectorSnapshot | AccountSnapshot:
        while True:
            try:
                snapshot: ConnectorSnapshot | AccountSnapshot = self._codec.decode(kind, value)
                break
            except (Unavailable, ConfigError) as error:  # of the schema registry; skipping would lose configuration
                self._log.warning("snapshots_waiting", error=str(error), kind=type(error).__name__)
                if self._stopping.wait(_RETRY_SECONDS):
                    raise
        subject = snapshot.account_id if isinstance(snapshot, AccountSnapshot) else snapshot.connector_id
        if subject != key:
            raise CorruptData(f"snapshot of {subject} under the key {key}")
        return snapshot

    def _put_account(self, account_id: str, snapshot: ConnectorSnapshot | AccountSnapshot | None) -> None:
        if isinstance(snapshot, AccountSnapshot):
            self.directory.put_account(snapshot)
        else:
            self.directory.delete_account(account_id)

    def _put_connector(self, connector_id: str, snapshot: ConnectorSnapshot | AccountSnapshot | None) -> None:
        if isinstance(snapshot, ConnectorSnapshot):
            changed = self.directory.put_connector(snapshot)
        else:
            snapshot, changed = None, self.directory.delete_connector(connector_id)
        if changed and self._on_connector_change is not None:
            try:
                self._on_connector_change(connector_id, snapshot)
            except Exception:
                self._log.exception("snapshot_listener_failed", connector_id=connector_id)


def _place(message: Message) -> tuple[str, int]:
    return message.topic() or "", message.partition() or 0
