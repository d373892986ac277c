"""What an administrator may set for a webchat. No credential belongs here: keys are webhook secrets, or a token row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from shared.domain.errors import InvalidInput
from shared.providers.configuration import AccountSettings, ConnectorSettings, Settings, checked

WidgetId = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_-]{4,128}$")]
# As browsers send it: lower case, no path, no default port. Without TLS only on the developer's own machine.
Origin = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, pattern=r"^(https://[a-z0-9.-]{1,253}|http://(localhost|127\.0\.0\.1))(:[0-9]{1,5})?$"
    ),
]
DeliveryUrl = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^https://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(/[!-~]{0,1024})?$")
]
Issuer = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[!-~]{1,256}$")]

_SECRET_VALUE = re.compile(r"\Awhsec_|-----BEGIN [A-Z ]*PRIVATE KEY-----")
_WIDGET_ID = re.compile(r"[A-Za-z0-9_-]{4,128}")


class ConnectorConfig(ConnectorSettings):
    """Who may post. `dialect`: visitors' browsers, or the customer's own server.

    `origins`: sites that may show the widget. `issuer`: `iss` of the session tokens, `webchat` unless given. `delivery_url`:
    where our side of the talk is posted to.
    """

    dialect: Literal["browser", "server"] = "browser"
    widget_ids: Annotated[tuple[WidgetId, ...], Field(min_length=1, max_length=100)]
    origins: Annotated[tuple[Origin, ...], Field(max_length=100)] = ()
    issuer: Issuer | None = None
    delivery_url: DeliveryUrl | None = None


class AccountConfig(AccountSettings):
    """A widget; its id is the account's identity."""


SETTINGS = Settings(connector=ConnectorConfig, account=AccountConfig)


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of a connector's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    clean = checked(ConnectorConfig, config, _SECRET_VALUE)
    if clean["dialect"] == "browser" and not clean["origins"]:
        raise InvalidInput("config: a widget needs the origins of its pages", reason="config_invalid", pointer="/origins")
    return clean


def check_account_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of an account's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return checked(AccountConfig, config, _SECRET_VALUE)


def normalise_identity(identity: str) -> str:
    """The one spelling of a widget's id, which counts letter by letter; raises InvalidInput."""
    name = identity.strip()
    if _WIDGET_ID.fullmatch(name) is None:
        raise InvalidInput(
            "identidade must be the widget's id: 4 to 128 letters, digits, _ or -",
            reason="identity_invalid",
            pointer="/identidade",
        )
    return name


def account_refs(identidade: str, config: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    """What bodies call the account: the id of its widget."""
    return (f"widget_id:{identidade}",)
