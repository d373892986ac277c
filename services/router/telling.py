"""What a router counts and logs of the batches that it settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import structlog

from services.router.facts import Candidate
from shared.domain.routing import UNROUTED
from shared.runtime.metrics import RouterMetrics

_log = structlog.get_logger()


class Telling:
    """Metrics and log lines; no content, no names of people."""

    def __init__(self, metrics: RouterMetrics) -> None:
        self._metrics = metrics

    def settled(self, candidates: Iterable[Candidate]) -> None:
        """A batch is out: how its items ended."""
        self._metrics.batches.labels("committed").inc()
        endings = Counter((one.ending.outcome, one.ending.reason) for one in candidates if one.ending is not None)
        for (outcome, reason), count in endings.items():
            self._metrics.items.labels(outcome.value, reason).inc(count)
        for one in candidates:
            if one.decision is not None and one.decision.rule == UNROUTED and one.ending is not None:
                self._metrics.unrouted.inc()

    def collision(self, connector_id: str, contacts: int) -> None:
        """Several contacts may be one person."""
        self._metrics.alias_collisions.inc()
        _log.warning("alias_collision", connector_id=connector_id, contacts=contacts)

    def breaches(self, candidates: Iterable[Candidate]) -> None:
        """Copies that were dropped though their held row is unfinished: that must not happen."""
        for candidate in candidates:
            self._metrics.held_breaches.inc()
            opened = candidate.opened
            _log.error(
                "held_copy_lost_its_claim", connector_id=opened.connector_id, partition=opened.partition, offset=opened.offset
            )
