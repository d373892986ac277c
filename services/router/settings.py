"""Settings of one router process."""

from __future__ import annotations

from pydantic import Field

from shared.runtime.settings import DatabaseSettings, KafkaSettings, LogSettings, ObjectStoreSettings, VaultSettings


class RouterSettings(KafkaSettings, DatabaseSettings, VaultSettings, ObjectStoreSettings, LogSettings):
    """A router's slot names its group member and transactional id: give each process its own, and keep it over restarts."""

    router_slot: int = Field(default=0, ge=0, le=9_999)
    router_operations_port: int = 9081
    router_operations_host: str = "127.0.0.1"
    router_batch_items: int = Field(default=4_000, ge=1, le=20_000)
    router_batch_bytes: int = Field(default=16 * 1024 * 1024, ge=1)
    router_session_timeout_ms: int = Field(default=10_000, ge=6_000, le=60_000)
    router_transaction_timeout_ms: int = Field(default=10_000, ge=1_000, le=60_000)
    router_drain_seconds: float = 20.0
    # How long a message waits for its flow where its account says nothing; and how long a receipt, an edit or a reaction waits
    # for the message that it is about.
    router_intake_deadline_seconds: int = Field(default=120, ge=5, le=86_400)
    router_target_wait_seconds: int = Field(default=600, ge=0, le=86_400)
