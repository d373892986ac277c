"""How long partitions stand still when a worker is killed, comes back, or joins: the classic protocol and KIP-848, side by side.

python -m tests.bench.rebalances        prints a table; takes some four minutes, on a stack of its own

The workers are what the router is to Kafka and nothing else: static members that consume, and write what they read in one
transaction with the offsets, with the group's metadata. Six partitions, 50 records a second each; a partition stands still from
one committed record that a read_committed reader sees to the next.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from deploy.local.stack import LocalStack
from tests.bench.kafka_features import offer_new_groups
from tests.bench.processes import ROOT

PARTITIONS, PER_SECOND = 6, 50
PROTOCOLS: dict[str, dict[str, Any]] = {
    "classic": {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
    },
    "consumer": {"group.protocol": "consumer"},  # KIP-848: session and heartbeat are settings of the group at the broker
}

_SAME_TIMES = [
    ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    for name, value in (("consumer.session.timeout.ms", "10000"), ("consumer.heartbeat.interval.ms", "2000"))
]


def work(bootstrap: str, protocol: str, slot: int) -> None:
    """One worker, until it is killed."""
    name = f"{protocol}-{slot}"
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": protocol,
            "group.instance.id": name,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            **PROTOCOLS[protocol],
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "transaction.timeout.ms": 10_000})
    producer.init_transactions(30)
    consumer.subscribe([f"{protocol}-in"])
    while True:
        messages = [message for message in consumer.consume(200, 0.05) if message.error() is None]
        if not messages:
            continue
        ends = {message.partition(): (message.offset() or 0) + 1 for message in messages}
        try:
            producer.begin_transaction()
            for message in messages:
                producer.produce(f"{protocol}-out", message.value(), partition=message.partition() or 0)
            positions = [TopicPartition(f"{protocol}-in", partition or 0, end) for partition, end in ends.items()]
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 5)
            producer.commit_transaction(10)
        except Exception as error:  # what moved on while we worked is another's now
            print(name, error, file=sys.stderr)
            producer.abort_transaction(10)
            # The partitions that are ours go on where the group stands; others refuse the seek.
            for place in consumer.committed(consumer.assignment(), timeout=10):
                consumer.seek(TopicPartition(place.topic, place.partition, max(place.offset, 0)))


class Watch:
    """Sees when each partition's records come out."""

    def __init__(self, bootstrap: str, protocol: str) -> None:
        self.seen: list[list[float]] = [[] for _ in range(PARTITIONS)]
        self._stop = threading.Event()
        self._in = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        self._out = Consumer({"bootstrap.servers": bootstrap, "group.id": "watch", "isolation.level": "read_committed"})
        self._out.assign([TopicPartition(f"{protocol}-out", number, 0) for number in range(PARTITIONS)])
        self._protocol = protocol
        self._threads = [threading.Thread(target=self._post, daemon=True), threading.Thread(target=self._look, daemon=True)]
        for thread in self._threads:
            thread.start()

    def _post(self) -> None:
        while not self._stop.wait(1 / PER_SECOND):
            for partition in range(PARTITIONS):
                self._in.produce(f"{self._protocol}-in", b"x", partition=partition)
            self._in.poll(0)

    def _look(self) -> None:
        while not self._stop.is_set():
            for message in self._out.consume(500, 0.02):
                if message.error() is None:
                    self.seen[message.partition() or 0].append(time.monotonic())

    def close(self) -> None:
        """Stop both."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self._out.close()

    def wait_for_all(self, since: float, seconds: float = 90) -> None:
        """Until every partition has moved since then."""
        deadline = time.monotonic() + seconds
        while not all(times and times[-1] > since for times in self.seen):
            if time.monotonic() > deadline:
                raise TimeoutError([times[-1] - since if times else None for times in self.seen])
            time.sleep(0.05)

    def still(self, since: float) -> list[float]:
        """The longest time each partition stood still from then on, in seconds, longest first."""
        now = time.monotonic()
        gaps = []
        for times in self.seen:
            after = [since, *(at for at in times if at > since), now]
            gaps.append(max(b - a for a, b in pairwise(after)))
        return sorted(gaps, reverse=True)


@contextmanager
def worker(bootstrap: str, protocol: str, slot: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own; killed at the end."""
    command = [sys.executable, "-m", "tests.bench.rebalances", "--work", bootstrap, protocol, str(slot)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def measure(bootstrap: str, protocol: str, rounds: int) -> None:
    """Prints a line per event: the longest and the median standstill over the six partitions."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(f"{protocol}-{end}", PARTITIONS, 1) for end in ("in", "out")]).values():
        future.result(30)
    if protocol == "consumer":
        group = ConfigResource(ResourceType.GROUP, protocol, incremental_configs=_SAME_TIMES)
        try:
            admin.incremental_alter_configs([group])[group].result(30)
        except KafkaException as error:
            print(f"session and heartbeat of the group stay the broker's (45 s and 5 s): {error.args[0].str()}", flush=True)
    watch = Watch(bootstrap, protocol)

    def tell(event: str, since: float, settle: float) -> None:
        watch.wait_for_all(since + 0.5)
        time.sleep(settle)
        watch.wait_for_all(time.monotonic())
        gaps = watch.still(since)
        moved = sum(gap > 0.5 for gap in gaps)
        print(
            f"{protocol:<9} {event:<28} longest {gaps[0]:6.2f} s  median {gaps[3]:6.2f} s  {moved} of 6 above 0.5 s", flush=True
        )

    try:
        with worker(bootstrap, protocol, 0):
            watch.wait_for_all(time.monotonic())
            time.sleep(3)
            with worker(bootstrap, protocol, 1):
                time.sleep(12)
                for _ in range(rounds):
                    began = time.monotonic()
                    with worker(bootstrap, protocol, 2) as third:
                        tell("a third joins", began, 10)
                        began = time.monotonic()
                        third.kill()
                        third.wait(10)
                        with worker(bootstrap, protocol, 2) as again:
                            tell("killed and started again", began, 8)
                            began = time.monotonic()
                            again.kill()
                            again.wait(10)
                            tell("killed for good", began, 5)
    finally:
        watch.close()


def main() -> None:
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--work", nargs=3, metavar=("BOOTSTRAP", "PROTOCOL", "SLOT"))
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("protocols", nargs="*", default=list(PROTOCOLS))
    given = arguments.parse_args()
    if given.work:
        work(given.work[0], given.work[1], int(given.work[2]))
    home = Path(tempfile.mkdtemp(prefix="channels-rebalances-"))
    stack = LocalStack(home)
    try:
        bootstrap = stack.start().kafka_bootstrap
        offer_new_groups(bootstrap)
        for protocol in given.protocols:
            measure(bootstrap, protocol, given.rounds)
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
