"""Where a message goes: to the account's intake flow, else to its unit, else nowhere with a reason. Pure."""

from __future__ import annotations

from functools import lru_cache

from shared.domain.records import AccountSnapshot, Decision

ORG_UNIT = "org_unit"
INTAKE_FLOW = "intake_flow"
UNROUTED = "unrouted"


def decide_route(account: AccountSnapshot) -> Decision:
    """Decide by the account's snapshot alone; the decision names exactly one target, or `unrouted` with neither."""
    return _decide(account.intake_flow_id, account.intake_flow_usable, account.org_unit_id, account.version)


@lru_cache(maxsize=4_096)  # the messages of one account share the decision
def _decide(flow_id: str | None, flow_usable: bool, unit_id: str | None, version: int) -> Decision:
    rule, reason = UNROUTED, "no_route" if flow_id is None else "flow_unusable"
    if flow_id is not None and flow_usable:
        rule, reason = INTAKE_FLOW, "flow_configured"
    elif unit_id is not None:
        rule, reason = ORG_UNIT, "account_default" if flow_id is None else "flow_unusable"
    return Decision(
        rule=rule,
        reason=reason,
        org_unit_id=unit_id if rule == ORG_UNIT else None,
        intake_flow_id=flow_id if rule == INTAKE_FLOW else None,
        account_snapshot_version=version,
    )
