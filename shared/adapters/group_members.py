"""Who is in a consumer group, as its coordinator says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.domain.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """One member; `partitions` are those of the topic asked for. `name`: its static id, else its client's."""

    name: str
    host: str
    partitions: tuple[int, ...]


def group_members(bootstrap: str, group: str, topic: str, seconds: float = 5.0) -> tuple[GroupMember, ...]:
    """By name; nobody in a group that is not there. A static member stays until its session ends. Raises Unavailable."""
    admin = AdminClient(dict(client_config(bootstrap, "channels-members")), logger=KAFKA_LOGGER)
    try:
        described: Any = admin.describe_consumer_groups([group], request_timeout=seconds)[group].result(seconds + 5.0)
    except KafkaException as error:
        raise Unavailable(f"Kafka: {error.args[0].str()}") from error
    found = [
        GroupMember(
            name=member.group_instance_id or member.client_id,
            host=member.host.lstrip("/"),
            partitions=tuple(sorted(place.partition for place in _places(member) if place.topic == topic)),
        )
        for member in described.members
    ]
    return tuple(sorted(found, key=lambda member: member.name))


def _places(member: Any) -> list[Any]:
    return list(member.assignment.topic_partitions) if member.assignment is not None else []
