"""Settings sections, each owned by the component that uses it. The environment is read here and nowhere else.

Every variable starts with `CHANNELS_`. With `CHANNELS_STACK=embedded` (the default) the addresses of the stack that
`channels up` started are read from `<home>/stack.json`, below the environment and above the defaults.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.domain.errors import ConfigError


class StackKind(StrEnum):
    """Where Kafka and PostgreSQL come from."""

    EMBEDDED = "embedded"
    CONTAINERS = "containers"
    EXTERNAL = "external"


class Section(BaseSettings):
    """Base of every settings class: `CHANNELS_` variables over the stack file over defaults."""

    model_config = SettingsConfigDict(env_prefix="CHANNELS_", extra="ignore", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, stack file."""
        return init_settings, env_settings, _StackFile(settings_cls)


class _Location(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CHANNELS_", extra="ignore")

    home: Path = Path(".channels")
    stack: StackKind = StackKind.EMBEDDED


class _StackFile(PydanticBaseSettingsSource):
    """The file that `channels up` leaves behind: names of settings to values."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        location = _Location()
        path = location.home / "stack.json"
        if location.stack is StackKind.EXTERNAL or not path.exists():
            return {}
        try:
            settings = json.loads(path.read_text())["settings"]
        except (ValueError, KeyError) as error:
            raise ConfigError(f"{path} is damaged ({error}); run `channels down` and `channels up`") from error
        return {name: value for name, value in settings.items() if name in self.settings_cls.model_fields}


class StackSettings(Section):
    """Where this installation keeps its data, and which stack it uses."""

    home: Path = Path(".channels")
    stack: StackKind = StackKind.EMBEDDED
    environment: str = "development"  # development | production


class KafkaSettings(Section):
    """How to reach Kafka. `topic_prefix` lets several installations (and every test) share one cluster."""

    kafka_bootstrap: str
    topic_prefix: str = ""
    schema_registry_url: str | None = None  # set: Confluent framing on the wire


class DatabaseSettings(Section):
    """One URL per role (`postgresql+psycopg://channels_worker@/channels?host=/path`); each service needs its own."""

    database_owner_url: str | None = None
    database_api_url: str | None = None
    database_worker_url: str | None = None
    database_credential_url: str | None = None


class VaultSettings(Section):
    """Key-encryption keys: local key files (development only), or AWS KMS. The edge and the router need no credential key."""

    key_provider: Literal["local", "aws_kms"] = "local"
    keys_dir: Path = Path(".channels/keys")  # local: one file per purpose
    # aws_kms: ARNs with commas between, the newest first: it wraps, all of them unwrap (docs/KEYS.md)
    aws_kms_ingest_keys: str = ""
    aws_kms_credential_keys: str = ""
    aws_kms_endpoint_url: str | None = None  # another address than the region's own, such as a VPC endpoint
    aws_kms_seconds: float = Field(default=2.0, gt=0, le=30)  # for each of at most three attempts


class ObjectStoreSettings(Section):
    """Where large bodies go: `file:///dir` or a URL that obstore understands."""

    object_store_url: str = ""  # empty: <home>/objects


class IdentitySettings(Section):
    """Whose tokens the management API takes. In development all may stay unset: `channels token mint` makes what is needed."""

    control_jwks: str = ""  # URL or file of the JSON Web Key Set; empty: the development key's
    control_issuer: str = ""  # `iss` of the tokens; empty: the development key's
    control_audience: str = "channels"  # `aud`
    control_tenant_claim: str = "tenant_id"  # a claim, or a path such as app.tenant
    control_permissions_claim: str = "permissions"  # a list, or a text with spaces such as `scope`
    control_leeway_seconds: float = Field(default=30.0, ge=0, le=300)  # how far clocks may differ


class HttpSettings(Section):
    """How we call others over HTTP, and where such calls may go (docs/EGRESS.md). Lists have commas between."""

    http_connect_seconds: float = Field(default=5.0, gt=0, le=60)  # a name's look-up; then a connection with TLS
    http_max_answer_bytes: int = Field(default=2_097_152, ge=1_024, le=268_435_456)
    http_connections: int = Field(default=512, ge=1, le=65_536)  # in all, for providers' hosts and for tenants' each
    http_connections_per_host: int = Field(default=32, ge=1, le=4_096)
    http_keepalive_seconds: float = Field(default=15.0, gt=0, le=300)
    http_ca_bundle: Path | None = None  # PEM file of authorities to trust beside the system's
    http_ports: str = "443,8443"  # that URLs of tenants may name
    # hosts, networks and origins (https://host:port) that URLs of tenants may name although they are not public
    http_allow: str = ""
    http_allow_fixed: str = ""  # networks where the providers' own hosts may be found: private endpoints
    # development only: a provider's host → where it is played, such as graph.facebook.com=http://127.0.0.1:9000/meta
    http_stand_ins: str = ""


class MailServerSettings(Section):
    """How we trust mail servers, for whoever logs in at one."""

    mailbox_ca_file: Path | None = None  # certificate authorities beside those of the machine
    mailbox_plain_loopback: bool = False  # allow `imap_tls: none` to 127.0.0.1 and ::1; nowhere else, ever


class LogSettings(Section):
    """How to log: JSON lines, or columns for a person."""

    log_level: str = "INFO"
    log_format: str = "auto"  # auto (terminal: columns, else JSON) | json | columns


T = TypeVar("T", bound=BaseSettings)


def load(section: type[T]) -> T:
    """Read one settings class; raises ConfigError that names every faulty variable at once."""
    try:
        return section()
    except ValidationError as error:
        faults = "; ".join(
            f"CHANNELS_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigError(f"settings: {faults}. Start the embedded stack with `channels up`, or set them.") from error


def require(value: str | None, variable: str) -> str:
    """The value, or a ConfigError that says which variable to set."""
    if not value:
        raise ConfigError(f"{variable} is not set; start the embedded stack with `channels up`, or set it")
    return value
