"""Kafka's administrative calls that this project needs, blocking, with the driver's errors translated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from shared.adapters.group_offsets import commit_offsets, committed_offsets
from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.domain.errors import Conflict, Unavailable

_ASK_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_AWAY = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError.REQUEST_TIMED_OUT})
_SOON = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # a topic just created, not yet known everywhere
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the cluster has it."""

    name: str
    partitions: int
    replicas: int  # of the partition that has fewest


class KafkaAdmin:
    """One administrative connection. Every call blocks for at most `timeout_seconds` and raises Unavailable after that.

    Whatever the cluster refuses for another reason is raised as Conflict with the cluster's own words.
    """

    def __init__(self, bootstrap: str, timeout_seconds: float = 30.0) -> None:
        self._bootstrap = bootstrap
        self._timeout = timeout_seconds
        config: dict[str, Any] = {**client_config(bootstrap, "channels-admin")}
        self._client = AdminClient(config, logger=KAFKA_LOGGER)

    def cluster(self) -> tuple[tuple[int, ...], dict[str, TopicState]]:
        """Ids of the brokers, and every topic by its full name."""
        try:
            metadata = self._client.list_topics(timeout=self._timeout)
        except KafkaException as error:
            raise self._translated(error) from error
        topics = {
            name: TopicState(name, len(topic.partitions), min((len(p.replicas) for p in topic.partitions.values()), default=0))
            for name, topic in metadata.topics.items()
        }
        return tuple(sorted(metadata.brokers)), topics

    def create_topic(self, name: str, partitions: int, replicas: int, config: Mapping[str, str]) -> bool:
        """True if created, False if somebody else was quicker."""
        new = NewTopic(name, num_partitions=partitions, replication_factor=replicas, config=dict(config))
        try:
            self._call(lambda: self._client.create_topics([new], operation_timeout=_ASK_SECONDS)[name])
        except Conflict as error:
            if error.reason == "topic_already_exists":
                return False
            raise
        return True

    def topic_configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Full name → every setting in force, as text."""
        return self._configs(ResourceType.TOPIC, names)

    def broker_configs(self, broker_ids: Iterable[int]) -> dict[str, dict[str, str]]:
        """Broker id as text → every setting in force, as text."""
        return self._configs(ResourceType.BROKER, [str(broker) for broker in broker_ids])

    def set_topic_config(self, name: str, changes: Mapping[str, str]) -> None:
        """Change these settings of a topic and leave the others."""
        entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in changes.items()]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        self._call(lambda: self._client.incremental_alter_configs([resource])[resource])

    def committed(self, group: str, topic: str, partitions: int) -> dict[int, int]:
        """Partition → committed offset of the group; partitions without one are left out.

        Waits while a transaction that carries an offset is open: until it ends nobody knows which offset holds.
        """
        try:
            return committed_offsets(self._bootstrap, group, topic, partitions, self._timeout)
        except KafkaException as error:
            raise self._translated(error) from error

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the group's offsets (partition → offset). Raises Conflict while the group has members."""
        try:
            commit_offsets(self._bootstrap, group, topic, offsets, self._timeout)
        except KafkaException as error:
            raise self._translated(error) from error

    def bounds(self, topic: str, partitions: int) -> dict[int, tuple[int, int]]:
        """Partition → (first offset still there, offset after the last one)."""
        spec: Any = OffsetSpec
        numbers = range(partitions)
        return {n: (self._offset(topic, n, spec.earliest()), self._offset(topic, n, spec.latest())) for n in numbers}

    def _offset(self, topic: str, partition: int, spec: Any) -> int:
        asked = TopicPartition(topic, partition)
        found: int = self._call(lambda: self._client.list_offsets({asked: spec})[asked]).offset
        return found

    def _configs(self, kind: ResourceType, names: Iterable[str]) -> dict[str, dict[str, str]]:
        return {name: self._config(ConfigResource(kind, name)) for name in names}

    def _config(self, resource: ConfigResource) -> dict[str, str]:
        entries = self._call(lambda: self._client.describe_configs([resource])[resource])
        return {key: entry.value for key, entry in entries.items() if entry.value is not None}

    def _call(self, ask: Callable[[], Future[Any]]) -> Any:
        """Ask again while the cluster says that it will know soon, or says nothing.

        While the internal offsets topic is being created, a question to the coordinator can stay without any answer (seen
        on first starts of Kafka 4.3); every call here may be repeated, so a fresh one is sent.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return ask().result(timeout=min(_ASK_SECONDS, self._timeout))
            except FutureTimeout as error:
                if time.monotonic() >= deadline:
                    raise self._away("no answer in time") from error
            except KafkaException as error:
                if error.args[0].code() not in _SOON or time.monotonic() >= deadline:
                    raise self._translated(error) from error
            time.sleep(_PAUSE_SECONDS)

    def _translated(self, error: KafkaException) -> Unavailable | Conflict:
        fault: KafkaError = error.args[0]
        if fault.code() in _AWAY or fault.code() in _SOON:
            return self._away(fault.str())
        return Conflict(f"Kafka at {self._bootstrap} refused: {fault.str()}", reason=fault.name().lower())

    def _away(self, detail: str) -> Unavailable:
        return Unavailable(
            f"no answer from Kafka at {self._bootstrap} ({detail}); start the embedded stack with `channels up`, "
            "or set CHANNELS_KAFKA_BOOTSTRAP"
        )
