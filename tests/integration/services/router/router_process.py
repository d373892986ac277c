"""`python -m services.router` as real processes, and the topic's offsets moved as an operator would."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from shared.adapters.kafka_admin import KafkaAdmin
from shared.domain.errors import Conflict
from tests.pipeline import Pipeline
from tests.waiting import allowed

ROOT = Path(__file__).parents[4]


class RouterProcess:
    """One slot. `end` waits for the process, whatever ends it."""

    def __init__(self, pipeline: Pipeline, slot: int, folder: Path, **settings: str) -> None:
        self.slot = slot
        self._log = folder / f"router-{slot}.log"
        self._environment = {
            "PATH": os.environ["PATH"],
            "CHANNELS_STACK": "external",
            "CHANNELS_KAFKA_BOOTSTRAP": pipeline.bootstrap,
            "CHANNELS_TOPIC_PREFIX": pipeline.prefix,
            "CHANNELS_DATABASE_WORKER_URL": pipeline.database.worker_url,
            "CHANNELS_KEYS_DIR": str(pipeline.keys_dir),
            "CHANNELS_OBJECT_STORE_URL": pipeline.objects_dir.as_uri(),
            "CHANNELS_ROUTER_SLOT": str(slot),
            "CHANNELS_ROUTER_OPERATIONS_PORT": "0",
            "CHANNELS_ROUTER_SESSION_TIMEOUT_MS": "6000",
            "CHANNELS_LOG_FORMAT": "json",
            **settings,
        }
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it (again)."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.router"], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        return self.process

    def log(self) -> str:
        """What it has told so far."""
        return self._log.read_text()

    def wait(self, seconds: float = 40) -> int:
        """Until it ends by itself; the exit code."""
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def terminate(self, seconds: float = 30) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, if it is still there."""
        self.process.kill()
        self.process.wait(10)


def set_offset(pipeline: Pipeline, offset: int, partition: int = 0) -> None:
    """Move the routers' group, once the sessions of those that stopped have ended."""
    admin, deadline = KafkaAdmin(pipeline.bootstrap), time.monotonic() + allowed(20)
    while True:
        try:
            group, topic = f"{pipeline.prefix}channels-router", f"{pipeline.prefix}channels.webhook.received"
            return admin.commit(group, topic, {partition: offset})
        except Conflict:  # a stopped router is a static member until its session ends
            assert time.monotonic() < deadline
            time.sleep(0.2)
