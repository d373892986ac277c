"""Adopting: a person tells the router that Kafka's committed offsets are right, after a restore or a re-created topic."""

from __future__ import annotations

from shared.adapters.kafka import full_name
from shared.adapters.kafka_admin import KafkaAdmin
from shared.adapters.router_store import RouterStore
from shared.adapters.topic_declarations import declarations
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.errors import NotFound
from shared.domain.topics import Topic


def adopt(bootstrap: str, topic_prefix: str, worker_url: str, *, dry_run: bool = False) -> list[str]:
    """Set the database's book to the topic as it is and the offsets as they are committed; one line for each partition.

    What lies before a committed offset is never looked at again. Raises Unavailable, ConfigError, NotFound.
    """
    topic = full_name(topic_prefix, Topic.WEBHOOK_RECEIVED)
    topic_id = topic_incarnation(bootstrap, topic)
    admin = KafkaAdmin(bootstrap)
    partitions = admin.cluster()[1][topic].partitions
    (group,) = declarations()[Topic.WEBHOOK_RECEIVED].groups
    committed = admin.committed(f"{topic_prefix}{group}", topic, partitions)
    if not committed:
        raise NotFound(f"group {topic_prefix}{group} has committed nothing on {topic}; run `channels topics apply`")
    store = RouterStore(worker_url)
    try:
        book = store.progress(topic)
        lines = []
        for partition, offset in sorted(committed.items()):
            before = (
                "nothing" if partition not in book else f"topic {book[partition][0]}, {book[partition][1]}..{book[partition][2]}"
            )
            lines.append(f"{topic}/{partition}: topic {topic_id}, offset {offset} (was: {before})")
            if not dry_run:
                store.start_progress(topic, topic_id, partition, offset, replace=True)
        return lines
    finally:
        store.close()
