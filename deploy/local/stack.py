"""Kafka and PostgreSQL together, in one home directory: start, stop, status, and the file that tells services the addresses."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.local.daemon import PartStatus
from deploy.local.home_lock import HomeLock
from deploy.local.kafka import KafkaNode, KafkaOptions
from deploy.local.postgres import PostgresNode
from deploy.local.settings import EmbeddedSettings
from deploy.local.settings_file import keep_settings
from shared.runtime.settings import load


@dataclass(frozen=True, slots=True, kw_only=True)
class StackAddresses:
    """Where the running stack is."""

    kafka_bootstrap: str
    superuser_url: str  # postgresql+psycopg://postgres@/postgres?host=<socket directory>


def _silent(_: str) -> None:
    """For callers who want no progress lines."""


class LocalStack:
    """The embedded stack of one home directory. Parts that already run are left as they are."""

    def __init__(
        self,
        home: Path,
        *,
        say: Callable[[str], None] = _silent,
        options: EmbeddedSettings | None = None,
        lock: HomeLock | None = None,
    ) -> None:
        self.home = home.expanduser().absolute()
        chosen = options or load(EmbeddedSettings)
        self.lock = lock or HomeLock(self.home)
        kafka_options = KafkaOptions(
            cache=chosen.cache,
            port=chosen.kafka_port,
            controller_port=chosen.kafka_controller_port,
            java_home=chosen.java_home,
        )
        self.kafka = KafkaNode(self.home, kafka_options, self.lock, say)
        self.postgres = PostgresNode(self.home, self.lock, say)

    def start(self, wait_seconds: float = 0) -> StackAddresses:
        """Start what does not run and wait until both answer. Blocks for seconds (a first start: the downloads).

        `wait_seconds`: how long to wait for another `channels up` in this home before raising Conflict.
        Raises Unavailable when a part does not come up, ConfigError for a setting that cannot work.
        """
        with self.lock.held("up", wait_seconds), ThreadPoolExecutor(2) as starters:
            kafka = starters.submit(self.kafka.start)
            postgres = starters.submit(self.postgres.start)
            addresses = StackAddresses(kafka_bootstrap=kafka.result(), superuser_url=postgres.result())
            keep_settings(self.home, {"kafka_bootstrap": addresses.kafka_bootstrap})
        return addresses

    def stop(self) -> list[str]:
        """Stop both in good order; the data stay. Returns the names of those that ran."""
        with self.lock.held("down"), ThreadPoolExecutor(2) as stoppers:
            kafka, postgres = stoppers.submit(self.kafka.stop), stoppers.submit(self.postgres.stop)
            return [name for name, ran in (("kafka", kafka.result()), ("postgres", postgres.result())) if ran]

    def running(self) -> StackAddresses | None:
        """The addresses, if both parts run."""
        if not (self.kafka.running and self.postgres.running):
            return None
        return StackAddresses(kafka_bootstrap=self.kafka.bootstrap, superuser_url=self.postgres.superuser_url)

    def status(self) -> tuple[PartStatus, PartStatus]:
        """Kafka's and PostgreSQL's state, running or not; asks those that run for an answer."""
        return self.kafka.status(), self.postgres.status()

    def memory_bytes(self) -> int:
        """Memory in use by both."""
        return self.kafka.memory_bytes() + self.postgres.memory_bytes()
