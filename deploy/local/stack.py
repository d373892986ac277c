"""Kafka and PostgreSQL together, in one home directory: start, stop, status, and the file that tells services the addresses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.home_lock import HomeLock
from deploy.local.kafka import KafkaNode, KafkaOptions
from deploy.local.postgres import PostgresNode
from deploy.local.settings import EmbeddedSettings
from shared.runtime.settings import load


@dataclass(frozen=True, slots=True, kw_only=True)
class StackAddresses:
    """Where the running stack is."""

    kafka_bootstrap: str
    superuser_url: str  # postgresql+psycopg://postgres@/postgres?host=<socket directory>


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One line of `channels status`."""

    name: str
    pid: int | None
    address: str
    memory_bytes: int


def _silent(_: str) -> None:
    """For callers who want no progress lines."""


class LocalStack:
    """The embedded stack of one home directory. Parts that already run are left as they are."""

    def __init__(self, home: Path, *, say: Callable[[str], None] = _silent, options: EmbeddedSettings | None = None) -> None:
        self.home = home.expanduser().absolute()
        chosen = options or load(EmbeddedSettings)
        self.lock = HomeLock(self.home)
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
            self.keep_settings({"kafka_bootstrap": addresses.kafka_bootstrap})
        return addresses

    def stop(self) -> bool:
        """Stop both in good order; the data stay. False if nothing ran."""
        with self.lock.held("down"), ThreadPoolExecutor(2) as stoppers:
            return any(list(stoppers.map(lambda part: part.stop(), (self.kafka, self.postgres))))

    def running(self) -> StackAddresses | None:
        """The addresses, if both parts run."""
        if not (self.kafka.running and self.postgres.running):
            return None
        return StackAddresses(kafka_bootstrap=self.kafka.bootstrap, superuser_url=self.postgres.superuser_url)

    def status(self) -> tuple[PartStatus, ...]:
        """One entry per part, running or not."""
        kafka, postgres = self.kafka.daemon, self.postgres.daemon
        return (
            PartStatus(
                name=self.kafka.name,
                pid=kafka.pid,
                address=self.kafka.bootstrap if kafka.pid else "",
                memory_bytes=kafka.memory_bytes(),
            ),
            PartStatus(
                name=self.postgres.name,
                pid=postgres.pid,
                address=str(self.postgres.socket_folder) if postgres.pid else "",
                memory_bytes=postgres.memory_bytes(),
            ),
        )

    def memory_bytes(self) -> int:
        """Memory in use by both."""
        return sum(part.memory_bytes for part in self.status())

    @property
    def settings_file(self) -> Path:
        """What `shared.runtime.settings` reads below the environment: {"settings": {name: value}}."""
        return self.home / "stack.json"

    def settings(self) -> dict[str, Any]:
        """The settings kept for the services; empty before the first start or when the file is damaged."""
        try:
            return dict(json.loads(self.settings_file.read_text())["settings"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def keep_settings(self, settings: Mapping[str, str]) -> None:
        """Add settings for the services; those already kept under other names stay."""
        draft = self.settings_file.with_suffix(".new")
        draft.write_text(json.dumps({"settings": {**self.settings(), **settings}}, indent=2) + "\n")
        draft.chmod(0o600)
        draft.replace(self.settings_file)
