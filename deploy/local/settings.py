"""Settings of the embedded stack: where it caches, which ports and which Java it uses."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field

from shared.runtime.settings import Section


class EmbeddedSettings(Section):
    """Everything has a default; a port that is not given is a free one, kept over restarts."""

    cache: Path = Path("~/.cache/channels")  # Kafka's jars, shared by all homes
    kafka_port: int | None = Field(default=None, ge=1, le=65535)
    kafka_controller_port: int | None = Field(default=None, ge=1, le=65535)
    java_home: Path | None = Field(default=None, validation_alias=AliasChoices("CHANNELS_JAVA_HOME", "JAVA_HOME"))
