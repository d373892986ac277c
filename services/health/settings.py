"""Settings of a health process."""

from __future__ import annotations

import json

from pydantic import Field, field_validator

from services.health.decide import Policy
from shared.runtime.settings import (
    DatabaseSettings,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    MailServerSettings,
    VaultSettings,
)


class HealthSettings(KafkaSettings, DatabaseSettings, VaultSettings, HttpSettings, MailServerSettings, LogSettings):
    """Any number of processes may run against one database: each check is one process's. Thresholds: docs/CONFIGURATION.md."""

    health_operations_host: str = "127.0.0.1"
    health_operations_port: int = Field(default=9087, ge=0, le=65535)
    health_every_seconds: int = Field(default=300, ge=1, le=86_400)
    health_threshold: int = Field(default=3, ge=1, le=1_000)
    health_recover: int = Field(default=2, ge=1, le=1_000)
    health_unreachable_after: int = Field(default=3, ge=1, le=1_000)
    health_min_open_seconds: int = Field(default=300, ge=0, le=86_400)
    health_max_open_seconds: int = Field(default=14_400, ge=0, le=604_800)
    health_silence_hours: int = Field(default=6, ge=0, le=48)
    health_silence_expected: int = Field(default=20, ge=1, le=1_000_000)
    health_tenants: str = ""  # JSON: tenant id → {"threshold": 5, …}
    health_egress_share: float = Field(default=0.3, gt=0, le=1)
    health_egress_connectors: int = Field(default=5, ge=1)  # so many must fail at least before our own egress is blamed
    health_calls: int = Field(default=256, ge=1, le=10_000)  # checks under way at once
    health_credential_seconds: int = Field(default=900, ge=1, le=86_400)  # how long an opened credential serves
    health_keep_days: int = Field(default=30, ge=1, le=3_650)
    health_session_seconds: float = Field(default=8.0, ge=6, le=10)  # until Kafka gives the partitions to another process
    health_drain_seconds: float = 20.0

    @field_validator("health_tenants")
    @classmethod
    def _is_json(cls, value: str) -> str:
        try:
            given = json.loads(value or "{}")
        except ValueError:
            raise ValueError("not JSON") from None
        if not isinstance(given, dict) or not all(isinstance(one, dict) for one in given.values()):
            raise ValueError('a tenant\'s id → {"threshold": 5, …}')
        return value

    def policy(self) -> Policy:
        """The installation's thresholds."""
        return Policy(
            every_seconds=self.health_every_seconds,
            threshold=self.health_threshold,
            recover=self.health_recover,
            unreachable_after=self.health_unreachable_after,
            min_open_seconds=self.health_min_open_seconds,
            max_open_seconds=self.health_max_open_seconds,
            silence_hours=self.health_silence_hours,
            silence_expected=self.health_silence_expected,
        )

    def tenants(self) -> dict[str, dict[str, int]]:
        """Thresholds of tenants that differ."""
        found: dict[str, dict[str, int]] = json.loads(self.health_tenants or "{}")
        return found
