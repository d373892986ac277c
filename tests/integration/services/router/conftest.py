from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from services.router.answers import AnswerParts, IntakeAnswers
from services.router.app import Router, RouterParts
from services.router.opening import Opener
from shared.adapters.clock import SystemClock
from shared.adapters.kafka import full_name
from shared.adapters.kafka_transactions import TransactionalWorker, WorkerIdentity
from shared.adapters.router_store import RouterStore
from shared.adapters.snapshots import SnapshotReader
from shared.domain.holding import DAY_MS, HoldLimits
from shared.domain.topics import Topic
from shared.runtime.lifecycle import StopRequest
from shared.runtime.metrics import RouterMetrics
from tests.pipeline import Pipeline

LIMITS = HoldLimits(intake_ms=120_000, target_ms=600_000, retention_ms=8 * DAY_MS)


class RunningRouter:
    """A router in a thread of the test's process."""

    def __init__(self, pipeline: Pipeline, slot: int = 0, *, batch_items: int = 2_000, limits: HoldLimits = LIMITS) -> None:
        self.stop_request = StopRequest()
        self.failure: BaseException | None = None
        self.registry = CollectorRegistry()
        self.snapshots = SnapshotReader(pipeline.bootstrap, pipeline.prefix, pipeline.codec)
        clock, metrics = SystemClock(), RouterMetrics(self.registry)
        identity = WorkerIdentity(
            bootstrap=pipeline.bootstrap, group=f"{pipeline.prefix}channels-router", slot=slot, session_timeout_ms=6_000
        )
        answers = AnswerParts(
            worker=TransactionalWorker(
                replace(identity, group=f"{pipeline.prefix}channels-router-intake"),
                full_name(pipeline.prefix, Topic.INTAKE_COMPLETED),
            ),
            store=RouterStore(pipeline.database.worker_url),
            codec=pipeline.codec,
            clock=clock,
            metrics=metrics,
            topic_prefix=pipeline.prefix,
        )
        self.parts = RouterParts(
            worker=TransactionalWorker(identity, full_name(pipeline.prefix, Topic.WEBHOOK_RECEIVED)),
            store=RouterStore(pipeline.database.worker_url),
            opener=Opener(pipeline.codec, pipeline.vault, pipeline.objects, self.snapshots.directory, clock.now_ms),
            directory=self.snapshots.directory,
            codec=pipeline.codec,
            clock=clock,
            metrics=metrics,
            topic_prefix=pipeline.prefix,
            batch_items=batch_items,
            batch_bytes=16 * 1024 * 1024,
            limits=limits,
            answers=IntakeAnswers(answers),
        )
        self.router = Router(self.parts)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> RunningRouter:
        self.snapshots.start()
        assert self.snapshots.wait_ready(20)
        self.thread.start()
        return self

    def stop(self) -> None:
        self.stop_request.set()
        if self.thread.ident is not None:
            self.thread.join(20)
        self.snapshots.stop()

    def _run(self) -> None:
        try:
            self.router.run(self.stop_request)
        except BaseException as error:
            self.failure = error


@pytest.fixture
def pipeline(kafka_bootstrap, topic_prefix, database, tmp_path) -> Pipeline:
    return Pipeline.create(kafka_bootstrap, topic_prefix, database, tmp_path)


@pytest.fixture
def router(pipeline) -> Iterator[RunningRouter]:
    running = RunningRouter(pipeline).start()
    yield running
    running.stop()
    if running.failure is not None:
        raise running.failure
