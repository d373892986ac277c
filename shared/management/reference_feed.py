"""Use cases of the reference tables as other modules' snapshots feed them: a unit or a flow came, changed, or is gone.

An account that loses its target this way is not touched. It is named in the result, in the audit log and, with a new version,
in its snapshot, so that the router sends its messages elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.adapters.tables import AutomationFlow, ChannelAccount, OrgUnit, Tenant
from shared.domain.errors import InvalidInput
from shared.domain.snapshots import FlowSnapshot, OrgUnitSnapshot
from shared.management.changes import announce_account, audit_new, audit_note, audited, lock_connectors_of

INTAKE = "intake"

Reference = TypeVar("Reference", OrgUnit, AutomationFlow)


class Result(StrEnum):
    """What became of one snapshot."""

    CREATED = "created"
    CHANGED = "changed"
    SAME = "same"
    OLDER = "older"  # a version below the one in hand
    DELETED = "deleted"
    UNKNOWN = "unknown"  # the deletion of what was never here


@dataclass(frozen=True, slots=True, kw_only=True)
class LostTarget:
    """An account whose unit or flow can no longer be used, why, and where its messages go now."""

    account_id: str
    connector_id: str
    target: str  # org_unit, intake_flow
    cause: str  # deleted, unpublished, not_intake
    instead: str  # org_unit, intake_flow, nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The effect of one snapshot."""

    result: Result
    lost: tuple[LostTarget, ...] = ()


def take_unit(session: Session, unit: OrgUnitSnapshot, *, actor: str) -> Taken:
    """Create or update a unit. Raises InvalidInput (`id_taken`) for one that another tenant has."""
    row = _known(session, OrgUnit, unit.org_unit_id, unit.tenant_id, actor=actor)
    if row is None:
        row = OrgUnit(id=unit.org_unit_id, tenant_id=unit.tenant_id, name=unit.name, version=unit.version)
        audit_new(session, row, "org_unit.created", tenant_id=unit.tenant_id, actor=actor)
        return Taken(result=Result.CREATED)
    if _is_older(row, unit.version):
        return Taken(result=Result.OLDER)
    returns = row.deleted_at is not None
    if returns:
        lock_connectors_of(session, unit.tenant_id)
    with audited(session, row, "org_unit.updated", tenant_id=unit.tenant_id, actor=actor) as trace:
        row.name, row.version, row.deleted_at = unit.name, unit.version, None
    if returns:
        _tell(session, _users(session, ChannelAccount.org_unit_id, row.id))
    return Taken(result=Result.CHANGED if trace.changed else Result.SAME)


def take_flow(session: Session, flow: FlowSnapshot, *, actor: str) -> Taken:
    """Create or update a flow. Raises InvalidInput (`id_taken`)."""
    row = _known(session, AutomationFlow, flow.flow_id, flow.tenant_id, actor=actor)
    if row is None:
        row = AutomationFlow(
            id=flow.flow_id,
            tenant_id=flow.tenant_id,
            name=flow.name,
            category=flow.category,
            published=flow.published,
            version=flow.version,
        )
        audit_new(session, row, "automation_flow.created", tenant_id=flow.tenant_id, actor=actor)
        return Taken(result=Result.CREATED)
    if _is_older(row, flow.version):
        return Taken(result=Result.OLDER)
    was, becomes = _usable(row.published, row.category), _usable(flow.published, flow.category)
    if was != becomes:
        lock_connectors_of(session, flow.tenant_id)
    with audited(session, row, "automation_flow.updated", tenant_id=flow.tenant_id, actor=actor) as trace:
        row.name, row.category, row.published = flow.name, flow.category, flow.published
        row.version, row.deleted_at = flow.version, None
    result = Result.CHANGED if trace.changed else Result.SAME
    if was == becomes:
        return Taken(result=result)
    users = _users(session, ChannelAccount.intake_flow_id, row.id)
    _tell(session, users)
    if becomes:
        return Taken(result=result)
    cause = "not_intake" if flow.published else "unpublished"
    return Taken(result=result, lost=_warned(session, users, "intake_flow", cause, flow.tenant_id, actor=actor))


