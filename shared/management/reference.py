"""Reference copies of other modules' objects: tenants, units, flows. A change reaches the snapshots of the accounts in use."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.adapters.clock import new_uuid7
from shared.adapters.database import act_for, acting_for
from shared.adapters.tables import AutomationFlow, ChannelAccount, OrgUnit, Tenant
from shared.domain.errors import Conflict, InvalidInput
from shared.management.changes import announce_account, audit_new, audited, find, lock_connectors_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFacts:
    """What is known of a flow. An account may use it while `published` and of category `intake`."""

    name: str
    category: str
    published: bool


def put_tenant(session: Session, tenant_id: str | None, name: str, *, timezone: str = "UTC", actor: str) -> Tenant:
    """Create (id None or unknown) or update a tenant. Raises InvalidInput for an unknown time zone.

    A session that acts for nobody acts for this tenant from here on; one that acts for another may not do this (NotFound).
    """
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidInput(
            "no such time zone (an IANA name is wanted)", reason="timezone_unknown", pointer="/timezone"
        ) from error
    tenant_id = tenant_id or new_uuid7()
    if acting_for(session) is None:
        act_for(session, tenant_id)
    tenant = session.get(Tenant, tenant_id)
    if tenant is None:
        tenant = Tenant(id=tenant_id, name=name, timezone=timezone)
        audit_new(session, tenant, "tenant.created", tenant_id=tenant.id, actor=actor)
        return tenant
    with audited(session, tenant, "tenant.updated", tenant_id=tenant.id, actor=actor):
        tenant.name, tenant.timezone = name, timezone
    return tenant


def put_org_unit(session: Session, tenant_id: str, unit_id: str | None, name: str, *, actor: str) -> OrgUnit:
    """Create (id None or unknown) or update a unit. Raises Conflict (`reference_deleted`), InvalidInput (`id_taken`)."""
    unit = session.get(OrgUnit, unit_id) if unit_id else None
    if unit is None:
        find(session, Tenant, tenant_id)
        unit = OrgUnit(id=unit_id or new_uuid7(), tenant_id=tenant_id, name=name)
        audit_new(session, unit, "org_unit.created", tenant_id=tenant_id, actor=actor)
        return unit
    _same_tenant(unit.tenant_id, tenant_id)
    _not_deleted(unit)
    lock_connectors_of(session, tenant_id)
    with audited(session, unit, "org_unit.updated", tenant_id=tenant_id, actor=actor) as trace:
        unit.name = name
    if trace.changed:
        _announce_users(session, ChannelAccount.org_unit_id, unit.id)
    return unit


def put_flow(session: Session, tenant_id: str, flow_id: str | None, facts: FlowFacts, *, actor: str) -> AutomationFlow:
    """Create (id None or unknown) or update a flow. Unpublishing one in use is allowed: the unit then takes over.

    Raises Conflict (`reference_deleted`), InvalidInput (`id_taken`).
    """
    flow = session.get(AutomationFlow, flow_id) if flow_id else None
    if flow is None:
        find(session, Tenant, tenant_id)
        flow = AutomationFlow(
            id=flow_id or new_uuid7(),
            tenant_id=tenant_id,
            name=facts.name,
            category=facts.category,
            published=facts.published,
        )
        audit_new(session, flow, "automation_flow.created", tenant_id=tenant_id, actor=actor)
        return flow
    _same_tenant(flow.tenant_id, tenant_id)
    _not_deleted(flow)
    lock_connectors_of(session, tenant_id)
    with audited(session, flow, "automation_flow.updated", tenant_id=tenant_id, actor=actor) as trace:
        flow.name, flow.category, flow.published = facts.name, facts.category, facts.published
    if trace.changed:
        _announce_users(session, ChannelAccount.intake_flow_id, flow.id)
    return flow


def _announce_users(session: Session, column: InstrumentedAttribute[str | None], reference: str) -> None:
    # After the row is written: an account that began to use it meanwhile has waited for us, or we for it.
    for account_id in session.scalars(select(ChannelAccount.id).where(column == reference).order_by(ChannelAccount.id)):
        announce_account(session, account_id)


def _same_tenant(owner: str, tenant_id: str) -> None:
    if owner != tenant_id:
        raise InvalidInput("this id belongs to another tenant", reason="id_taken", pointer="/id")


def _not_deleted(row: OrgUnit | AutomationFlow) -> None:
    # Only its owner brings it back, through the topic: by hand it would come back here and nowhere else.
    if row.deleted_at is not None:
        raise Conflict("the module that owns it has deleted it", reason="reference_deleted")
