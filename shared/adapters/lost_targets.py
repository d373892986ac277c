"""Accounts whose unit is gone, or whose flow may no longer take messages in: what the warning lists and the gauge counts."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, case, func, or_, select

from shared.adapters.tables import AutomationFlow, ChannelAccount, ChannelConnector, OrgUnit

_INTAKE = "intake"
_unit_lost = OrgUnit.deleted_at.is_not(None)
_flow_lost = or_(~AutomationFlow.published, AutomationFlow.category != _INTAKE)  # a deleted flow is not published


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountWithoutTarget:
    """An account and which of its targets are lost. `routed`: whether another one is left."""

    account_id: str
    connector_id: str
    tenant_id: str
    identidade: str
    org_unit_lost: bool
    intake_flow_lost: bool
    routed: bool


def count_lost_targets(connection: Connection) -> dict[str, int]:
    """How many accounts have lost a unit, and a flow. Blocks; looks only at accounts of units and flows that are lost."""
    units = select(func.count()).select_from(ChannelAccount).join(OrgUnit, OrgUnit.id == ChannelAccount.org_unit_id)
    flows = (
        select(func.count()).select_from(ChannelAccount).join(AutomationFlow, AutomationFlow.id == ChannelAccount.intake_flow_id)
    )
    return {
        "org_unit": connection.execute(units.where(_unit_lost)).scalar_one(),
        "intake_flow": connection.execute(flows.where(_flow_lost)).scalar_one(),
    }


def read_lost_targets(connection: Connection, tenant_id: str | None = None) -> list[AccountWithoutTarget]:
    """Every such account, of one tenant or of all, by id. The role must see them (`channels_worker` sees all)."""
    unit_lost, flow_lost = func.coalesce(_unit_lost, False), func.coalesce(_flow_lost, False)
    usable = or_(and_(OrgUnit.id.is_not(None), ~_unit_lost), and_(AutomationFlow.id.is_not(None), ~_flow_lost))
    statement = (
        select(
            ChannelAccount.id,
            ChannelAccount.connector_id,
            ChannelConnector.tenant_id,
            ChannelAccount.identidade,
            unit_lost.label("unit_lost"),
            flow_lost.label("flow_lost"),
            case((usable, True), else_=False).label("routed"),
        )
        .join(ChannelConnector, ChannelConnector.id == ChannelAccount.connector_id)
        .outerjoin(OrgUnit, OrgUnit.id == ChannelAccount.org_unit_id)
        .outerjoin(AutomationFlow, AutomationFlow.id == ChannelAccount.intake_flow_id)
        .where(or_(_unit_lost, _flow_lost))
        .order_by(ChannelAccount.id)
    )
    if tenant_id is not None:
        statement = statement.where(ChannelConnector.tenant_id == tenant_id)
    return [
        AccountWithoutTarget(
            account_id=row.id,
            connector_id=row.connector_id,
            tenant_id=row.tenant_id,
            identidade=row.identidade,
            org_unit_lost=row.unit_lost,
            intake_flow_lost=row.flow_lost,
            routed=row.routed,
        )
        for row in connection.execute(statement)
    ]
