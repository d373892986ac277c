"""The edge: verify a webhook over its raw bytes, seal it, write it to Kafka, answer only after Kafka has it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog

from services.ingest import decide
from services.ingest.answers import FAILED, Answer, Outcome
from services.ingest.asking import Asking
from services.ingest.connector_keys import OpenedConnector
from services.ingest.decide import Caller
from services.ingest.exchange import Exchange
from services.ingest.parts import EdgeParts
from services.ingest.probing import answer_probe
from services.ingest.rate_limits import RateLimits
from services.ingest.refusals import RefusalLog
from services.ingest.trace import trace_of
from shared.adapters.clock import new_uuid7
from shared.adapters.kafka import with_event
from shared.adapters.raw_body import LARGE_BODY_BYTES, body_aad, body_reference
from shared.adapters.webhook_record import WebhookRecords
from shared.domain.errors import ChannelsError, Unavailable
from shared.domain.records import BodyReference
from shared.domain.topics import Topic
from shared.providers.contract import RateLimit, Refused, Request, Undecided, Verdict, Verified
from shared.providers.receiving import receiving_of

_KNOWN_URLS = 10_000
_HANDSHAKES = ("GET", "OPTIONS")  # the methods that never carry a webhook
_ACCEPTED, _CALM = Outcome.ACCEPTED, (Outcome.HANDSHAKE, Outcome.PROBE)  # the way to a member of an enumeration is long


class Edge:
    """The service behind the connections. The usual request is settled without a task or a thread."""

    def __init__(self, parts: EdgeParts) -> None:
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._records = WebhookRecords(parts.codec)
        self._limits = RateLimits(self._loop.time)
        self._asking = Asking(parts.topic.removesuffix(Topic.WEBHOOK_RECEIVED) + Topic.SYNC_REQUIRED, parts.codec, parts.log)
        self._refusals = RefusalLog(structlog.get_logger().warning, self._loop.time)
        self._slow: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="large-bodies")
        self._callers: dict[bytes, Caller] = {}  # by URL, of verified requests; one that no longer fits is found anew
        self._metrics = parts.metrics
        self.inflight = 0  # waiting for Kafka

    # --- Service

    def admit(self, exchange: Exchange, length_bytes: int | None) -> int | Answer:
        """By the head: is there such a connector, and may a body of this size come?"""
        parts, known = self._parts, self._callers.get(exchange.target)
        if known is not None and known.connector is parts.connectors.connector(known.target.connector_id):
            if (
                length_bytes is not None
                and length_bytes <= known.max_body_bytes
                and exchange.method in known.methods
                and self.inflight < parts.inflight_requests
                and not known.particular
            ):  # nearly every request; the rest of the cases is told apart below
                exchange.caller = known
                return known.max_body_bytes
            return self._admit_size(exchange, known, length_bytes)
        target = decide.parse_target(exchange.target)
        connector = None if target is None else parts.connectors.connector(target.connector_id)
        caller = decide.admit(
            target,
            connector,
            None if connector is None else receiving_of(connector.tipo),
            snapshots_read=parts.connectors.ready,
            now_ms=parts.clock.now_ms(),
        )
        if isinstance(caller, Answer):
            return caller
        return self._admit_size(exchange, caller, length_bytes)

    def _admit_size(self, exchange: Exchange, caller: Caller, length_bytes: int | None) -> int | Answer:
        exchange.caller = caller
        refusal = decide.admit_size(caller, exchange.method, length_bytes)
        if refusal is None and self.inflight >= self._parts.inflight_requests:
            refusal = decide.answer(caller.receiving, "busy", "inflight")
        if caller.particular and caller.receiving.answer_headers is not None:
            exchange.answer_headers = caller.receiving.answer_headers(decide.request_of(exchange, 0))
        return refusal or caller.max_body_bytes

    def too_large(self, exchange: Exchange) -> Answer:
        """A body without an announced length grew too large."""
        return decide.answer(exchange.caller.receiving, "too_large", "body_too_large")

    def handle(self, exchange: Exchange) -> None:
        """A whole request: at once if its connector is open and its body small."""
        if exchange.caller.particular and self._limit(exchange, exchange.caller.receiving.rate_limits):
            return
        opened = self._parts.keys.ready(exchange.caller.connector)
        if opened is None or len(exchange.body) > LARGE_BODY_BYTES:
            self._spawn(self._handle_slowly(exchange))
        elif exchange.method in _HANDSHAKES:
            self._shake_hands(exchange, opened)
        else:
            self._settle(exchange, opened)

    def answered(self, exchange: Exchange | None, answer: Answer, seconds: float) -> None:
        """Count and, unless all is well, log."""
        metrics, outcome = self._metrics, answer.outcome
        metrics.requests.inc(answer.labels)
        if outcome is _ACCEPTED:
            metrics.answer_seconds.observe(seconds)
        elif outcome not in _CALM:
            caller = exchange.caller if exchange is not None else None
            self._refusals.write(
                outcome=outcome.value,
                reason=answer.reason,
                status=answer.status,
                method=exchange.method if exchange is not None else None,
                connector_id=caller.connector.connector_id if isinstance(caller, Caller) else None,
                seconds=round(seconds, 3),
            )

    async def close(self) -> None:
        """Give up what is still slow; its clients were answered or have gone."""
        for task in self._slow:
            task.cancel()
        await asyncio.gather(*self._slow, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # --- the flow

    def _limit(self, exchange: Exchange, limits: tuple[RateLimit, ...]) -> bool:
        """True if the request was one too many of its kind, and is answered."""
        if not limits or exchange.method in _HANDSHAKES:
            return False
        caller, parts = exchange.caller, self._parts
        address = parts.addresses.of(exchange.owner.peer, exchange.headers)
        request = decide.request_of(exchange, parts.clock.now_ms(), address)
        wait = self._limits.wait_seconds(caller.connector.connector_id, limits, request)
        if wait:
            exchange.respond(decide.rate_limited(caller.receiving, wait))
        return wait > 0

    def _shake_hands(self, exchange: Exchange, opened: OpenedConnector) -> None:
        now_ms = self._parts.clock.now_ms()
        caller, request = exchange.caller, decide.request_of(exchange, now_ms)
        answer = answer_probe if caller.target.probe else decide.shake_hands
        exchange.respond(answer(caller, request, opened.secrets, now_ms))

    def _settle(self, exchange: Exchange, opened: OpenedConnector) -> None:
        """Verify → seal → produce, all on the loop."""
        caller, now_ms = exchange.caller, self._parts.clock.now_ms()
        request = decide.request_of(exchange, now_ms)
        always = opened.always
        verdict = (
            decide.judge(caller, request, opened.secrets, now_ms) if always is None else caller.receiving.verify(request, always)
        )
        if not isinstance(verdict, Verified):
            exchange.respond(self._not_verified(caller, verdict, now_ms))
            return
        if caller.particular and self._limit(exchange, caller.receiving.verified_rate_limits):
            return
        if self._callers.get(exchange.target) is not caller:
            self._remember(exchange.target, caller)
        record_id, body = new_uuid7(), exchange.body
        id_bytes = record_id.encode()
        value = self._records.encode(
            caller.record_origin,
            record_id=id_bytes,
            received_at_ms=now_ms,
            headers=decide.kept_headers(caller.receiving, exchange.headers),
            secret_id=verdict.secret_id,
            body_size_bytes=len(body),
            sealed_body=opened.ring.seal_parts(body, caller.body_place + id_bytes),
        )
        self._produce(exchange, record_id, now_ms, value)

    async def _handle_slowly(self, exchange: Exchange) -> None:
        """As `handle`, for what must wait for a thread, the key service or the object store."""
        caller = exchange.caller
        try:
            async with asyncio.timeout(self._parts.slow_seconds):
                opened = self._parts.keys.ready(caller.connector) or await self._parts.keys.open(caller.connector)
                if exchange.method in _HANDSHAKES:
                    self._shake_hands(exchange, opened)
                elif len(exchange.body) > LARGE_BODY_BYTES:
                    await self._settle_large(exchange, opened)
                else:
                    self._settle(exchange, opened)
        except (TimeoutError, Unavailable) as error:
            structlog.get_logger().warning(
                "request_delayed", error=str(error) or "deadline", connector_id=caller.connector.connector_id
            )
            exchange.respond(decide.answer(caller.receiving, "unavailable", "keys_or_objects"))
        except Exception as error:  # the task's end: nobody else would answer
            structlog.get_logger().error("request_failed", exc_info=error)
            exchange.respond(FAILED)

    async def _settle_large(self, exchange: Exchange, opened: OpenedConnector) -> None:
        """Hash and seal in a thread, store, and only then produce the record that refers to the object."""
        caller, now_ms = exchange.caller, self._parts.clock.now_ms()
        request = decide.request_of(exchange, now_ms)
        record_id = new_uuid7()
        verdict, reference, sealed = await self._loop.run_in_executor(
            self._threads, _verify_and_seal, caller, request, opened, now_ms, record_id
        )
        if not isinstance(verdict, Verified) or reference is None:
            exchange.respond(self._not_verified(caller, verdict, now_ms))
            return
        await self._parts.objects.put_async(reference.key, sealed)
        record = decide.raw_record(caller, request, verdict, record_id=record_id, received_at_ms=now_ms, body_reference=reference)
        self._produce(exchange, record_id, now_ms, self._parts.codec.encode(Topic.WEBHOOK_RECEIVED, record))

    def _produce(self, exchange: Exchange, record_id: str, received_at_ms: int, value: bytes) -> None:
        """The point of no return: from here on the record may be in Kafka, whatever we answer."""
        parts, caller = self._parts, exchange.caller
        if self.inflight >= parts.inflight_requests:
            exchange.respond(decide.answer(caller.receiving, "busy", "inflight"))
            return
        traceparent = decide.given_trace(exchange.headers) or trace_of(record_id)
        headers = with_event(caller.record_headers, event_id=record_id, time_ms=received_at_ms, traceparent=traceparent)
        try:
            parts.log.produce(parts.topic, caller.record_key, value, headers, partial(self._delivered, exchange))
        except ChannelsError as error:
            exchange.respond(decide.answer(caller.receiving, "unavailable", _kafka_reason(error)))
            return
        self.inflight += 1

    def _delivered(self, exchange: Exchange, error: ChannelsError | None) -> None:
        self.inflight -= 1
        if error is None:
            self._metrics.body_bytes.inc(amount=exchange.held_bytes)
            exchange.respond(exchange.caller.accepted)
        else:
            exchange.respond(decide.answer(exchange.caller.receiving, "unavailable", _kafka_reason(error)))

    def _remember(self, url: bytes, caller: Caller) -> None:
        """Only what was called in truth: strangers can spell a connector's URL in endless ways, and a caller is kilobytes."""
        if caller.target.query:
            return
        if len(self._callers) >= _KNOWN_URLS:
            self._callers.clear()
        self._callers[url] = caller

    def _not_verified(self, caller: Caller, verdict: Verdict, now_ms: int) -> Answer:
        if isinstance(verdict, Undecided):
            self._asking.ask(caller.connector, verdict, now_ms)
            return decide.answer(caller.receiving, "unavailable", verdict.reason)
        return decide.answer(caller.receiving, "refused", verdict.reason if isinstance(verdict, Refused) else "refused")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._slow.add(task)
        task.add_done_callback(self._slow.discard)


def _verify_and_seal(
    caller: Caller, request: Request, opened: OpenedConnector, now_ms: int, record_id: str
) -> tuple[Verdict, BodyReference | None, bytes]:
    """In a thread: both are milliseconds for megabytes. Nothing is hashed or sealed before it is verified."""
    verdict = decide.judge(caller, request, opened.secrets, now_ms)
    if not isinstance(verdict, Verified):
        return verdict, None, b""
    tenant_id = caller.connector.tenant_id
    reference = body_reference(tenant_id, record_id, request.body)
    return verdict, reference, opened.ring.seal_bytes(request.body, body_aad(tenant_id, record_id))


def _kafka_reason(error: ChannelsError) -> str:
    return "kafka" if isinstance(error, Unavailable) else "record_refused"
