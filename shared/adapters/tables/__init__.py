"""Typed mappings of the database. `Base.metadata` equals what the migrations build (a test compares both)."""

from shared.adapters.tables.base import Base, loaded_columns, stored_in
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
from shared.adapters.tables.descriptions import ChannelOverride, DescribedAccount, SyncErrand
from shared.adapters.tables.health import AccountActivity, HealthState
from shared.adapters.tables.renewals import ProviderBudget, TokenRenewal
from shared.adapters.tables.routing import Claim, DeadLetterMark, DeliveryState, HeldRecord, RouterProgress
from shared.adapters.tables.support import (
    AccountState,
    AuditLog,
    AutomationFlow,
    ConnectorDefaultFallback,
    ConsumerOffset,
    DataKey,
    IdempotencyKey,
    MailboxPosition,
    OrgUnit,
    Outbox,
    SecretUse,
    SnapshotVersion,
    Tenant,
)
from shared.adapters.tables.syncing import SecretRotation, SyncJob

__all__ = [
    "AccountActivity",
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
    "ChannelOverride",
    "ChannelToken",
    "ChannelUsageLog",
    "ChannelWebhook",
    "Claim",
    "ConnectorCertificate",
    "ConnectorDefaultFallback",
    "ConsumerOffset",
    "DataKey",
    "DeadLetterMark",
    "DeliveryState",
    "DescribedAccount",
    "HealthState",
    "HeldRecord",
    "IdempotencyKey",
    "MailboxPosition",
    "OrgUnit",
    "Outbox",
    "ProviderBudget",
    "RouterProgress",
    "SecretRotation",
    "SecretUse",
    "SnapshotVersion",
    "SyncErrand",
    "SyncJob",
    "Tenant",
    "TokenRenewal",
    "loaded_columns",
    "stored_in",
]
