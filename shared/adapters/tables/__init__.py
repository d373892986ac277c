"""Typed mappings of the database. `Base.metadata` equals what the migrations build (a test compares both)."""

from shared.adapters.tables.base import Base
from shared.adapters.tables.certificates import ConnectorCertificate
from shared.adapters.tables.channels import (
    ChannelAccount,
    ChannelCapability,
    ChannelConnector,
    ChannelFallback,
    ChannelHealthCheck,
    ChannelMapping,
    ChannelToken,
    ChannelUsageLog,
    ChannelWebhook,
)
from shared.adapters.tables.support import (
    AccountState,
    AuditLog,
    AutomationFlow,
    Claim,
    ConnectorDefaultFallback,
    DataKey,
    DeliveryState,
    IdempotencyKey,
    MailboxPosition,
    OrgUnit,
    Outbox,
    RouterProgress,
    SnapshotVersion,
    Tenant,
)

__all__ = [
    "AccountState",
    "AuditLog",
    "AutomationFlow",
    "Base",
    "ChannelAccount",
    "ChannelCapability",
    "ChannelConnector",
    "ChannelFallback",
    "ChannelHealthCheck",
    "ChannelMapping",
    "ChannelToken",
    "ChannelUsageLog",
    "ChannelWebhook",
    "Claim",
    "ConnectorCertificate",
    "ConnectorDefaultFallback",
    "DataKey",
    "DeliveryState",
    "IdempotencyKey",
    "MailboxPosition",
    "OrgUnit",
    "Outbox",
    "RouterProgress",
    "SnapshotVersion",
    "Tenant",
]
