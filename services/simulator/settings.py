"""Settings of the simulator, from the environment (SIMULATOR_*)."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class SimulatorSettings(BaseSettings):
    """`speed`: virtual seconds that pass in a real one; 0 leaves all time to `POST /_control/advance`."""

    model_config = SettingsConfigDict(env_prefix="SIMULATOR_", frozen=True)

    host: str = "127.0.0.1"
    port: int = 8099
    seed: int = 1
    speed: float = 1.0
    start_ms: int | None = None  # None: the machine's time, which receivers that check timestamps need
