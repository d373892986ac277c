"""Settings of a sync process."""

from __future__ import annotations

from pydantic import Field

from services.sync.planning import Policy
from shared.runtime.settings import (
    DatabaseSettings,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    ObjectStoreSettings,
    VaultSettings,
)


class SyncSettings(KafkaSettings, DatabaseSettings, VaultSettings, HttpSettings, ObjectStoreSettings, LogSettings):
    """Any number of processes may run against one database: each record and each job is one process's."""

    sync_operations_host: str = "127.0.0.1"
    sync_operations_port: int = Field(default=9085, ge=0, le=65535)
    sync_poll_seconds: float = Field(default=0.1, gt=0, le=0.5)  # a lost target is to reach the router within two seconds
    sync_batch_records: int = Field(default=200, ge=1, le=5_000)
    sync_drain_seconds: float = 30.0
    sync_edge_url: str | None = None  # where sync reaches the edge, if not at `public_url`
    public_url: str | None = None  # where providers reach the edge
    ingest_port: int = 8080
    sync_edge_in_a_row: int = Field(default=12, ge=1, le=1_000)  # fresh connections that must agree
    sync_edge_seconds: float = Field(default=20.0, gt=0, le=120)  # how long the edge may take to learn a snapshot
    sync_debounce_seconds: float = Field(default=2.0, ge=0, le=600)  # what comes within it is one sync
    sync_debounce_longest_seconds: float = Field(default=30.0, ge=0, le=3_600)
    sync_first_backoff_seconds: float = Field(default=5.0, gt=0, le=3_600)
    sync_longest_backoff_seconds: float = Field(default=3_600.0, gt=0, le=86_400)
    sync_mismatch_attempts: int = Field(default=3, ge=1, le=100)  # registering in vain, before a person is asked
    sync_jobs: int = Field(default=8, ge=1, le=200)  # under way at once, in this process
    # Beyond all calls of a job and the wait for the edge: afterwards another process begins anew.
    sync_lease_seconds: float = Field(default=180.0, ge=6, le=3_600)

    @property
    def edge_url(self) -> str:
        """The edge as sync reaches it: the setting, the public address, else this machine's."""
        return self.sync_edge_url or self.public_url or f"http://127.0.0.1:{self.ingest_port}"

    def policy(self) -> Policy:
        """The figures behind the rules."""
        return Policy(
            first_backoff=self.sync_first_backoff_seconds,
            longest_backoff=self.sync_longest_backoff_seconds,
            mismatch_attempts=self.sync_mismatch_attempts,
        )
