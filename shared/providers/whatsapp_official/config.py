"""What an administrator may set for a Meta connector and for a number of it. No credential belongs here.

Each check returns a cleaned copy or raises InvalidInput with a JSON pointer. Messages name the fault, never the value:
what was pasted into the wrong field may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from shared.domain.errors import InvalidInput
from shared.providers.cleaning import phone_digits

_MAX_POINTER_CHARACTERS = 256
_MAX_DEPTH = 8

MetaId = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[0-9]{5,32}$")]
GraphVersion = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^v[0-9]{1,3}\.[0-9]$")]

_SECRET_KEY = re.compile(
    r"token|secret|passw|senha|credential|credencial|authorization|bearer|private_?key|api_?key|(^|_)pin$", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"\AEAA[0-9A-Za-z]{16,}|\ABearer\s", re.IGNORECASE)  # how Meta's access tokens begin

_E164 = re.compile(r"[1-9][0-9]{6,14}")


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, frozen=True, hide_input_in_errors=True)


class ConnectorConfig(_Config):
    """A WhatsApp Business Account. `app_id` and `graph_version` are needed for calls to Meta, not for receiving."""

    waba_id: MetaId
    app_id: MetaId | None = None
    graph_version: GraphVersion | None = None


class AccountConfig(_Config):
    """One number of the business account, by Meta's id of it."""

    phone_number_id: MetaId


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of a connector's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return _checked(ConnectorConfig, config)


def check_account_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of an account's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return _checked(AccountConfig, config)


def normalise_identity(identity: str) -> str:
    """The one spelling of a number: E.164 digits (`+55 11 9…` and `55119…` are the same); raises InvalidInput."""
    digits = phone_digits(identity)
    if digits is None or _E164.fullmatch(digits) is None:
        raise InvalidInput(
            "identidade must be a phone number with country code, 7 to 15 digits",
            reason="identity_invalid",
            pointer="/identidade",
        )
    return digits


def account_refs(identidade: str, config: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    """What payloads call the account: the id of its number. The digits are not used: Meta's own id is exact.

    A row that was never checked may lack it: then no payload finds the account, and whoever asks goes on.
    """
    number_id = config.get("phone_number_id")
    return (f"phone_number_id:{number_id}",) if number_id else ()


def _checked(model: type[_Config], config: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_secrets(config)
    try:
        return model.model_validate(dict(config)).model_dump(exclude_none=True)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise InvalidInput(f"config: {fault['msg']}", reason="config_invalid", pointer=_pointer(fault["loc"])) from None


def _refuse_secrets(config: Mapping[str, Any]) -> None:
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
            if looks_secret or (isinstance(element, str) and _SECRET_VALUE.search(element) is not None):
                raise InvalidInput(
                    "config holds no credentials: register it as a token or a webhook secret",
                    reason="secret_in_config",
                    pointer=_pointer((*place, name)),
                )
            if len(place) < _MAX_DEPTH:  # deeper than that the schema refuses it anyway
                waiting.append(((*place, name), element))


def _pointer(place: tuple[str | int, ...]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in place)
    return "".join(f"/{part}" for part in parts)[:_MAX_POINTER_CHARACTERS]
