"""Applies `channels.yaml`: brings tenants, connectors and accounts to what the file says, through the use cases.

One transaction, the caller's: all or nothing. What the file does not name stays as it is, unless pruning is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.database import act_for
from shared.adapters.tables import AutomationFlow, OrgUnit
from shared.management.acting import tenants_named
from shared.management.changes import changes_made
from shared.management.manifest import FlowPart, Manifest, TenantPart, UnitPart, parse
from shared.management.manifest_accounts import Placed
from shared.management.manifest_check import check
from shared.management.manifest_connectors import apply_connector
from shared.management.manifest_diff import Action, differences
from shared.management.manifest_fallbacks import put_fallbacks
from shared.management.manifest_pass import AppliedTenant, Applier, Pass, Report, one_of
from shared.management.manifest_rest import rest_of, take_out, told
from shared.management.manifest_text import ManifestFaults, ManifestText, Place, read_text
from shared.management.reference import FlowFacts, put_flow, put_org_unit, put_tenant

_LOCK = 4_737_812_002  # an arbitrary number that stands for "somebody applies a manifest"


def apply_text(session: Session, text: str, applier: Applier, *, name: str = "channels.yaml", prune: bool = False) -> Report:
    """Apply one file; `prune` takes out of force what it does not name.

    Raises ManifestFaults with every fault at once, and then nothing may be committed; Unavailable.
    """
    form = read_text(text, name)
    manifest = parse(form, name)
    current = Pass(session, applier, check(manifest, form, applier.sources))
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))  # two at once would create things twice
    for place, part, tenant_id in _tenants(current, manifest):
        placed: list[Placed] = []
        for index, connector in enumerate(part.connectors):
            placed += apply_connector(current, (*place, "connectors", index), tenant_id, connector)
        put_fallbacks(current, [(one.place, one.account, one.part.fallbacks) for one in placed])
        for row in () if current.checked.faults else rest_of(current, tenant_id):
            if prune:
                take_out(current, place, row)
            else:
                current.report.unnamed.append(told(row))
    if current.checked.faults:
        raise ManifestFaults(name, current.checked.faults)
    _account_for(current, form)
    return current.report


def _account_for(current: Pass, form: ManifestText) -> None:
    report = current.report
    report.changes = changes_made(current.session)
    report.differences = differences(report.changes)
    changed = {(one.kind, one.id) for one in report.differences}
    report.unchanged = sum((table.removeprefix("channel_"), row_id) not in changed for table, row_id in current.seen)
    created = {one.id for one in report.differences if one.action is Action.CREATE}
    report.invented = frozenset(created - set(_ids(form.data)))


def _ids(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        with suppress(KeyError, ValueError, AttributeError):  # the id of a secret is none that could be invented
            yield str(UUID(data["id"]))
    if isinstance(data, dict | list):
        for part in data.values() if isinstance(data, dict) else data:
            yield from _ids(part)


def _tenants(current: Pass, manifest: Manifest) -> Iterator[tuple[Place, TenantPart, str]]:
    session, actor = current.session, current.applier.actor
    for index, part in enumerate(manifest.tenants):
        place: Place = ("tenants", index)
        tenant_id = None
        with current.at(place):
            known = part.id or one_of(tenants_named(session, part.name))
            acting = known or new_uuid7()
            act_for(session, acting)
            tenant = put_tenant(session, acting, part.name, timezone=part.timezone, actor=actor)
            current.saw(tenant)
            tenant_id = tenant.id
            current.report.tenants.append(AppliedTenant(tenant.id, tenant.name))
        if tenant_id is None:
            continue
        for number, unit in enumerate(part.org_units):
            with current.at((*place, "org_units", number)):
                unit_id = unit.id or _named(session, OrgUnit, tenant_id, unit)
                current.saw(put_org_unit(session, tenant_id, unit_id, unit.name, actor=actor))
        for number, flow in enumerate(part.flows):
            with current.at((*place, "flows", number)):
                facts = FlowFacts(name=flow.name, category=flow.category, published=flow.published)
                flow_id = flow.id or _named(session, AutomationFlow, tenant_id, flow)
                current.saw(put_flow(session, tenant_id, flow_id, facts, actor=actor))
        yield place, part, tenant_id


def _named(
    session: Session, table: type[OrgUnit] | type[AutomationFlow], tenant_id: str, part: UnitPart | FlowPart
) -> str | None:
    return one_of(session.scalars(select(table.id).where(table.tenant_id == tenant_id, table.name == part.name)).all())
