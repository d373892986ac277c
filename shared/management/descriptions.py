"""What the provider says of an account, taken over: its name where no person set one, and what its tier lets the connector do.

The capabilities are a connector's, the tiers its accounts': a connector may do what each of its accounts may, so the lowest limit
counts. Accounts that are turned off do not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from shared.adapters.tables import ChannelAccount, ChannelCapability, ChannelConnector, DescribedAccount
from shared.domain.enums import AccountStatus, ConnectorStatus, Feature
from shared.management.capabilities import capability_of, preset_of
from shared.management.changes import (
    announce_account,
    announce_connector,
    audit_new,
    audited,
    lock_connector,
    lock_connector_of,
)
from shared.management.overrides import (
    CONSTRAINTS,
    ENABLED,
    held_members,
    is_name_held,
    release_members,
    release_name,
)
from shared.providers.describing import AccountDescription, FeatureState
from shared.providers.limits import CapabilityPreset

MAX_NAME_CHARACTERS = 200  # what callers may set, so that they can send back what they read
_TOLD = ("display_name", "verified_name", "tier", "throughput", "quality", "app_id")

Members = Mapping[str, Any]  # `enabled`, `constraints.<name>` → value; None: the preset's


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a description changed. `tier`: (before, after) where it is another one; `features`: those whose rows changed."""

    name_changed: bool = False
    tier: tuple[str | None, str | None] | None = None
    features: tuple[Feature, ...] = ()


def apply_description(session: Session, account_id: str, told: AccountDescription, *, now: dt.datetime, actor: str) -> Described:
    """Take over what a provider told; twice the same changes nothing, and what it did not tell stays as it was.

    Raises NotFound. An archived connector is left alone.
    """
    connector, account = lock_connector_of(session, ChannelAccount, account_id)
    if connector.status is ConnectorStatus.ARCHIVED:
        return Described()
    known = session.get(DescribedAccount, account.id, populate_existing=True)
    old_name, old_tier = (known.display_name, known.tier) if known is not None else (None, None)
    new = known or DescribedAccount(account_id=account.id, features={})
    values = _values(new, told)
    if known is None and any(values.values()):
        for name, value in values.items():
            setattr(new, name, value)
        new.changed_at = now
        audit_new(session, new, "account.described", tenant_id=connector.tenant_id, actor=actor)
    elif known is not None and any(getattr(known, name) != value for name, value in values.items()):
        with audited(session, known, "account.described", tenant_id=connector.tenant_id, actor=actor):
            for name, value in values.items():
                setattr(known, name, value)
            known.changed_at = now
    return Described(
        name_changed=_follow_name(session, connector, account, values["display_name"], old_name, actor=actor),
        tier=(old_tier, values["tier"]) if old_tier != values["tier"] else None,
        features=_follow_tiers(session, connector, actor=actor),
    )


def follow_name(session: Session, account: ChannelAccount) -> str | None:
    """The name is the provider's again: gives what it said last, None where it said nothing. The caller writes it."""
    release_name(session, account)
    known = session.get(DescribedAccount, account.id)
    return known.display_name if known is not None else None


def follow_capability(session: Session, connector_id: str, feature: Feature, *, actor: str) -> ChannelCapability:
    """Give up what people set of one feature: it is the preset again, with what the provider says. Raises NotFound."""
    connector = lock_connector(session, connector_id)
    row = capability_of(session, connector.id, feature)
    was_held = bool(held_members(session, connector.id, feature))
    release_members(session, connector.id, feature)
    derived = _derived(session, connector.id).get(feature, {})
    preset = preset_of(connector, feature)
    with audited(session, row, "capability.followed", tenant_id=connector.tenant_id, actor=actor) as trace:
        row.enabled = bool(_or_preset(derived.get(ENABLED), preset.enabled))
        row.constraints = dict(preset.constraints)
        _put_limits(row, derived, preset, frozenset())
    set_committed_value(row, "manual", None)
    if trace.changed or was_held:
        announce_connector(session, connector.id)
    return row


