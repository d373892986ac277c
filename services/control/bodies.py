"""What callers may send. Unknown fields are refused; so is text that no database can hold.

In a PATCH body only the fields that were sent count (`given`); their defaults come from factories, so that OpenAPI shows none.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from shared.domain.enums import (
    AccountStatus,
    ConnectorStatus,
    ConnectorType,
    FallbackType,
    SecretUse,
    TokenKind,
    WebhookEvent,
    WebhookStatus,
)
from shared.management.provider_rotation import DEFAULT_OVERLAP_SECONDS

_MAX_DEPTH = 32

Name = Annotated[str, StringConstraints(max_length=200)]
Address = Annotated[str, StringConstraints(max_length=2000)]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Secret = Annotated[
    str, Field(min_length=1, max_length=16_384, repr=False, json_schema_extra={"writeOnly": True, "format": "password"})
]
Json = dict[str, Any]
_EpochMs = Annotated[int, Field(ge=0, le=253_402_300_799_999)]


class Body(BaseModel):
    """Base of all: closed, and nothing is told of a wrong value."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: object) -> object:
        refuse_unstorable(value)
        return value


def refuse_unstorable(value: object) -> None:
    """Raise for NUL, lone surrogates, numbers without a value, and nesting without end, with the place."""
    waiting: list[tuple[tuple[object, ...], object]] = [((), value)]
    while waiting:
        path, one = waiting.pop()
        if len(path) > _MAX_DEPTH:
            raise _unstorable("nested deeper than 32 levels", path)
        if isinstance(one, dict):
            waiting += [((*path, name), member) for name, member in one.items()]
            waiting += [(path, name) for name in one]
        elif isinstance(one, list):
            waiting += [((*path, index), member) for index, member in enumerate(one)]
        elif isinstance(one, str) and ("\0" in one or any("\ud800" <= letter <= "\udfff" for letter in one)):
            raise _unstorable("text holds a NUL or half a character", path)
        elif isinstance(one, float) and not math.isfinite(one):
            raise _unstorable("not a number", path)


def _unstorable(what: str, path: tuple[object, ...]) -> PydanticCustomError:
    return PydanticCustomError("unstorable", what, {"path": path})


class ConnectorBody(Body):
    """A set-up at one provider. `config`: see `/v1/providers/{tipo}/schema`; credentials in it are moved to tokens."""

    tipo: ConnectorType
    nome: Name
    projeto_referencia: Name | None = None
    config: Json


class ConnectorPatch(Body):
    """What is given is changed; `config` as a whole."""

    nome: Name = Field(default_factory=str)
    projeto_referencia: Name | None = None
    config: Json = Field(default_factory=dict)
    status: ConnectorStatus = Field(default_factory=lambda: ConnectorStatus.PENDING)


class AccountBody(Body):
    """A number, mailbox or widget; at least one of `org_unit_id` and `intake_flow_id`."""

    identidade: Name
    nome_exibicao: Name | None = None
    org_unit_id: Id | None = None
    intake_flow_id: Id | None = None
    config: Json | None = None
    metadata: Json | None = None


class AccountPatch(Body):
    """What is given is changed; `config` and `metadata` as a whole."""

    nome_exibicao: Name | None = None
    org_unit_id: Id | None = None
    intake_flow_id: Id | None = None
    config: Json | None = None
    webhook_url: Address = Field(default_factory=str)
    metadata: Json | None = None
    status: AccountStatus = Field(default_factory=lambda: AccountStatus.PENDING)


class PauseBody(Body):
    """Why: a short code, which readers of the topics see."""

    cause: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class CapabilityPatch(Body):
    """`constraints` left out: the limits stay."""

    enabled: bool
    constraints: Json | None = None


class TokenBody(Body):
    """A credential. `value` is sealed at once and never given back."""

    kind: TokenKind
    value: Secret
    expires_at: AwareDatetime | None = None
    metadata: Json | None = None


class TokenPatch(Body):
    """What is known of a token; its value never changes: add another and delete this."""

    expires_at: AwareDatetime | None = None
    metadata: Json | None = None


class SecretBody(Body):
    """A receiving secret, live from `not_before_ms` to `not_after_ms` (milliseconds since 1970; left out: always)."""

    use: SecretUse
    value: Secret
    not_before_ms: _EpochMs | None = None
    not_after_ms: _EpochMs | None = None


class WebhookBody(Body):
    """One class of events. An active row needs a secret."""

    evento: WebhookEvent
    url: Address
    secrets: list[SecretBody] = Field(default_factory=list, max_length=16)
    status: WebhookStatus = WebhookStatus.ACTIVE


class WebhookPatch(Body):
    """What is given is changed."""

    url: Address = Field(default_factory=str)
    status: WebhookStatus = Field(default_factory=lambda: WebhookStatus.ACTIVE)


class SecretsBody(Body):
    """All secrets of a webhook: give old and new ones together to rotate without a gap."""

    secrets: list[SecretBody] = Field(max_length=16)


class RotationBody(Body):
    """A secret that we register at the provider is replaced. `value` left out: a new one is made, which nobody needs to know.

    `overlap_seconds`: how long the others of its use hold once the provider has the new one.
    """

    use: SecretUse
    value: Secret = Field(default_factory=str)
    overlap_seconds: int = Field(default=DEFAULT_OVERLAP_SECONDS, ge=0, le=30 * 86_400)


class SecretPatch(Body):
    """From `not_after_ms` on (milliseconds since 1970) it proves nothing; a time that has passed ends it at once."""

    not_after_ms: _EpochMs


class FallbackBody(Body):
    """`destino`: a number of one of the tenant's accounts for `fallback_number`, a mail address for the others."""

    tipo: FallbackType
    destino: Name
    ativo: bool = True


class FallbackPatch(Body):
    """What is given is changed."""

    tipo: FallbackType = Field(default_factory=lambda: FallbackType.VOICEMAIL)
    destino: Name = Field(default_factory=str)
    ativo: bool = Field(default_factory=bool)


class DefaultFallbackBody(Body):
    """Which fallback the connector's accounts without one of their own use."""

    fallback_id: Id


def given(body: BaseModel) -> dict[str, Any]:
    """The fields that the caller sent, by name."""
    return {name: getattr(body, name) for name in body.model_fields_set}


def utc(moment: dt.datetime | None) -> dt.datetime | None:
    """The same instant in UTC."""
    return moment.astimezone(dt.UTC) if moment else None
