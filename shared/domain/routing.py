"""Where a message goes: to the account's intake flow, else to its unit, else nowhere with a reason. Pure."""

from __future__ import annotations

from shared.domain.records import AccountSnapshot, Decision

ORG_UNIT = "org_unit"
INTAKE_FLOW = "intake_flow"
UNROUTED = "unrouted"


def decide_route(account: AccountSnapshot) -> Decision:
    """Decide by the account's snapshot alone; the decision names exactly one target, or `unrouted` with neither."""
    if account.intake_flow_id is not None and account.intake_flow_usable:
        return _decision(account, INTAKE_FLOW, "flow_configured")
    if account.org_unit_id is not None:
        return _decision(account, ORG_UNIT, "account_default" if account.intake_flow_id is None else "flow_unusable")
    return _decision(account, UNROUTED, "flow_unusable" if account.intake_flow_id is not None else "no_route")


def _decision(account: AccountSnapshot, rule: str, reason: str) -> Decision:
    return Decision(
        rule=rule,
        reason=reason,
        org_unit_id=account.org_unit_id if rule == ORG_UNIT else None,
        intake_flow_id=account.intake_flow_id if rule == INTAKE_FLOW else None,
        account_snapshot_version=account.version,
    )
