"""The Faust app: an agent follows the books, timers keep the rest going. Built in a function; no tables, no web server.

Faust acknowledges a record whose handler raised, so the agent raises for nothing: what cannot be read is counted and told, what
cannot be written is tried until it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faust
import structlog

from services.health.activity import CONSUMER, Activity, Book
from services.health.liveness import Beats
from services.health.rounds import Rounds
from shared.adapters.avro import Codec
from shared.adapters.clock import Clock
from shared.adapters.faust_transport import CommittedTransport
from shared.adapters.kafka import full_name
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.errors import Unavailable
from shared.domain.records import AuditRecorded
from shared.domain.topics import Topic
from shared.runtime.metrics import HealthMetrics

GROUP = f"channels-{CONSUMER}"
_TAKE_RECORDS, _TAKE_SECONDS = 500, 1.0
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppParts:
    """What the app works with."""

    bootstrap: str
    topic_prefix: str
    session_seconds: float
    codec: Codec
    rounds: Rounds
    activity: Activity
    beats: Beats
    clock: Clock
    metrics: HealthMetrics


class _App(faust.App):
    async def on_first_start(self) -> None:
        """Nothing: Faust would make directories for tables in the working directory, which may not be ours to write to."""


def build_app(parts: AppParts) -> faust.App:
    """A Faust app that is started with `await app.start()` on the running loop."""
    app = _App(
        f"{parts.topic_prefix}{GROUP}",
        broker=f"kafka://{parts.bootstrap}",
        broker_session_timeout=parts.session_seconds,
        broker_heartbeat_interval=parts.session_seconds / 4,
        broker_request_timeout=30.0,
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        stream_wait_empty=False,
        loop=asyncio.get_running_loop(),
    )
    app.transport = CommittedTransport(url=app.conf.broker, app=app, loop=app.loop)
    _add_books(app, parts)
    _add_timers(app, parts)
    return app


def _add_books(app: faust.App, parts: AppParts) -> None:
    name = full_name(parts.topic_prefix, Topic.AUDIT)
    topic = app.topic(name, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
    log = structlog.get_logger()

    async def follow(stream: Any) -> None:
        async for events in stream.take_events(_TAKE_RECORDS, within=_TAKE_SECONDS):
            books = [_read(event.message, parts.codec) for event in events]
            pause = _LONGEST_PAUSE_SECONDS / 8
            while True:
                try:
                    topic_id = await asyncio.to_thread(topic_incarnation, parts.bootstrap, name)
                    fresh = await asyncio.to_thread(parts.activity.take, books, topic_id)
                    break
                except Exception as error:
                    parts.metrics.faults.labels("postgresql" if isinstance(error, Unavailable) else "kafka").inc()
                    log.warning("books_wait", error=type(error).__name__)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            _account(parts, books, fresh)

    app.agent(topic, name="health.books", concurrency=1)(follow)


def _read(message: Any, codec: Codec) -> Book:
    record: AuditRecorded | None = None
    try:
        decoded = codec.decode(Topic.AUDIT, message.value)
        record = decoded if isinstance(decoded, AuditRecorded) else None
    except Exception as error:
        structlog.get_logger().error(
            "book_unreadable", partition=message.partition, offset=message.offset, error=type(error).__name__
        )
    return Book(topic=message.topic, partition=message.partition, offset=message.offset, record=record)


def _account(parts: AppParts, books: Sequence[Book], fresh: Sequence[Book]) -> None:
    now_ms = parts.clock.now_ms()
    for book in fresh:
        for line in book.record.counts if book.record is not None else ():
            if line.count > 0:
                parts.beats.note(line.connector_id, now_ms)
    unread = sum(book.record is None for book in fresh)
    parts.metrics.audits.labels("taken").inc(len(fresh) - unread)
    parts.metrics.audits.labels("unreadable").inc(unread)
    parts.metrics.audits.labels("repeated").inc(len(books) - len(fresh))


def _add_timers(app: faust.App, parts: AppParts) -> None:
    rounds = parts.rounds

    async def check() -> None:
        await rounds.run()

    app.task(check)
    for name, work, seconds in (
        ("plan", rounds.plan, 2.0),
        ("beat", rounds.beat, 0.5),
        ("measure", rounds.measure, 15.0),
        ("prune", rounds.prune, 600.0),
        ("forget", lambda: parts.activity.forget(parts.clock.now_ms()), 3_600.0),
    ):
        app.timer(interval=seconds, on_leader=False, name=f"health.{name}")(_calm(name, work, parts.metrics))


def _calm(name: str, work: Callable[[], object], metrics: HealthMetrics) -> Callable[[], Any]:
    async def timed() -> None:
        try:
            await asyncio.to_thread(work)
        except Exception as error:
            metrics.faults.labels("postgresql" if isinstance(error, Unavailable) else "internal").inc()
            structlog.get_logger().warning("timer_failed", timer=name, error=f"{type(error).__name__}: {error}")

    return timed
