"""Settings of a control process."""

from __future__ import annotations

from pydantic import Field

from shared.runtime.settings import DatabaseSettings, IdentitySettings, KafkaSettings, LogSettings, StackSettings, VaultSettings


class ControlSettings(KafkaSettings, DatabaseSettings, VaultSettings, IdentitySettings, StackSettings, LogSettings):
    """Any number of processes may run against one database: they keep nothing."""

    kafka_bootstrap: str = ""  # empty: everything works but the depth of the queue in an account's status
    control_host: str = "127.0.0.1"
    control_port: int = Field(default=8090, ge=0, le=65535)
    control_operations_host: str = "127.0.0.1"
    control_operations_port: int = Field(default=9084, ge=0, le=65535)
    # Few of each: what is at work at once shares the processor, what waits is served first come first served (DECISIONS).
    control_threads: int = Field(default=3, ge=1, le=200)  # changes at work, and so connections to the database
    control_readers: int = Field(default=2, ge=1, le=200)  # connections for what only reads, which takes no thread
    control_body_bytes: int = Field(default=1_048_576, ge=16_384, le=16_777_216)  # of one request
    control_drain_seconds: float = 20.0
    public_url: str | None = None  # where providers reach the edge
    ingest_port: int = 8080

    @property
    def edge_url(self) -> str:
        """Start of every webhook address: `public_url`, or this machine's edge."""
        return self.public_url or f"http://127.0.0.1:{self.ingest_port}"
