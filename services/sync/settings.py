"""Settings of a sync process."""

from __future__ import annotations

from pydantic import Field

from shared.runtime.settings import DatabaseSettings, KafkaSettings, LogSettings


class SyncSettings(KafkaSettings, DatabaseSettings, LogSettings):
    """Any number of processes may run against one database: whoever comes second to a record leaves it to the first."""

    sync_operations_host: str = "127.0.0.1"
    sync_operations_port: int = Field(default=9085, ge=0, le=65535)
    sync_poll_seconds: float = Field(default=0.1, gt=0, le=0.5)  # a lost target is to reach the router within two seconds
    sync_batch_records: int = Field(default=200, ge=1, le=5_000)
    sync_drain_seconds: float = 20.0
