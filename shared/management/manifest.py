"""The form of `channels.yaml`: what may stand in it. See docs/CONFIGURATION.md."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    model_validator,
)

from shared.domain.enums import ConnectorType, FallbackType, Feature, SecretUse, TokenKind, WebhookEvent, WebhookStatus
from shared.management.manifest_text import ManifestFaults, ManifestText

Name = Annotated[StrictStr, Field(min_length=1, max_length=255)]
Text = Annotated[StrictStr, Field(min_length=1, max_length=2000)]  # an address, or a name that another module gave


def _canonical(text: str) -> str:
    return str(UUID(text))


Id = Annotated[StrictStr, AfterValidator(_canonical)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Secret(_Part):
    # Exactly one of the three; `value` is for trying things out, it leaves the secret in the file.
    env: Name | None = None
    file: Name | None = None
    value: Annotated[StrictStr, Field(min_length=1)] | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _one_source(self) -> _Secret:
        if sum(source is not None for source in (self.env, self.file, self.value)) != 1:
            raise ValueError("give exactly one of env, file, value")
        return self


class TokenPart(_Secret):
    """One credential of a connector. Where the token `id` is stored, it stands in for a source that is not at hand."""

    kind: TokenKind
    id: Id | None = None
    expires_at: AwareDatetime | None = None
    metadata: dict[str, Any] | None = None


class SecretPart(_Secret):
    """One receiving secret of a connector's webhooks; `id` as `channels webhooks secrets list` shows it, and as in a token."""

    use: SecretUse
    id: Name | None = None
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None


class WebhookPart(_Part):
    """Webhook rows that share their secrets: one row per event class, all five unless told otherwise."""

    events: tuple[WebhookEvent, ...] = tuple(WebhookEvent)
    url: Text | None = None
    status: WebhookStatus = WebhookStatus.ACTIVE
    secrets: tuple[SecretPart, ...] = ()


class CapabilityPart(_Part):
    """A deviation from the provider's preset."""

    feature: Feature
    enabled: StrictBool
    constraints: dict[str, Any] | None = None


class FallbackPart(_Part):
    """Where the account's traffic goes when its checks keep failing; `default`: also that of its connector's other accounts."""

    tipo: FallbackType
    destino: Name
    ativo: StrictBool = True
    default: StrictBool = False


class AccountPart(_Part):
    """One account; `org_unit` and `intake_flow` are names or ids of the tenant's."""

    identidade: Name
    id: Id | None = None
    nome_exibicao: Name | None = None
    org_unit: Text | None = None
    intake_flow: Text | None = None
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    webhook_url: Text | None = None
    status: Literal["active", "inactive", "pending"] = "active"
    fallbacks: tuple[FallbackPart, ...] = ()


class ConnectorPart(_Part):
    """One connector with all that belongs to it."""

    nome: Name
    tipo: ConnectorType
    id: Id | None = None
    projeto_referencia: Name | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    status: Literal["active", "pending", "archived"] = "active"
    tokens: tuple[TokenPart, ...] = ()
    webhooks: tuple[WebhookPart, ...] = ()
    capabilities: tuple[CapabilityPart, ...] = ()
    accounts: tuple[AccountPart, ...] = ()


class NamedPart(_Part):
    """What is known by a name in its tenant, or by an id."""

    name: Text
    id: Id | None = None


class UnitPart(NamedPart):
    """Reference copy of a unit."""


class FlowPart(NamedPart):
    """Reference copy of a flow."""

    category: Name = "intake"
    published: StrictBool = True


class TenantPart(NamedPart):
    """One tenant."""

    timezone: Name = "UTC"
    org_units: tuple[UnitPart, ...] = ()
    flows: tuple[FlowPart, ...] = ()
    connectors: tuple[ConnectorPart, ...] = ()


class Manifest(_Part):
    """The whole file."""

    version: Literal[1]
    tenants: tuple[TenantPart, ...]


def milliseconds(time: datetime | None) -> int | None:
    """A time as the rest of the system counts it."""
    return None if time is None else int(time.timestamp() * 1000)


def parse(text: ManifestText, name: str) -> Manifest:
    """Check the form; raises ManifestFaults with every fault. Messages tell what is wanted, never what was found."""
    try:
        return Manifest.model_validate(text.data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        faults = [text.fault(tuple(each["loc"]), _MESSAGES.get(each["type"], _as_is)(each["msg"])) for each in found]
        raise ManifestFaults(name, faults) from None


def _as_is(message: str) -> str:
    return message.removeprefix("Value error, ")


_MESSAGES: dict[str, Callable[[str], str]] = {
    "missing": lambda _: "is missing",
    "extra_forbidden": lambda _: "is not a known name",
    "string_type": lambda _: "must be text (put digits in quotes)",
}
