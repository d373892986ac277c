"""Settings of a relay process."""

from __future__ import annotations

from pydantic import Field

from shared.runtime.settings import DatabaseSettings, KafkaSettings, LogSettings


class RelaySettings(KafkaSettings, DatabaseSettings, LogSettings):
    """Any number of relays may run against one database: one works, the others wait for its place."""

    relay_operations_host: str = "127.0.0.1"
    relay_operations_port: int = 9082
    relay_poll_seconds: float = Field(default=0.1, gt=0, le=0.2)  # a change is to reach its readers within two seconds
    relay_batch_rows: int = Field(default=500, ge=1, le=10_000)
    relay_held_poll_seconds: float = Field(default=0.05, gt=0, le=1.0)
    relay_held_batch_rows: int = Field(default=1_000, ge=1, le=10_000)
    relay_drain_seconds: float = 20.0
