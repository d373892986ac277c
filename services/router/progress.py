"""Refuses to work on offsets that the claims in PostgreSQL do not belong to.

Kafka's committed offset must lie within what the database has seen of this incarnation of the topic. It does not when
the topic was re-created, when Kafka lost its offsets, or when PostgreSQL was restored to an earlier day; going on would
double or lose messages, so a person decides with `channels router adopt`.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.adapters.router_store import RouterStore
from shared.domain.errors import ConfigError

ADOPT = "look at docs/OPERATIONS.md, then run `channels router adopt`"


def check_progress(store: RouterStore, topic: str, topic_id: str, committed: Mapping[int, int]) -> None:
    """Compare committed offsets with the database's own book; start the book of a partition never worked on.

    Raises ConfigError when they disagree, Unavailable when the database does not answer.
    """
    book = store.progress(topic)
    for partition, offset in sorted(committed.items()):
        if partition not in book:
            if offset != 0:
                raise ConfigError(
                    f"{topic}/{partition}: offset {offset} is committed but the database knows nothing of it; {ADOPT}"
                )
            store.start_progress(topic, topic_id, partition, 0)
            continue
        known_id, first, end = book[partition]
        if known_id != topic_id:
            raise ConfigError(f"{topic} was re-created (id {topic_id}, the database knows {known_id}); {ADOPT}")
        if not first <= offset <= end:
            raise ConfigError(
                f"{topic}/{partition}: offset {offset} is outside of what the database knows ({first}..{end}); {ADOPT}"
            )
