"""What an administrator may set for a Meta connector and for a number of it. No credential belongs here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import StringConstraints

from shared.providers.configuration import AccountSettings, ConnectorSettings, Settings, checked

MetaId = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[0-9]{5,32}$")]
GraphVersion = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^v[0-9]{1,3}\.[0-9]$")]

GraphUrl = Annotated[str, StringConstraints(strip_whitespace=True, max_length=256, pattern=r"^https?://[^\s?#@]+[^/\s?#@]$")]

_SECRET_VALUE = re.compile(r"\AEAA[0-9A-Za-z]{16,}", re.IGNORECASE)  # how Meta's access tokens begin


class ConnectorConfig(ConnectorSettings):
    """A WhatsApp Business Account. All but `waba_id` is needed for calls to Meta, not for receiving.

    `prove_calls` adds `appsecret_proof` to every call, for apps that require it. `owns_app`: no other connector uses the app,
    so its own callback address may be written. `graph_url` is another address of the Graph API (a simulator).
    """

    waba_id: MetaId
    app_id: MetaId | None = None
    graph_version: GraphVersion | None = None
    graph_url: GraphUrl | None = None
    prove_calls: bool | None = None
    owns_app: bool | None = None


class AccountConfig(AccountSettings):
    """One number of the business account, by Meta's id of it."""

    phone_number_id: MetaId


SETTINGS = Settings(connector=ConnectorConfig, account=AccountConfig)


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of a connector's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return checked(ConnectorConfig, config, _SECRET_VALUE)


def check_account_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of an account's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return checked(AccountConfig, config, _SECRET_VALUE)


def account_refs(identidade: str, config: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    """What payloads call the account: the id of its number. The digits are not used: Meta's own id is exact.

    A row that was never checked may lack it: then no payload finds the account, and whoever asks goes on.
    """
    number_id = config.get("phone_number_id")
    return (f"phone_number_id:{number_id}",) if number_id else ()
