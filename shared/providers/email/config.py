"""What an administrator may set for an e-mail connector and for an address of it. No credential belongs here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.domain.errors import InvalidInput
from shared.providers.configuration import AccountSettings, ConnectorSettings, Settings, SettingsModel, checked
from shared.providers.email.decoding import normal_address
from shared.providers.email.provider_events import ANY_ACCOUNT
from shared.providers.email.receiving import SCHEMES

Host = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Printable = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]
TopicArn = Annotated[
    str, StringConstraints(pattern=r"^arn:aws(-cn|-us-gov)?:sns:[a-z0-9-]{3,40}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$")
]
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Mailbox(SettingsModel):
    """Where mails are read; an account's own values stand before its connector's."""

    imap_host: Host | None = None
    imap_port: Port | None = None
    imap_tls: Literal["implicit", "starttls", "none"] | None = None
    username: Printable | None = None
    auth: Literal["password", "xoauth2"] | None = None
    folder: Printable | None = None
    mark_seen: bool | None = None


class ConnectorConfig(Mailbox, ConnectorSettings):
    """One way in: a provider's webhooks, or mailboxes. `smtp_*` is the way out; `oauth_*` how tokens are renewed."""

    dialect: Literal["mailgun", "sendgrid", "postmark", "ses", "imap"]
    webhook_auth: Literal["signature", "basic", "header", "url"] | None = None
    topic_arns: tuple[TopicArn, ...] | None = Field(default=None, max_length=50)
    smtp_host: Host | None = None
    smtp_port: Port | None = None
    smtp_tls: Literal["implicit", "starttls"] | None = None
    ses_configuration_set: Tag | None = None
    oauth_provider: Literal["google", "microsoft"] | None = None
    oauth_client_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,200}$")] | None = None
    oauth_tenant: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,100}$")] | None = None

    @model_validator(mode="after")
    def _fits_its_dialect(self) -> Self:
        if self.webhook_auth is not None and self.webhook_auth not in SCHEMES[self.dialect]:
            raise ValueError("this dialect does not offer that webhook_auth")
        if self.dialect == "ses" and not self.topic_arns:
            raise ValueError("dialect ses needs topic_arns: whose notifications are taken")
        return self


class AccountConfig(Mailbox, AccountSettings):
    """One address. `whole_domain`: it takes every address of its domain; `takes_rest`: what names no account of the connector."""

    whole_domain: bool | None = None
    takes_rest: bool | None = None


SETTINGS = Settings(connector=ConnectorConfig, account=AccountConfig)


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of a connector's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return checked(ConnectorConfig, config)


def check_account_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of an account's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return checked(AccountConfig, config)


def normalise_identity(identity: str) -> str:
    """The one spelling of an address: lower case, without name and brackets; raises InvalidInput."""
    address = normal_address(identity)
    if address is None:
        raise InvalidInput("identidade must be a mail address", reason="identity_invalid", pointer="/identidade")
    return address


def account_refs(identidade: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What mails call the account: its address; its domain, and whatever names nobody, where it is set to take them."""
    address = normal_address(identidade)
    if address is None:
        return ()
    domain = (f"domain:{address.rpartition('@')[2]}",) if config.get("whole_domain") is True else ()
    return (f"address:{address}", *domain, *((ANY_ACCOUNT,) if config.get("takes_rest") is True else ()))
