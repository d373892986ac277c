"""Part 7: held records that are due, sent again by the relay, against a loop that seeks, writes and commits record by record."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from confluent_kafka import Consumer, TopicPartition

from shared.adapters.kafka import client_config, full_name
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.topics import Topic
from tests.bench.measurement import Part, Series, Values, interleave
from tests.bench.output import Output, rates
from tests.bench.processes import Measured, free_port
from tests.bench.router import Bodies
from tests.bench.site import Site
from tests.pipeline import Pipeline

COPIES, COPIES_CPU = "redeliveries per second", "redeliveries per CPU second"
UNITS = {COPIES: "rows/s", COPIES_CPU: "rows/CPU s"}
RELAY, NAIVE, CONTROL = "relay", "a seek and a transaction per record", "relay again (control)"
PROMISE, PROMISED = "the promise", 5_000.0

_HOLD = """INSERT INTO held_record (id, connector_id, account_id, conversation_id, epoch, raw_partition, raw_offset, item,
    reason, blocks, due_at, expires_at, first_arrival_at)
SELECT gen_random_uuid(), %s, %s, gen_random_uuid(), %s, 0, place, '/entry/0/changes/0/value/messages/0', 'paused', true,
    now(), now() + interval '7 days', now()
FROM generate_series(%s::bigint, %s::bigint) AS place"""
_SETTLE = "UPDATE held_record SET state = 'done' WHERE state = 'sent'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Rows per round for each candidate, and rounds."""

    relay: int = 20_000
    naive: int = 300
    rounds: int = 3

    @classmethod
    def quick(cls) -> Sizes:
        """Only enough to see that all of it works."""
        return cls(relay=4_000, naive=100, rounds=1)


class Rounds:
    """One candidate in rounds on one installation, so that its tables grow as they would."""

    def __init__(self, site: Site, pipeline: Pipeline, bodies: Bodies, module: str, rows: int) -> None:
        self._site = site
        self._pipeline = pipeline
        self._bodies = bodies
        self._module = module
        self._rows = rows
        self._topic = full_name(pipeline.prefix, Topic.WEBHOOK_RECEIVED)

    def measure(self) -> Values:
        """One round: records and rows that are due, a fresh process, until the last copy is in the raw topic."""
        first = self._end()
        for body in self._bodies.take(self._rows):
            self._pipeline.post(body, flush=False)
        self._pipeline.flush()
        epoch = topic_incarnation(self._pipeline.bootstrap, self._topic)
        self._run(_HOLD, self._pipeline.connector_id, self._pipeline.unit_account_id, epoch, first, first + self._rows - 1)
        environment = self._site.environment(self._pipeline, relay_operations_port=free_port()) | {
            "BENCH_BOOTSTRAP": self._pipeline.bootstrap,
            "BENCH_TOPIC": self._topic,
        }
        process = Measured([sys.executable, "-m", self._module], environment, self._site.logs / "relay.log")
        with Output(self._pipeline.bootstrap, self._topic) as output, process:
            samples = output.watch(self._rows, 120, process.cpu_seconds, process.check)
        self._run(_SETTLE)
        per_second, per_cpu = rates(samples)
        return {COPIES: per_second, COPIES_CPU: per_cpu}

    def _end(self) -> int:
        consumer = Consumer(client_config(self._pipeline.bootstrap, "bench") | {"group.id": "unused"})
        try:
            _, end = consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=10)
            return int(end)
        finally:
            consumer.close()

    def _run(self, statement: str, *parameters: object) -> None:
        url = self._pipeline.database.worker_url.replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement, parameters)  # type: ignore[call-overload]


def run(site: Site, sizes: Sizes, say: Callable[[str], None]) -> Part:
    """The whole part. Blocks for about a minute (quick: ten seconds)."""
    part = Part(
        name="redelivery",
        title="Redelivery of held records",
        settings={"rows per round": {RELAY: sizes.relay, NAIVE: sizes.naive}, "rounds": sizes.rounds},
    )
    pipeline, bodies = site.installation(), Bodies()
    relay = Rounds(site, pipeline, bodies, "services.relay", sizes.relay)
    naive = Rounds(site, pipeline, bodies, "tests.bench.variants.naive_redelivery", sizes.naive)
    say("  warming up: one round that is not counted")
    relay.measure()
    part.series = interleave({RELAY: relay.measure, NAIVE: naive.measure, CONTROL: relay.measure}, sizes.rounds, UNITS, say)
    part.series.append(Series(candidate=PROMISE, measure=COPIES, unit=UNITS[COPIES], values=[PROMISED]))
    part.compare(COPIES, RELAY, PROMISE, target=1.0)
    part.compare(COPIES, RELAY, NAIVE)
    part.compare(COPIES_CPU, RELAY, NAIVE)
    part.compare(COPIES, CONTROL, RELAY)
    part.notes = [
        "A redelivery: a row that is due is found at the head of its line, marked sent and committed; its record is read again,"
        " its copy is acknowledged by Kafka (acks=all), and its place is noted in the row and committed. No router runs.",
        "Every row has a conversation and a record of its own, with a sealed text message in it. Rates exclude start-up: they"
        " begin when a tenth of the copies is visible.",
        "The rival does the same steps with the same statements and the same codec, for one row at a time.",
    ]
    return part
