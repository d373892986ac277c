"""Use cases of `channel_capability`: six rows per connector, first from the provider's preset, then by hand or by sync."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.adapters.tables import ChannelCapability, ChannelConnector
from shared.domain.enums import Feature
from shared.domain.errors import NotFound
from shared.management.changes import announce_connector, audit_new, audited, lock_connector
from shared.management.lifting import refuse_secrets
from shared.providers.contract import Provider


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
    """Turn a feature on or off; `constraints` None leaves the limits as they are. Raises NotFound, InvalidInput."""
    refuse_secrets(constraints, "/constraints")
    connector = lock_connector(session, connector_id)
    row = capability_of(session, connector.id, feature)
    with audited(session, row, "capability.set", tenant_id=connector.tenant_id, actor=actor) as trace:
        row.enabled = enabled
        if constraints is not None:
            row.constraints = dict(constraints)
    if trace.changed:
        announce_connector(session, connector.id)
    return row


def capability_of(session: Session, connector_id: str, feature: Feature) -> ChannelCapability:
    """The row of one feature; raises NotFound."""
    row = session.scalar(
        select(ChannelCapability).where(ChannelCapability.connector_id == connector_id, ChannelCapability.feature == feature)
    )
    if row is None:
        raise NotFound(f"the connector has no row for {feature}")
    return row
