"""What a check means: the grade that is told, the streak, the breaker, and what follows for routes and connectors. Pure.

A breaker is closed (all goes its way), open (the account steps aside), or half-open (its least time is over and checks pass
again, not yet often enough). Warnings count as passes: what warns still works.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID, uuid5

from shared.domain.enums import ConnectorStatus, HealthStatus
from shared.domain.routing import HEALTH_PAUSE

_CHECKS = UUID("6f0c1f6e-6a0e-5b4c-9a59-0d0c2b7b6a11")
_MAX_CAUSE_CHARACTERS = 64
_MISMATCHES = frozenset({"subscription_mismatch", "not_subscribed", "webhook_missing", "events_missing"})


class Breaker(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Transition(StrEnum):
    """What a check did to a breaker."""

    OPENED = "opened"
    REOPENED = "reopened"  # failed again while half-open
    HALF_OPENED = "half_opened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The figures behind the rules, for one connector or account.

    `threshold` failures in a row open, `recover` passes in a row close, `unreachable_after` checks without a telling answer
    are a failure. A breaker stays open for `min_open_seconds` at least; each time it opens again within `calm_seconds` twice
    as long as before, up to `max_open_seconds`.
    """

    every_seconds: int = 300
    threshold: int = 3
    recover: int = 2
    unreachable_after: int = 3
    min_open_seconds: int = 300
    max_open_seconds: int = 14_400
    calm_seconds: int = 86_400
    silence_hours: int = 6
    silence_expected: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of a connector or account from its checks so far. Times in ms; `owns`: we hold the connector in error."""

    grade: HealthStatus | None = None
    cause: str | None = None
    breaker: Breaker = Breaker.CLOSED
    failures: int = 0
    passes: int = 0
    unknowns: int = 0
    opened_ms: int | None = None
    closed_ms: int | None = None
    open_seconds: int = 0
    owns: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found. `status` None: nobody could tell. `action` and `cause` are short codes, `detail` a code as well."""

    check: str
    status: HealthStatus | None
    cause: str
    action: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`grade` goes into the row, the next check builds on `standing`. `held_back`: it would have opened but for our egress."""

    standing: Standing
    grade: HealthStatus
    transition: Transition | None = None
    held_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """How many connectors fail at once whose breaker is not open, of how many."""

    failing: int = 0
    connectors: int = 0


def is_new_mismatch(before: Standing, finding: Finding) -> bool:
    """Whether the provider does not post to us (all that we want), and the check before did not know it."""
    return finding.cause in _MISMATCHES and finding.cause != before.cause


def is_our_fault(egress: Egress, *, share: float, at_least: int) -> bool:
    """Whether so many fail at once that our own way out is to blame."""
    return egress.failing >= at_least and egress.failing > share * egress.connectors


def judge(standing: Standing, finding: Finding, policy: Policy, now_ms: int, *, may_open: bool = True) -> Verdict:
    """Fold one check into what is known."""
    if finding.status is None and standing.unknowns + 1 < policy.unreachable_after:
        kept = replace(standing, unknowns=standing.unknowns + 1)
        return Verdict(standing=kept, grade=standing.grade or HealthStatus.WARNING)
    grade = finding.status or HealthStatus.FAILED
    unknowns = standing.unknowns + 1 if finding.status is None else 0
    told = replace(standing, grade=grade, cause=finding.cause, unknowns=unknowns)
    if grade is HealthStatus.FAILED:
        return _failed(replace(told, failures=standing.failures + 1, passes=0), policy, now_ms, may_open=may_open)
    return _passed(replace(told, failures=0, passes=standing.passes + 1), policy, now_ms)


def _failed(standing: Standing, policy: Policy, now_ms: int, *, may_open: bool) -> Verdict:
    grade = HealthStatus.FAILED
    if standing.breaker is Breaker.OPEN or (standing.breaker is Breaker.CLOSED and standing.failures < policy.threshold):
        return Verdict(standing=standing, grade=grade)
    if standing.breaker is Breaker.CLOSED and not may_open:
        return Verdict(standing=standing, grade=grade, held_back=True)
    again = standing.breaker is Breaker.HALF_OPEN
    opened = replace(
        standing, breaker=Breaker.OPEN, opened_ms=now_ms, open_seconds=_open_seconds(standing, policy, now_ms), closed_ms=None
    )
    return Verdict(standing=opened, grade=grade, transition=Transition.REOPENED if again else Transition.OPENED)


def _open_seconds(standing: Standing, policy: Policy, now_ms: int) -> int:
    calm = standing.closed_ms is not None and now_ms - standing.closed_ms > policy.calm_seconds * 1000
    before = 0 if calm else standing.open_seconds
    return min(max(before * 2, policy.min_open_seconds), max(policy.max_open_seconds, policy.min_open_seconds))


def _passed(standing: Standing, policy: Policy, now_ms: int) -> Verdict:
    grade = standing.grade or HealthStatus.PASSED
    if standing.breaker is Breaker.CLOSED or now_ms - (standing.opened_ms or 0) < standing.open_seconds * 1000:
        return Verdict(standing=standing, grade=grade)
    if standing.passes >= policy.recover:
        closed = replace(standing, breaker=Breaker.CLOSED, closed_ms=now_ms)
        return Verdict(standing=closed, grade=grade, transition=Transition.CLOSED)
    if standing.breaker is Breaker.HALF_OPEN:
        return Verdict(standing=standing, grade=grade)
    return Verdict(standing=replace(standing, breaker=Breaker.HALF_OPEN), grade=grade, transition=Transition.HALF_OPENED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Pause the account's route, with its fallback."""

    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Open the route again; `cause` is what it was paused for."""

    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveConnector:
    """Move the connector to this status."""

    status: ConnectorStatus
    cause: str


def cause_of_pause(cause: str) -> str:
    """The short code that a route is paused for."""
    return f"{HEALTH_PAUSE}{cause}"[:_MAX_CAUSE_CHARACTERS]


def route_effect(verdict: Verdict, policy: Policy, route_cause: str | None, *, paused: bool) -> Pause | Resume | None:
    """What follows for an account's route. A pause that is not ours is never touched, whoever opened first."""
    standing = verdict.standing
    if verdict.transition is Transition.OPENED and not paused:
        return Pause(cause=cause_of_pause(standing.cause or "failed"))
    ours = paused and route_cause is not None and route_cause.startswith(HEALTH_PAUSE)
    if ours and route_cause and standing.breaker is Breaker.CLOSED and standing.passes >= policy.recover:
        return Resume(cause=route_cause)
    return None


