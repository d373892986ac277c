"""What a batch of change notices says to the world. Pure: rows in, records out.

Policy: several notices of one snapshot become one record of its present state; a subject that is gone becomes a deletion; an
event is published as it was written down. What cannot be built is set aside with its reason, the rest goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.domain.configuration import AccountRow, ChangeNotice, ConfigurationRows, ConnectorRow
from shared.domain.enums import ConnectorStatus, ConnectorType, HealthStatus, TokenKind
from shared.domain.errors import ChannelsError
from shared.domain.records import ConnectorStatusChanged, HealthChecked, RouteStatusChanged, SyncRequired, TokenExpiring
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot
from shared.domain.topics import OUTBOX_EVENTS, Topic
from shared.providers.contract import Provider

INTAKE = "intake"  # the category of flow that may take messages in

Told = (
    ConnectorSnapshot
    | AccountSnapshot
    | ConnectorStatusChanged
    | TokenExpiring
    | HealthChecked
    | RouteStatusChanged
    | SyncRequired
)
ProviderOf = Callable[[ConnectorType], Provider]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One record to publish; `value` None is a deletion. `notice_ids`: the rows that it settles."""

    topic: Topic
    key: str
    value: Told | None
    event_id: str
    time_ms: int
    notice_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """Notices that cannot be published: why, as the name of a fault, never with values."""

    topic: Topic
    subject_id: str
    notice_ids: tuple[int, ...]
    reason: str


def plan_batch(
    notices: Sequence[ChangeNotice], rows: ConfigurationRows, provider_of: ProviderOf
) -> tuple[list[Publication], list[SetAside]]:
    """Decide what to publish, in the order of the notices (of a snapshot: of its last one)."""
    publications: list[Publication] = []
    aside: list[SetAside] = []
    for group in _grouped(notices):
        last = group[-1]
        ids = tuple(notice.id for notice in group)
        try:
            value, event_id = _build(last, rows, provider_of)
        except (ChannelsError, LookupError, TypeError, ValueError) as error:
            reason = error.code if isinstance(error, ChannelsError) else type(error).__name__
            aside.append(SetAside(topic=last.topic, subject_id=last.subject_id, notice_ids=ids, reason=reason))
            continue
        publications.append(
            Publication(
                topic=last.topic,
                key=last.subject_id,
                value=value,
                event_id=event_id,
                time_ms=last.created_at_ms,
                notice_ids=ids,
            )
        )
    return publications, aside


def _grouped(notices: Sequence[ChangeNotice]) -> list[list[ChangeNotice]]:
    groups: dict[object, list[ChangeNotice]] = {}
    for notice in notices:
        alone = notice.topic in OUTBOX_EVENTS
        groups.setdefault(notice.id if alone else (notice.topic, notice.subject_id), []).append(notice)
    return sorted(groups.values(), key=lambda group: group[-1].id)


def _build(notice: ChangeNotice, rows: ConfigurationRows, provider_of: ProviderOf) -> tuple[Told | None, str]:
    if notice.topic in OUTBOX_EVENTS:
        return _event(notice, rows)
    snapshot: ConnectorSnapshot | AccountSnapshot
    if notice.topic is Topic.CONNECTOR_SNAPSHOT:
        connector = rows.connectors.get(notice.subject_id)
        if connector is None:
            return None, f"{notice.subject_id}/deleted"
        snapshot = _connector_snapshot(connector, provider_of)
    elif notice.topic is Topic.ACCOUNT_SNAPSHOT:
        account = rows.accounts.get(notice.subject_id)
        if account is None:
            return None, f"{notice.subject_id}/deleted"
        snapshot = _account_snapshot(account, provider_of)
    else:
        raise LookupError(notice.topic)
    return snapshot, f"{notice.subject_id}/{snapshot.version}"


def _event(notice: ChangeNotice, rows: ConfigurationRows) -> tuple[Told, str]:
    match notice.topic:
        case Topic.CONNECTOR_STATUS_CHANGED:
            changed = _status_changed(notice, rows.connectors.get(notice.subject_id))
            return changed, changed.change_id
        case Topic.TOKEN_EXPIRING:
            expiring = _token_expiring(notice)
            return expiring, expiring.notice_id
        case Topic.HEALTH_CHECKED:
            checked = _health_checked(notice)
            return checked, checked.check_id
        case Topic.ROUTE_STATUS_CHANGED:
            route = RouteStatusChanged(account_id=notice.subject_id, **dict(notice.detail or {}))
            return route, route.change_id
        case Topic.SYNC_REQUIRED:
            return SyncRequired(**dict(notice.detail or {})), f"{notice.subject_id}/sync/{notice.id}"
        case _:
            raise LookupError(notice.topic)


def _connector_snapshot(row: ConnectorRow, provider_of: ProviderOf) -> ConnectorSnapshot:
    secret_names = frozenset(name.lower() for name in provider_of(row.tipo).redact)
    return ConnectorSnapshot(
        version=row.version,
        connector_id=row.connector_id,
        tenant_id=row.tenant_id,
        tipo=row.tipo,
        status=row.status,
        config=json.dumps(_without(row.config, secret_names), sort_keys=True, ensure_ascii=False),
        webhooks=row.webhooks,
        ingest_keys=row.ingest_keys,
        certificates=row.certificates,
    )


def _account_snapshot(row: AccountRow, provider_of: ProviderOf) -> AccountSnapshot:
    return AccountSnapshot(
        version=row.version,
        account_id=row.account_id,
        connector_id=row.connector_id,
        tenant_id=row.tenant_id,
        identidade=row.identidade,
        status=row.status,
        account_refs=provider_of(row.tipo).account_refs(row.identidade, row.config),
        org_unit_id=row.org_unit_id,
        intake_flow_id=row.intake_flow_id,
        intake_flow_usable=row.flow_published is True and row.flow_category == INTAKE,
        intake_deadline_seconds=row.config.get("intake_deadline_seconds"),
        pause_cause=row.pause_cause,
        fallback=row.fallback,
    )


def _status_changed(notice: ChangeNotice, connector: ConnectorRow | None) -> ConnectorStatusChanged:
    detail = notice.detail or {}
    old = detail["old_status"]
    return ConnectorStatusChanged(
        change_id=str(detail["change_id"]),
        tenant_id=str(detail["tenant_id"]) if connector is None else connector.tenant_id,
        connector_id=notice.subject_id,
        old_status=None if old is None else ConnectorStatus(old),
        new_status=ConnectorStatus(detail["new_status"]),
        cause=str(detail["cause"]),
        actor=str(detail["actor"]),
        changed_at_ms=int(detail["changed_at_ms"]),
    )


def _token_expiring(notice: ChangeNotice) -> TokenExpiring:
    detail = dict(notice.detail or {})
    return TokenExpiring(connector_id=notice.subject_id, kind=TokenKind(detail.pop("kind")), **detail)


def _health_checked(notice: ChangeNotice) -> HealthChecked:
    detail = dict(notice.detail or {})
    return HealthChecked(connector_id=notice.subject_id, status=HealthStatus(detail.pop("status")), **detail)


def _without(value: Any, names: frozenset[str]) -> Any:
    """The value without every field of these names, however deep: the use cases refuse credentials, this makes sure."""
    if isinstance(value, Mapping):
        return {key: _without(inner, names) for key, inner in value.items() if key.lower() not in names}
    if isinstance(value, list):
        return [_without(inner, names) for inner in value]
    return value
