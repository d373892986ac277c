"""Configuration as the database has it: notices that something changed, and the rows that snapshots are built from.

Plain values, so that what a snapshot says can be decided and tested without a database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType
from shared.domain.snapshots import Certificate, FallbackInForce, WebhookSnapshot, WrappedDataKey
from shared.domain.topics import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNotice:
    """One outbox row: "`subject_id` changed, tell `topic`". `detail` is the event itself where it is not the present state."""

    id: int
    topic: Topic
    subject_id: str
    detail: Mapping[str, Any] | None
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorRow:
    """A connector, its webhooks, and its tenant's `ingest` keys, newest first."""

    version: int
    connector_id: str
    tenant_id: str
    tipo: ConnectorType
    status: ConnectorStatus
    config: Mapping[str, Any]
    webhooks: tuple[WebhookSnapshot, ...]
    ingest_keys: tuple[WrappedDataKey, ...]
    certificates: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """An account, with what counts of its connector and its intake flow (`flow_*` None without one)."""

    version: int
    account_id: str
    connector_id: str
    tenant_id: str
    tipo: ConnectorType
    identidade: str
    status: AccountStatus
    config: Mapping[str, Any]
    org_unit_id: str | None
    intake_flow_id: str | None
    flow_category: str | None
    flow_published: bool | None
    pause_cause: str | None = None
    fallback: FallbackInForce | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationRows:
    """Present rows by id, all of one instant. An id that is missing does not exist (any more)."""

    connectors: Mapping[str, ConnectorRow]
    accounts: Mapping[str, AccountRow]
