"""What an administrator may set for a server of the unofficial kind and for a number on it. No credential belongs here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import StringConstraints, field_validator, model_validator

from shared.providers.configuration import AccountSettings, ConnectorSettings, Settings, checked
from shared.providers.whatsapp_unofficial.jids import account_refs as refs_of

Dialect = Literal["evolution", "waha", "zapi"]
WebhookAuth = Literal["header", "jwt", "hmac", "query"]
InstanceName = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f/?#]{1,128}$")]

ZAPI_BASE_URL = "https://api.z-api.io"
_AUTHS: Mapping[str, tuple[WebhookAuth, ...]] = {  # the first is the default
    "evolution": ("header", "jwt"),
    "waha": ("hmac",),
    "zapi": ("query", "header"),
}
# How Evolution's keys look (an upper-case UUID): in a setting it can only be a mistake.
_SECRET_VALUE = re.compile(r"\A[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12}\Z")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_LOCAL_NAMES = (".local", ".internal", ".lan", ".localdomain", "localhost")


class ConnectorConfig(ConnectorSettings):
    """One server. `webhook_auth` says how it proves its webhooks; what is possible follows from the dialect.

    `private_host`: the server stands in our own network, so that plain HTTP and private addresses are allowed.
    """

    dialect: Dialect
    base_url: str
    private_host: bool = False
    webhook_auth: WebhookAuth

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        dialect, filled = given.get("dialect"), dict(given)
        if isinstance(dialect, str) and dialect in _AUTHS:
            filled.setdefault("webhook_auth", _AUTHS[dialect][0])
        if dialect == "zapi":
            filled.setdefault("base_url", ZAPI_BASE_URL)
        return filled

    @field_validator("base_url")
    @classmethod
    def _a_plain_address(cls, given: str) -> str:
        try:
            parts = urlsplit(given.strip())
            port = parts.port
        except ValueError:
            raise ValueError("base_url is no URL") from None
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("base_url must begin with https:// and name a host")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("base_url must hold no credentials, query or fragment")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        if _HOST.fullmatch(host) is None or re.search(r"[\s\\{}%]", parts.path):
            raise ValueError("base_url is no URL")
        return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"

    @model_validator(mode="after")
    def _fits_together(self) -> ConnectorConfig:
        if self.webhook_auth not in _AUTHS[self.dialect]:
            raise ValueError(f"webhook_auth of {self.dialect} is one of: {', '.join(_AUTHS[self.dialect])}")
        if not self.private_host:
            parts = urlsplit(self.base_url)
            if parts.scheme != "https":
                raise ValueError("base_url must begin with https:// (or set private_host)")
            if _is_private(parts.hostname or ""):
                raise ValueError("base_url names a private host: set private_host if it is meant")
        return self


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        name = host.lower().rstrip(".")
        return "." not in name or name.endswith(_LOCAL_NAMES) or name.replace(".", "").isdigit()


class AccountConfig(AccountSettings):
    """One number, by what the server calls it: Evolution's instance, WAHA's session, Z-API's instance id."""

    instance: InstanceName


SETTINGS = Settings(connector=ConnectorConfig, account=AccountConfig)


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of a connector's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return checked(ConnectorConfig, config, _SECRET_VALUE)


def check_account_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of an account's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return checked(AccountConfig, config, _SECRET_VALUE)


def account_refs(identidade: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What payloads call the account: `instance:…` first, then `phone:…` for the few that name only the number."""
    instance = config.get("instance")
    return refs_of(instance if isinstance(instance, str) else None, identidade)
