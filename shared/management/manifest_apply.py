"""Applies `channels.yaml`: brings tenants, connectors and accounts to what the file says, through the use cases.

One transaction, the caller's: all or nothing. What the file does not name stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.database import act_for
from shared.adapters.tables import AutomationFlow, OrgUnit
from shared.management.acting import tenants_named
from shared.management.changes import changes_made
from shared.management.manifest import FlowPart, Manifest, TenantPart, UnitPart, parse
from shared.management.manifest_check import check
from shared.management.manifest_connectors import apply_connector
from shared.management.manifest_pass import Applier, Pass, Report, one_of
from shared.management.manifest_text import ManifestFaults, Place, read_text
from shared.management.reference import FlowFacts, put_flow, put_org_unit, put_tenant

_LOCK = 4_737_812_002  # an arbitrary number that stands for "somebody applies a manifest"


def apply_text(session: Session, text: str, applier: Applier, *, name: str = "channels.yaml") -> Report:
    """Apply one file. Raises ManifestFaults with every fault at once, and then nothing may be committed; Unavailable."""
    form = read_text(text, name)
    manifest = parse(form, name)
    current = Pass(session, applier, check(manifest, form, applier.sources))
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))  # two at once would create things twice
    for place, part, tenant_id in _tenants(current, manifest):
        for index, connector in enumerate(part.connectors):
            apply_connector(current, (*place, "connectors", index), tenant_id, connector)
    if current.checked.faults:
        raise ManifestFaults(name, current.checked.faults)
    current.report.changes = changes_made(session)
    return current.report


def _tenants(current: Pass, manifest: Manifest) -> Iterator[tuple[Place, TenantPart, str]]:
    session, actor = current.session, current.applier.actor
    for index, part in enumerate(manifest.tenants):
        place: Place = ("tenants", index)
        tenant_id = None
        with current.at(place):
            known = part.id or one_of(tenants_named(session, part.name))
            acting = known or new_uuid7()
            act_for(session, acting)
            tenant_id = put_tenant(session, acting, part.name, timezone=part.timezone, actor=actor).id
        if tenant_id is None:
            continue
        for number, unit in enumerate(part.org_units):
            with current.at((*place, "org_units", number)):
                put_org_unit(session, tenant_id, unit.id or _named(session, OrgUnit, tenant_id, unit), unit.name, actor=actor)
        for number, flow in enumerate(part.flows):
            with current.at((*place, "flows", number)):
                facts = FlowFacts(name=flow.name, category=flow.category, published=flow.published)
                put_flow(session, tenant_id, flow.id or _named(session, AutomationFlow, tenant_id, flow), facts, actor=actor)
        yield place, part, tenant_id


def _named(
    session: Session, table: type[OrgUnit] | type[AutomationFlow], tenant_id: str, part: UnitPart | FlowPart
) -> str | None:
    return one_of(session.scalars(select(table.id).where(table.tenant_id == tenant_id, table.name == part.name)).all())
