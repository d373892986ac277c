"""Asks the edge whether it knows a connector's present snapshot and a secret.

Each question has a connection of its own, because several processes share the edge's port.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.adapters.clock import Clock
from shared.domain import edge_probe
from shared.providers.calling import PlacedCall, ProviderAnswer, ProviderCall, TransportFault, placed

_PAUSE_SECONDS = 0.25
_CALL_SECONDS = 5.0


class Caller(Protocol):
    """Makes calls; safe for threads."""

    def call(self, placed: PlacedCall, provider: str) -> ProviderAnswer:
        """The answer, or why there is none. Blocks within the call's own time limit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeParts:
    """`url`: where the edge is reached; `in_a_row`: so many fresh connections must agree."""

    url: str
    caller: Caller
    clock: Clock
    in_a_row: int
    seconds: float


class EdgeProbe:
    """`knows` blocks for `seconds` at most; safe for threads. `caller` must not keep connections open."""

    def __init__(self, parts: EdgeParts, sleep: Callable[[float], None] = time.sleep) -> None:
        self._parts = parts
        self._sleep = sleep

    def knows(self, connector_id: str, secret: bytes, version: int) -> str | None:
        """None once all that answered in a row proved the secret and at least this version; else why not, as a short code."""
        deadline = time.monotonic() + self._parts.seconds
        agreed = 0
        while True:
            amiss = self._ask(connector_id, secret, version)
            agreed = 0 if amiss else agreed + 1
            if agreed >= self._parts.in_a_row:
                return None
            if time.monotonic() >= deadline:
                return amiss or "edge_behind"
            if amiss:
                self._sleep(_PAUSE_SECONDS)

    def _ask(self, connector_id: str, secret: bytes, version: int) -> str | None:
        probe = edge_probe.Probe(connector_id=connector_id, at_ms=self._parts.clock.now_ms(), nonce=secrets.token_hex(16))
        call = ProviderCall(
            step="probe",
            method="GET",
            url=f"{self._parts.url.rstrip('/')}/webhooks/{connector_id}/probe",
            headers=((edge_probe.HEADER, edge_probe.question(probe, secret)),),
            timeout_seconds=_CALL_SECONDS,
            idempotent=True,
        )
        answer = self._parts.caller.call(placed(call, {}), "edge")
        if isinstance(answer, TransportFault):
            return "edge_refused_by_guard" if answer.kind == "refused" else "edge_unreachable"
        if answer.status in (403, 404, 503):
            return "edge_behind"
        known = edge_probe.read_answer(probe, secret, answer.body) if answer.status == 200 else None
        if known is None:
            return "edge_unproven"  # something answers there that is no edge of ours, or has another secret
        return None if known >= version else "edge_behind"