def _values(known: DescribedAccount, told: AccountDescription) -> dict[str, Any]:
    """The row's new values: what was not told stays."""
    values: dict[str, Any] = {name: getattr(told, name) or getattr(known, name) for name in _TOLD}
    if values["display_name"] is not None:
        values["display_name"] = values["display_name"][:MAX_NAME_CHARACTERS]
    features = dict(known.features or {})
    for state in told.features:
        features[state.feature.value] = _json(state, features.get(state.feature.value, {}))
    return {**values, "features": features}


def _json(state: FeatureState, known: Mapping[str, Any]) -> dict[str, Any]:
    enabled = known.get("enabled") if state.enabled is None else state.enabled
    return {"enabled": enabled, "constraints": {**known.get("constraints", {}), **state.constraints}}


def _follow_name(
    session: Session, connector: ChannelConnector, account: ChannelAccount, name: str | None, old: str | None, *, actor: str
) -> bool:
    """Fill an empty name, or one that came from the provider. A name of an unknown hand is a person's."""
    present = (account.nome_exibicao or "").strip()
    if not name or (present and present != old) or is_name_held(session, account.id):
        return False
    with audited(session, account, "account.name_followed", tenant_id=connector.tenant_id, actor=actor) as trace:
        account.nome_exibicao = name
    if trace.changed:
        announce_account(session, account.id)
    return trace.changed


def _follow_tiers(session: Session, connector: ChannelConnector, *, actor: str) -> tuple[Feature, ...]:
    """Bring the rows to what all accounts' tiers allow, but for what people set."""
    changed = []
    derived = _derived(session, connector.id)
    rows = session.scalars(
        select(ChannelCapability)
        .where(ChannelCapability.connector_id == connector.id, ChannelCapability.feature.in_(derived.keys()))
        .order_by(ChannelCapability.feature)
    )
    for row in rows:
        held, members = held_members(session, connector.id, row.feature), derived[row.feature]
        preset = preset_of(connector, row.feature)
        with audited(session, row, "capability.followed", tenant_id=connector.tenant_id, actor=actor) as trace:
            if ENABLED in members and ENABLED not in held:
                row.enabled = bool(_or_preset(members[ENABLED], preset.enabled))
            _put_limits(row, members, preset, held)
        if trace.changed:
            changed.append(row.feature)
    if changed:
        announce_connector(session, connector.id)
    return tuple(changed)


def _put_limits(row: ChannelCapability, members: Members, preset: CapabilityPreset, held: frozenset[str]) -> None:
    limits = dict(row.constraints or {})
    for member, value in members.items():
        name = member.removeprefix(CONSTRAINTS)
        if member == ENABLED or member in held:
            continue
        limits[name] = _or_preset(value, preset.constraints.get(name))
        if limits[name] is None:
            del limits[name]
    row.constraints = limits


def _or_preset(value: Any, preset: Any) -> Any:
    return preset if value is None else value


def _derived(session: Session, connector_id: str) -> dict[Feature, dict[str, Any]]:
    """What the accounts' descriptions come to, by feature."""
    described = session.scalars(
        select(DescribedAccount.features)
        .join(ChannelAccount, ChannelAccount.id == DescribedAccount.account_id)
        .where(ChannelAccount.connector_id == connector_id, ChannelAccount.status != AccountStatus.INACTIVE)
    )
    said: dict[Feature, dict[str, list[Any]]] = {}
    for features in described:
        for feature, state in features.items():
            members = said.setdefault(Feature(feature), {})
            if state.get("enabled") is not None:
                members.setdefault(ENABLED, []).append(state["enabled"])
            for name, value in state.get("constraints", {}).items():
                members.setdefault(f"{CONSTRAINTS}{name}", []).append(value)
    return {feature: {name: _lowest(values) for name, values in members.items()} for feature, members in said.items()}


def _lowest(values: Iterable[Any]) -> Any:
    """Of truths and numbers alike the lowest; None, which is no limit, only where all say so."""
    known = [value for value in values if value is not None]
    return min(known) if known else None
