"""Settings of the embedded stack and of the fleet beside it: where it caches, which ports and which Java it uses."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.settings import Section


class EmbeddedSettings(Section):
    """Everything has a default; a port that is not given is a free one, kept over restarts."""

    cache: Path = Path("~/.cache/channels")  # Kafka's jars, shared by all homes
    kafka_port: int | None = Field(default=None, ge=1, le=65535)
    kafka_controller_port: int | None = Field(default=None, ge=1, le=65535)
    java_home: Path | None = Field(default=None, validation_alias=AliasChoices("CHANNELS_JAVA_HOME", "JAVA_HOME"))


class GivenPorts(BaseSettings):
    """Ports of the fleet that the environment asks for. Not a Section: what the last start wrote down is no wish."""

    model_config = SettingsConfigDict(env_prefix="CHANNELS_", extra="ignore", frozen=True)

    ingest_port: int | None = Field(default=None, ge=1, le=65535)
    ingest_operations_port: int | None = Field(default=None, ge=1, le=65535)
    router_operations_port: int | None = Field(default=None, ge=1, le=65535)
    relay_operations_port: int | None = Field(default=None, ge=1, le=65535)
    mailbox_operations_port: int | None = Field(default=None, ge=1, le=65535)
    control_port: int | None = Field(default=None, ge=1, le=65535)
    control_operations_port: int | None = Field(default=None, ge=1, le=65535)
    sync_operations_port: int | None = Field(default=None, ge=1, le=65535)
    token_rotator_operations_port: int | None = Field(default=None, ge=1, le=65535)
    health_operations_port: int | None = Field(default=None, ge=1, le=65535)
