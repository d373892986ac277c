"""What an administrator may set, checked: a model each for connectors and accounts, and no credential anywhere.

Each check returns a cleaned copy or raises InvalidInput with a JSON pointer. Messages name the fault, never the value:
what was pasted into the wrong field may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.domain.errors import InvalidInput
from shared.providers.cleaning import phone_digits

_MAX_POINTER_CHARACTERS = 256
_MAX_DEPTH = 8

_SECRET_KEY = re.compile(
    r"token|secret|passw|senha|credential|credencial|authorization|bearer|private_?key|api_?key|(^|_)pin$", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"\ABearer\s", re.IGNORECASE)
_E164 = re.compile(r"[1-9][0-9]{6,14}")


class SettingsModel(BaseModel):
    """Base of every model: unknown fields are refused, numbers may stand for text, nothing is told of a wrong value."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, frozen=True, hide_input_in_errors=True)


class HealthThresholds(SettingsModel):
    """When checks have consequences, where it differs from the installation's settings (docs/CONFIGURATION.md, Health).

    `threshold` failures in a row open, `recover` passes in a row close, `unreachable_after` checks that nobody could tell are one
    failure. A route stays paused for `min_open_seconds` at least. `silence_hours` without inbound items, where `silence_expected`
    are usual, warn; 0 hours never do.
    """

    every_seconds: Annotated[int, Field(ge=30, le=86_400)] | None = None
    threshold: Annotated[int, Field(ge=1, le=1_000)] | None = None
    recover: Annotated[int, Field(ge=1, le=1_000)] | None = None
    unreachable_after: Annotated[int, Field(ge=1, le=1_000)] | None = None
    min_open_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    max_open_seconds: Annotated[int, Field(ge=0, le=604_800)] | None = None
    silence_hours: Annotated[int, Field(ge=0, le=48)] | None = None
    silence_expected: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class ConnectorSettings(SettingsModel):
    """What every provider's connectors may set. `health`: thresholds for the connector and for those accounts that set none."""

    health: HealthThresholds | None = None


class AccountSettings(SettingsModel):
    """What every provider's accounts may set. `intake_deadline_seconds`: how long a message waits for its flow's answer."""

    intake_deadline_seconds: Annotated[int, Field(ge=5, le=86_400)] | None = None
    health: HealthThresholds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The models of one provider. `connector` and `account` give JSON Schema by `schema`."""

    connector: type[SettingsModel]
    account: type[SettingsModel]

    def schema(self) -> dict[str, dict[str, Any]]:
        """JSON Schema (2020-12) of both configs, for forms and documents."""
        return {"connector": self.connector.model_json_schema(), "account": self.account.model_json_schema()}


def checked(model: type[SettingsModel], config: Mapping[str, Any], secret_value: re.Pattern[str] | None = None) -> dict[str, Any]:
    """Cleaned copy of a config; `secret_value` matches what the provider's credentials look like.

    Raises InvalidInput (`secret_in_config`, `config_invalid`).
    """
    _refuse_secrets(config, secret_value)
    try:
        return model.model_validate(dict(config)).model_dump(exclude_none=True, mode="json")
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise InvalidInput(f"config: {fault['msg']}", reason="config_invalid", pointer=_pointer(fault["loc"])) from None


def phone_identity(identity: str) -> str:
    """The one spelling of a number: E.164 digits (`+55 11 9…` and `55119…` are the same).

    Raises InvalidInput (`identity_invalid`).
    """
    digits = phone_digits(identity)
    if digits is None or _E164.fullmatch(digits) is None:
        raise InvalidInput(
            "identidade must be a phone number with country code, 7 to 15 digits",
            reason="identity_invalid",
            pointer="/identidade",
        )
    return digits


def _refuse_secrets(config: Mapping[str, Any], secret_value: re.Pattern[str] | None) -> None:
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), config)]
    while waiting:
        place, value = waiting.pop()
        inner: list[tuple[str | int, Any]] = []
        if isinstance(value, Mapping):
            inner = [(str(key), element) for key, element in value.items()]
        elif isinstance(value, list | tuple):
            inner = list(enumerate(value))
        for name, element in inner:
            looks_secret = isinstance(name, str) and _SECRET_KEY.search(name) is not None
            if looks_secret or (isinstance(element, str) and _is_secret(element, secret_value)):
                raise InvalidInput(
                    "config holds no credentials: register it as a token or a webhook secret",
                    reason="secret_in_config",
                    pointer=_pointer((*place, name)),
                )
            if len(place) < _MAX_DEPTH:  # deeper than that the schema refuses it anyway
                waiting.append(((*place, name), element))


def _is_secret(text: str, secret_value: re.Pattern[str] | None) -> bool:
    return _SECRET_VALUE.search(text) is not None or (secret_value is not None and secret_value.search(text) is not None)


def _pointer(place: tuple[str | int, ...]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in place)
    return "".join(f"/{part}" for part in parts)[:_MAX_POINTER_CHARACTERS]
