"""The one way in which we call others over HTTP: takes a provider's call, gives its answer or why there is none.

Bounded in every direction: time of the whole call, connections, sizes, attempts. Where it may go is the egress guard's; hosts of
providers that nobody can set, and URLs that tenants set, have a pool of connections and a set of rules each.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, Self

import structlog

from shared.adapters.clock import Clock, SystemClock
from shared.adapters.egress import Egress
from shared.adapters.egress_target import Target, read_target
from shared.adapters.guarded_dial import Lookup, SystemLookup
from shared.adapters.http_faults import CallFault, EgressRefused, RedirectRefused
from shared.adapters.http_pool import HttpLimits, HttpPool
from shared.adapters.http_redirects import next_target
from shared.adapters.http_request import WireRequest, wire_request
from shared.adapters.http_retries import ONCE, Effort, LoopTimer, Timer, pause_before_next
from shared.providers.calling import PlacedCall, ProviderAnswer, ProviderResponse

_log = structlog.get_logger()
_UNPACKED = frozenset({"content-encoding", "content-length", "transfer-encoding"})  # no longer true of the body we hand on


class Watch(Protocol):
    """Counts calls. `provider` and `outcome` come from closed sets."""

    def ended(self, provider: str, outcome: str, seconds: float) -> None:
        """A call came to its end, with all its attempts."""
        ...

    def repeated(self, provider: str) -> None:
        """A call is about to be made again."""
        ...


class Unwatched:
    """Counts nothing."""

    def ended(self, provider: str, outcome: str, seconds: float) -> None:
        """Nothing."""

    def repeated(self, provider: str) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What became of a call. `answer` is for the provider's reader; `fault` tells more where it is no answer.

    `outcome`: `answered_2xx` … `answered_5xx`, `rate_limited`, or the fault's code. `duration_ms` is that of all attempts.
    """

    answer: ProviderAnswer
    fault: CallFault | None
    outcome: str
    duration_ms: int
    attempts: int

    def response(self) -> ProviderResponse:
        """The answer, whatever its status; raises the CallFault where there is none."""
        if isinstance(self.answer, ProviderResponse):
            return self.answer
        raise self.fault or CallFault("no answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpParts:
    """What a client is made of. `fixed` has `only_hosts`; `stand_ins`: such a host → where it is played instead (development).

    `lookup` None: the system's, with threads of its own for each set of rules.
    """

    fixed: Egress
    tenant: Egress
    tls: ssl.SSLContext
    limits: HttpLimits = field(default_factory=HttpLimits)
    stand_ins: Mapping[str, Target] = field(default_factory=lambda: MappingProxyType({}))
    watch: Watch = field(default_factory=Unwatched)
    clock: Clock = field(default_factory=SystemClock)
    timer: Timer = field(default_factory=LoopTimer)
    lookup: Lookup | None = None
    chance: Callable[[], float] = random.random


class HttpClient:
    """Use as `async with`, inside one event loop; any number of tasks may call at once."""

    _LOOKUP_THREADS = 16

    def __init__(self, parts: HttpParts) -> None:
        self._parts = parts
        self._lookups: list[SystemLookup] = []

    async def __aenter__(self) -> Self:
        parts = self._parts
        self._fixed = HttpPool(parts.fixed, parts.limits, parts.tls, self._lookup())
        self._tenant = HttpPool(parts.tenant, parts.limits, parts.tls, self._lookup())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._fixed.close()
        await self._tenant.close()
        for lookup in self._lookups:
            lookup.close()

    def _lookup(self) -> Lookup:
        if self._parts.lookup is not None:
            return self._parts.lookup
        self._lookups.append(SystemLookup(self._LOOKUP_THREADS))
        return self._lookups[-1]

    async def call(
        self,
        placed: PlacedCall,
        *,
        provider: str = "other",
        effort: Effort = ONCE,
        redirects: int = 0,
        max_answer_bytes: int | None = None,
    ) -> Exchange:
        """Make the call; its `timeout_seconds` bounds each attempt, `effort` all of them. Raises InvalidInput for a call that is
        none of HTTP (a header with a line end, a mail), and nothing else: faults are values.

        `redirects`: how many are followed; with 0 the redirect is the answer. `provider`: for metrics and logs.
        """
        request = wire_request(placed, self._parts.limits.user_agent)
        max_bytes = max_answer_bytes or self._parts.limits.max_answer_bytes
        timer, began, made, host = self._parts.timer, self._parts.timer.seconds(), 0, ""
        while True:
            made += 1
            seconds = min(placed.call.timeout_seconds, effort.seconds - (timer.seconds() - began))
            result: ProviderResponse | CallFault
            try:
                target = read_target(placed.url)
                host = target.host
                result = await self._attempt(target, request, max_bytes, seconds, redirects)
            except CallFault as fault:
                result = fault
            elapsed = timer.seconds() - began
            pause = pause_before_next(
                effort, made, elapsed, repeatable=placed.call.idempotent, result=result, chance=self._parts.chance()
            )
            if pause is None:
                exchange = _exchange(result, elapsed, made)
                self._tell(placed, provider, host, exchange)
                return exchange
            self._parts.watch.repeated(provider)
            await timer.sleep(pause)

    async def _attempt(
        self, target: Target, request: WireRequest, max_bytes: int, seconds: float, redirects: int
    ) -> ProviderResponse:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        for left in range(redirects, -1, -1):
            pool, place = self._aimed(target)
            try:
                answer = await pool.attempt(place, request, max_bytes=max_bytes, seconds=deadline - loop.time())
            except CallFault as fault:
                fault.may_have_left |= left < redirects  # the first host has had it
                raise
            following = next_target(target, request, answer.status, answer.headers.get("location")) if redirects else None
            if following is None:
                headers = {name: value for name, value in answer.headers.items() if name not in _UNPACKED}
                now_ms = self._parts.clock.now_ms()
                return ProviderResponse(status=answer.status, body=answer.body, headers=headers, received_at_ms=now_ms)
            if left:
                target = following
        raise RedirectRefused(f"{target.host} redirects on and on", may_have_left=True)

    def _aimed(self, target: Target) -> tuple[HttpPool, Target]:
        stand_in = self._parts.stand_ins.get(target.host)
        if stand_in is not None:
            tail = stand_in.tail.rstrip("/") + target.tail
            return self._fixed, Target(stand_in.scheme, stand_in.host, stand_in.port, tail, stand_in.address)
        return (self._fixed if self._fixed.egress.is_fixed(target.host) else self._tenant), target

    def _tell(self, placed: PlacedCall, provider: str, host: str, exchange: Exchange) -> None:
        """One line: no path, query, header or body, which may hold a credential."""
        self._parts.watch.ended(provider, exchange.outcome, exchange.duration_ms / 1000)
        level = "debug" if exchange.outcome == "answered_2xx" else "info"
        more = {"reason": exchange.fault.reason} if isinstance(exchange.fault, EgressRefused) else {}
        getattr(_log, level)(
            "http_call",
            provider=provider,
            step=placed.call.step,
            method=placed.call.method,
            host=host,
            outcome=exchange.outcome,
            status=exchange.answer.status if isinstance(exchange.answer, ProviderResponse) else None,
            duration_ms=exchange.duration_ms,
            attempts=exchange.attempts,
            **more,
        )


def _exchange(result: ProviderResponse | CallFault, elapsed: float, made: int) -> Exchange:
    duration_ms = round(elapsed * 1000)
    if isinstance(result, CallFault):
        return Exchange(answer=result.as_value(), fault=result, outcome=result.code, duration_ms=duration_ms, attempts=made)
    outcome = "rate_limited" if result.status == 429 else f"answered_{result.status // 100}xx"
    return Exchange(answer=result, fault=None, outcome=outcome, duration_ms=duration_ms, attempts=made)
