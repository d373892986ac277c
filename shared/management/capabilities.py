"""Use cases of `channel_capability`: six rows per connector, first from the provider's preset, then by hand or by sync.

What a person changes is theirs from then on (`channel_override`); `descriptions` has what sync does with the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from shared.adapters.tables import ChannelCapability, ChannelConnector
from shared.domain.enums import Feature
from shared.domain.errors import NotFound
from shared.management.changes import announce_connector, audit_new, audited, lock_connector
from shared.management.lifting import refuse_secrets
from shared.management.overrides import CONSTRAINTS, ENABLED, changed_members, hold_members, members_of
from shared.providers import provider_of
from shared.providers.contract import Provider
from shared.providers.limits import CapabilityPreset


def add_preset(session: Session, connector: ChannelConnector, provider: Provider, *, actor: str) -> None:
    """The rows of a new connector: one per feature; what the preset does not name is off."""
    presets = {preset.feature: preset for preset in provider.capabilities}
    for feature in Feature:
        preset = presets.get(feature)
        row = ChannelCapability(
            connector_id=connector.id,
            feature=feature,
            enabled=preset.enabled if preset else False,
            constraints=dict(preset.constraints) if preset else {},
        )
        audit_new(session, row, "capability.preset", tenant_id=connector.tenant_id, actor=actor)


def set_capability(
    session: Session,
    connector_id: str,
    feature: Feature,
    *,
    enabled: bool,
    constraints: Mapping[str, Any] | None = None,
    actor: str,
) -> ChannelCapability:
    """Turn a feature on or off; `constraints` None leaves the limits as they are. Raises NotFound, InvalidInput.

    What differs from the row is set by hand: the provider's tiers no longer change it.
    """
    refuse_secrets(constraints, "/constraints")
    connector = lock_connector(session, connector_id)
    row = capability_of(session, connector.id, feature)
    before = members_of(row)
    with audited(session, row, "capability.set", tenant_id=connector.tenant_id, actor=actor) as trace:
        row.enabled = enabled
        if constraints is not None:
            row.constraints = dict(constraints)
    if trace.changed:
        held = hold_members(session, connector.id, feature, changed_members(before, members_of(row)), actor=actor)
        set_committed_value(row, "manual", sorted(held))
        announce_connector(session, connector.id)
    return row


def by_hand(connector: ChannelConnector, row: ChannelCapability) -> tuple[bool, dict[str, Any]]:
    """`enabled` and limits without what the provider says: the preset's, and over them what a person set."""
    preset, held, present = preset_of(connector, row.feature), row.manual or (), row.constraints or {}
    limits = dict(preset.constraints)
    for member in held:
        name = member.removeprefix(CONSTRAINTS)
        if member == ENABLED:
            continue
        if name in present:
            limits[name] = present[name]
        else:
            limits.pop(name, None)
    return (row.enabled if ENABLED in held else preset.enabled), limits


def edited(
    connector: ChannelConnector, row: ChannelCapability, enabled: bool, given: Mapping[str, Any]
) -> tuple[bool, dict[str, Any]]:
    """The row's values once an edition of `by_hand` is in force; what the edition leaves alone follows the provider on."""
    was_enabled, was = by_hand(connector, row)
    limits, missing = dict(row.constraints or {}), object()
    for name in was.keys() | given.keys():
        if name not in given:
            limits.pop(name, None)
        elif given[name] != was.get(name, missing):
            limits[name] = given[name]
    return (row.enabled if enabled == was_enabled else enabled), limits


def preset_of(connector: ChannelConnector, feature: Feature) -> CapabilityPreset:
    """The provider's preset; off and without limits where it has none."""
    presets = {preset.feature: preset for preset in provider_of(connector.tipo).capabilities}
    return presets.get(feature) or CapabilityPreset(feature=feature, enabled=False)


def capability_of(session: Session, connector_id: str, feature: Feature) -> ChannelCapability:
    """The row of one feature; raises NotFound."""
    row = session.scalar(
        select(ChannelCapability).where(ChannelCapability.connector_id == connector_id, ChannelCapability.feature == feature)
    )
    if row is None:
        raise NotFound(f"the connector has no row for {feature}")
    return row
