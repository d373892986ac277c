"""Settings of one ingest process."""

from __future__ import annotations

from pydantic import Field, field_validator

from services.ingest.client_address import ClientAddresses, networks_in
from services.ingest.exchange import Limits
from shared.runtime.settings import KafkaSettings, LogSettings, ObjectStoreSettings, VaultSettings

_SPARE_FILES = 256  # for Kafka, logs, the operations port and the interpreter itself


class IngestSettings(KafkaSettings, VaultSettings, ObjectStoreSettings, LogSettings):
    """Several processes may share `ingest_port`; each needs an `ingest_operations_port` of its own."""

    ingest_host: str = "127.0.0.1"  # 0.0.0.0 where no proxy stands in front on this machine
    ingest_port: int = Field(default=8080, ge=1, le=65535)
    ingest_operations_host: str = "127.0.0.1"
    ingest_operations_port: int = Field(default=9080, ge=0, le=65535)
    ingest_delivery_seconds: float = Field(default=4.0, ge=1, le=30)  # Kafka's part of the answer; providers wait 5 s and more
    ingest_slow_seconds: float = Field(default=5.0, ge=1, le=60)  # opening secrets, storing a large body
    ingest_answer_seconds: float = Field(default=6.0, ge=2, le=60)  # after it 503, whatever is still under way
    ingest_inflight_requests: int = Field(default=10_000, ge=1, le=100_000)  # waiting for Kafka
    ingest_body_memory_bytes: int = Field(default=256 * 1024 * 1024, ge=8 * 1024 * 1024)
    ingest_connections: int = Field(default=10_000, ge=1)
    ingest_head_seconds: float = Field(default=5.0, gt=0)
    ingest_body_seconds: float = Field(default=5.0, gt=0)
    ingest_body_bytes_per_second: int = Field(default=65_536, ge=1)
    ingest_request_seconds: float = Field(default=60.0, gt=0)
    ingest_idle_seconds: float = Field(default=75.0, gt=0)
    ingest_drain_grace_seconds: float = Field(default=1.0, ge=0)
    ingest_drain_seconds: float = Field(default=20.0, gt=0)
    ingest_proxies: str = ""  # networks of the proxies in front, with commas between; they alone are believed about clients
    ingest_client_header: str = Field(default="x-forwarded-for", pattern=r"^[A-Za-z0-9-]{1,64}$")

    @field_validator("ingest_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        return ",".join(networks_in(value))

    def addresses(self) -> ClientAddresses:
        """How the address of a client is found."""
        return ClientAddresses(networks_in(self.ingest_proxies), self.ingest_client_header.lower())

    def limits(self, open_files: int) -> Limits:
        """What one client, and all together, may take; never more connections than `open_files` allows."""
        return Limits(
            connections=max(1, min(self.ingest_connections, open_files - _SPARE_FILES)),
            body_memory_bytes=self.ingest_body_memory_bytes,
            head_seconds=self.ingest_head_seconds,
            body_seconds=self.ingest_body_seconds,
            body_bytes_per_second=self.ingest_body_bytes_per_second,
            request_seconds=self.ingest_request_seconds,
            answer_seconds=self.ingest_answer_seconds,
            idle_seconds=self.ingest_idle_seconds,
        )
