"""Where a message goes: to the account's intake flow, else to its unit, else nowhere with a reason. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from shared.domain.enums import Direction, HoldReason
from shared.domain.records import Decision
from shared.domain.snapshots import AccountSnapshot

ORG_UNIT = "org_unit"
INTAKE_FLOW = "intake_flow"
UNROUTED = "unrouted"

HEALTH_PAUSE = "health_"  # how the causes begin for which the health policy pauses a route; administrators may not use it

_PAUSED = "route_paused"


def decide_route(account: AccountSnapshot, direction: Direction) -> Decision | HoldReason:
    """Decide by the account's snapshot alone. A decision names exactly one target, or `unrouted` with neither.

    A reason: the flow cannot be asked now and there is no unit; the message waits. What the company wrote itself (an echo) asks
    no flow and never waits for one.
    """
    return _decide(
        account.intake_flow_id,
        account.intake_flow_usable,
        account.pause_cause is not None,
        account.org_unit_id,
        account.version,
        direction is Direction.ECHO,
    )


@lru_cache(maxsize=4_096)  # the messages of one account share the decision
def _decide(
    flow_id: str | None, flow_usable: bool, paused: bool, unit_id: str | None, version: int, echo: bool
) -> Decision | HoldReason:
    if flow_id is None:
        return _to_unit(unit_id, "account_default", version) if unit_id else _unrouted("no_route", version)
    if echo:
        return _to_unit(unit_id, "account_default", version) if unit_id else _to_flow(flow_id, "echo", version)
    if flow_usable and not paused:
        return _to_flow(flow_id, "flow_configured", version)
    reason = _PAUSED if paused else "flow_unusable"
    if unit_id is not None:
        return _to_unit(unit_id, reason, version)
    return HoldReason.PAUSED if paused else HoldReason.FLOW_UNUSABLE


def after_deadline(account: AccountSnapshot, held: HoldReason, *, expired: bool = False) -> Decision:
    """What becomes of a message that waited long enough: its unit if there is one by now, else unrouted; with the reason."""
    reason = "expired" if expired else {HoldReason.INTAKE: "intake_deadline", HoldReason.PAUSED: _PAUSED}.get(held, held.value)
    if account.org_unit_id is not None:
        return _to_unit(account.org_unit_id, reason, account.version)
    return _unrouted(reason, account.version)


def by_answer(unit_id: str, labels: Iterable[str], version: int) -> Decision:
    """The unit that a flow chose. `version`: of the account's snapshot under which the flow was asked."""
    return _to_unit(unit_id, "flow_routed", version, tuple(labels))


def _to_unit(unit_id: str, reason: str, version: int, labels: tuple[str, ...] = ()) -> Decision:
    return Decision(
        rule=ORG_UNIT,
        reason=reason,
        org_unit_id=unit_id,
        intake_flow_id=None,
        account_snapshot_version=version,
        labels=labels,
    )


def _to_flow(flow_id: str, reason: str, version: int) -> Decision:
    return Decision(rule=INTAKE_FLOW, reason=reason, org_unit_id=None, intake_flow_id=flow_id, account_snapshot_version=version)


def _unrouted(reason: str, version: int) -> Decision:
    return Decision(rule=UNROUTED, reason=reason, org_unit_id=None, intake_flow_id=None, account_snapshot_version=version)