def connector_effect(verdict: Verdict, status: ConnectorStatus) -> MoveConnector | None:
    """What follows for the connector. An error that is not ours is never lifted."""
    standing = verdict.standing
    if verdict.transition is Transition.OPENED and status is ConnectorStatus.ACTIVE:
        return MoveConnector(status=ConnectorStatus.ERROR, cause=cause_of_pause(standing.cause or "failed"))
    if standing.owns and standing.breaker is Breaker.CLOSED and status is ConnectorStatus.ERROR:
        return MoveConnector(status=ConnectorStatus.ACTIVE, cause="health_recovered")
    return None


def check_id(subject_id: str, due_ms: int) -> str:
    """Id of the check of one slot: whoever runs it, however often, writes the same row."""
    return str(uuid5(_CHECKS, f"{subject_id}/{due_ms}"))


def next_due_ms(subject_id: str, due_ms: int, now_ms: int, policy: Policy) -> int:
    """The slot after this one: an interval later, each subject a little off; what was missed is not made up for."""
    every_ms = policy.every_seconds * 1000
    digest = hashlib.blake2b(f"{subject_id}/{due_ms}".encode(), digest_size=4).digest()
    jitter = 0.9 + 0.2 * int.from_bytes(digest, "big") / 0xFFFF_FFFF
    return max(due_ms, now_ms - every_ms) + round(every_ms * jitter)


_ORDER = (HealthStatus.PASSED, HealthStatus.WARNING, None, HealthStatus.FAILED)


def worst(findings: tuple[Finding, ...]) -> Finding:
    """The finding that counts: a failure before what nobody could tell, that before a warning; the first of equals."""
    if not findings:
        return Finding(check="none", status=HealthStatus.PASSED, cause="nothing_to_ask")
    return max(findings, key=lambda one: _ORDER.index(one.status))
