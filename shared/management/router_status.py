"""How the routers stand, from whoever answers: Kafka, PostgreSQL, and each process's own metrics. What is silent is named."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.error import URLError

from confluent_kafka import KafkaException
from prometheus_client.parser import text_string_to_metric_families

from shared.adapters.first_records import first_record_times
from shared.adapters.group_members import group_members
from shared.adapters.kafka import full_name
from shared.adapters.kafka_admin import KafkaAdmin
from shared.adapters.router_store import DatabaseBroken, RouterStore
from shared.adapters.topic_declarations import declarations
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.errors import ConfigError, Conflict, Unavailable
from shared.domain.topics import Topic

_KAFKA_SECONDS = 5.0
_METRICS_SECONDS = 2.0
# What is shown -> the sample and its labels; a sample that this router does not have is left out.
_SAMPLES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "transactions committed": ("channels_router_batches_total", {"result": "committed"}),
    "transactions aborted": ("channels_router_transactions_aborted_total", {}),
    "tried again for the database": ("channels_router_database_retries_total", {}),
    "breaches": ("channels_router_held_breaches_total", {}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStatus:
    """One raw partition. `oldest_seconds`: age of the oldest record that is not settled; `book`: what the database knows, where
    it answers; `member` None: nobody works on it."""

    partition: int
    committed: int | None
    end: int
    lag: int
    oldest_seconds: float | None
    book: str | None
    member: str | None
    host: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldStatus:
    """Held items of one reason; `oldest_at` in seconds since 1970, by first arrival."""

    reason: str
    state: str
    count: int
    oldest_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """What one process counted since it began."""

    url: str
    counts: Mapping[str, int]


@dataclass(slots=True, kw_only=True)
class RouterStatus:
    """None: who would know did not answer; `troubles` says so."""

    partitions: list[PartitionStatus] | None = None
    held: list[HeldStatus] | None = None
    processes: list[ProcessStatus] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def router_status(bootstrap: str, topic_prefix: str, worker_url: str, metrics_urls: Iterable[str], now: float) -> RouterStatus:
    """Blocks for some seconds where something is away; raises nothing for that. `now`: seconds since 1970."""
    status = RouterStatus()
    book = _ask_database(status, full_name(topic_prefix, Topic.WEBHOOK_RECEIVED), worker_url)
    _ask_kafka(status, bootstrap, topic_prefix, book, now)
    urls = tuple(metrics_urls)
    for url in urls:
        _ask_process(status, url)
    if not urls:
        status.troubles.append("no router was ever started here: give --metrics URL of each for transactions and breaches")
    return status


def _ask_database(status: RouterStatus, topic: str, worker_url: str) -> dict[int, tuple[str, int, int]] | None:
    store = RouterStore(worker_url, statement_timeout_ms=5_000)
    try:
        with store.transaction() as cursor:
            cursor.execute(
                "SELECT reason, state, count(*), extract(epoch FROM min(first_arrival_at))::float8 FROM held_record"
                " WHERE state <> 'done' GROUP BY 1, 2 ORDER BY 3 DESC, 1"
            )
            rows = cursor.fetchall()
        status.held = [HeldStatus(reason=row[0], state=row[1], count=row[2], oldest_at=row[3]) for row in rows]
        return store.progress(topic)
    except (Unavailable, DatabaseBroken) as error:
        status.troubles.append(f"PostgreSQL does not answer ({error}): nothing is known of held items and of the router's book")
        return None
    finally:
        store.close()


def _ask_kafka(
    status: RouterStatus, bootstrap: str, prefix: str, book: dict[int, tuple[str, int, int]] | None, now: float
) -> None:
    (group,) = (f"{prefix}{each}" for each in declarations()[Topic.WEBHOOK_RECEIVED].groups)
    topic = full_name(prefix, Topic.WEBHOOK_RECEIVED)
    admin = KafkaAdmin(bootstrap, _KAFKA_SECONDS)
    try:
        known = admin.cluster()[1].get(topic)
        if known is None:
            status.troubles.append(f"topic {topic} does not exist; run `channels topics apply`")
            return
        committed = admin.committed(group, topic, known.partitions)
        ends = {number: bounds[1] for number, bounds in admin.bounds(topic, known.partitions).items()}
        topic_id = topic_incarnation(bootstrap, topic)
        lagging = {number: committed[number] for number, end in ends.items() if committed.get(number, end) < end}
        oldest = first_record_times(bootstrap, topic, lagging, _KAFKA_SECONDS)
        members = {number: member for member in group_members(bootstrap, group, topic) for number in member.partitions}
    except (Unavailable, Conflict, ConfigError, KafkaException) as error:
        status.troubles.append(f"Kafka does not answer ({error}): nothing is known of lag and members")
        return
    status.partitions = []
    for number, end in sorted(ends.items()):
        offset, member = committed.get(number), members.get(number)
        row = None if book is None else book.get(number)
        status.partitions.append(
            PartitionStatus(
                partition=number,
                committed=offset,
                end=end,
                lag=max(0, end - (offset or 0)),
                oldest_seconds=round(now - oldest[number] / 1000, 1) if number in oldest else None,
                book=None if row is None else f"{row[1]}..{row[2]}",
                member=member.name if member else None,
                host=member.host if member else None,
            )
        )
        _judge(status, number, offset, end, row, topic_id)
    if not members:
        status.troubles.append("no router is in the group: nothing is being worked on")


def _judge(
    status: RouterStatus, partition: int, committed: int | None, end: int, row: tuple[str, int, int] | None, topic_id: str
) -> None:
    told = status.troubles.append
    if committed is None:
        told(f"partition {partition}: no offset is committed; run `channels topics apply`")
    elif committed > end:
        told(f"partition {partition}: the committed offset {committed} lies beyond the end {end}; see `channels router adopt`")
    elif row is not None and row[0] != topic_id:
        told(f"partition {partition}: the topic was re-created; see `channels router adopt --dry-run`")
    elif row is not None and not row[1] <= committed <= row[2]:
        told(f"partition {partition}: routers refuse to start at {committed}; see `channels router adopt --dry-run`")


def _ask_process(status: RouterStatus, url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_METRICS_SECONDS) as answer:  # noqa: S310  an operator's own address
            text = answer.read().decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except (URLError, OSError, ValueError) as error:
        status.troubles.append(f"router at {url} does not answer ({error}): its transactions and breaches are not known")
        return
    counts: dict[str, int] = {}
    for name, (sample_name, labels) in _SAMPLES.items():
        values = [each.value for each in samples if each.name == sample_name and labels.items() <= each.labels.items()]
        if values:
            counts[name] = int(sum(values))
    status.processes.append(ProcessStatus(url=url, counts=counts))
    if counts.get("breaches"):
        status.troubles.append(f"router at {url}: {counts['breaches']} breaches of an invariant; its log names each")
