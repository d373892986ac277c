"""Health: which questions to ask a provider, and how its answers are graded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.domain.enums import HealthStatus
from shared.providers.calling import CallContext, ProviderAnswer, ProviderCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """The result of one check. `cause` is a short code, `action` what a person should do (None: nothing).

    `status` None: nobody could tell (timeout, 5xx); the last grade stays until this has happened several times.
    """

    check: str
    status: HealthStatus | None
    cause: str
    action: str | None = None
    detail: str | None = None  # the provider's own code or words, never a credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """`build` gives the calls of one round (all idempotent); `grade` takes the answers by step and never raises."""

    build: Callable[[CallContext], tuple[ProviderCall, ...]]
    grade: Callable[[Mapping[str, ProviderAnswer], CallContext], tuple[Graded, ...]]
    every_seconds: int = 600
    connector_steps: frozenset[str] = frozenset()  # calls about the connector as a whole: asked once, not for each account
    connector_checks: frozenset[str] = frozenset()  # and the grades that come of them


_ORDER = (HealthStatus.PASSED, HealthStatus.WARNING, HealthStatus.FAILED)


def overall(results: tuple[Graded, ...]) -> HealthStatus | None:
    """The worst of the grades that could be given; None if none could."""
    known = [result.status for result in results if result.status is not None]
    return max(known, key=_ORDER.index) if known else None