def forget_unit(session: Session, unit_id: str, *, actor: str) -> Taken:
    """The original is gone: keep the row for those that name it, let nobody new use it, warn those that do."""
    row = session.get(OrgUnit, unit_id, populate_existing=True)
    if row is None or row.deleted_at is not None:
        return Taken(result=Result.UNKNOWN)
    lock_connectors_of(session, row.tenant_id)
    with audited(session, row, "org_unit.deleted", tenant_id=row.tenant_id, actor=actor):
        row.deleted_at = session.scalar(select(func.clock_timestamp()))
    users = _users(session, ChannelAccount.org_unit_id, row.id)
    _tell(session, users)
    return Taken(result=Result.DELETED, lost=_warned(session, users, "org_unit", "deleted", row.tenant_id, actor=actor))


def forget_flow(session: Session, flow_id: str, *, actor: str) -> Taken:
    """The same for a flow."""
    row = session.get(AutomationFlow, flow_id, populate_existing=True)
    if row is None or row.deleted_at is not None:
        return Taken(result=Result.UNKNOWN)
    lock_connectors_of(session, row.tenant_id)
    with audited(session, row, "automation_flow.deleted", tenant_id=row.tenant_id, actor=actor):
        row.deleted_at, row.published = session.scalar(select(func.clock_timestamp())), False
    users = _users(session, ChannelAccount.intake_flow_id, row.id)
    _tell(session, users)
    return Taken(result=Result.DELETED, lost=_warned(session, users, "intake_flow", "deleted", row.tenant_id, actor=actor))


def _known(session: Session, table: type[Reference], row_id: str, tenant_id: str, *, actor: str) -> Reference | None:
    row = session.get(table, row_id, populate_existing=True)
    if row is not None:
        if row.tenant_id != tenant_id:
            raise InvalidInput("this id belongs to another tenant", reason="id_taken", pointer="/tenant_id")
        return row
    if session.get(Tenant, tenant_id) is None:  # the modules that own units and flows know tenants before we do
        audit_new(session, Tenant(id=tenant_id, name=tenant_id), "tenant.created", tenant_id=tenant_id, actor=actor)
    return None


def _is_older(row: OrgUnit | AutomationFlow, version: int) -> bool:
    # After a deletion the owner may count anew; what comes later in the topic is younger whatever its number.
    return row.deleted_at is None and row.version is not None and version < row.version


def _usable(published: bool, category: str) -> bool:
    return published and category == INTAKE


def _users(session: Session, column: InstrumentedAttribute[str | None], reference: str) -> Sequence[ChannelAccount]:
    # After the row is written: an account that began to use it meanwhile has waited for us, or we for it.
    statement = select(ChannelAccount).where(column == reference).order_by(ChannelAccount.id)
    return session.scalars(statement.execution_options(populate_existing=True)).all()


def _tell(session: Session, users: Sequence[ChannelAccount]) -> None:
    for account in users:
        announce_account(session, account.id)


def _warned(
    session: Session, users: Sequence[ChannelAccount], target: str, cause: str, tenant_id: str, *, actor: str
) -> tuple[LostTarget, ...]:
    lost = []
    for account in users:
        one = LostTarget(
            account_id=account.id,
            connector_id=account.connector_id,
            target=target,
            cause=cause,
            instead=_instead(session, account, target),
        )
        facts = {"target": one.target, "cause": one.cause, "instead": one.instead}
        audit_note(session, account, "account.target_lost", facts, tenant_id=tenant_id, actor=actor)
        lost.append(one)
    return tuple(lost)


def _instead(session: Session, account: ChannelAccount, target: str) -> str:
    if target == "org_unit":
        flow = session.get(AutomationFlow, account.intake_flow_id) if account.intake_flow_id else None
        return "intake_flow" if flow is not None and _usable(flow.published, flow.category) else "nothing"
    unit = session.get(OrgUnit, account.org_unit_id) if account.org_unit_id else None
    return "org_unit" if unit is not None and unit.deleted_at is None else "nothing"
