"""What an administrator may set for a bot. No credential belongs here: the bot's token is a token row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from shared.domain.errors import InvalidInput
from shared.providers.configuration import AccountSettings, ConnectorSettings, Settings, checked
from shared.providers.telegram.updates import BOT_REF, BUSINESS_REF

DEFAULT_API_URL = "https://api.telegram.org"

BotId = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[1-9][0-9]{4,18}$")]
ApiUrl = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$")]
BusinessConnectionId = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_=+/-]{1,128}$")]

_SECRET_VALUE = re.compile(r"\A(bot)?[0-9]{5,19}:[A-Za-z0-9_-]{30,}")  # how a bot's token looks
_USERNAME = re.compile(r"[a-z][a-z0-9_]{3,31}")
_LINK = re.compile(r"\A(https?://)?(t\.me|telegram\.me)/", re.IGNORECASE)


class ConnectorConfig(ConnectorSettings):
    """A bot. `bot_id` (digits before the colon of its token) lets a check notice another bot's token.

    `api_url`: of a Bot API server of one's own. `max_connections`: how many updates Telegram posts at once (its default
    is 40).
    """

    bot_id: BotId | None = None
    api_url: ApiUrl | None = None
    max_connections: Annotated[int, Field(ge=1, le=100)] | None = None


class AccountConfig(AccountSettings):
    """The bot itself; or, with a business connection, the business account that the bot answers for."""

    business_connection_id: BusinessConnectionId | None = None


SETTINGS = Settings(connector=ConnectorConfig, account=AccountConfig)


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of a connector's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return checked(ConnectorConfig, config, _SECRET_VALUE)


def check_account_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of an account's config; raises InvalidInput (`secret_in_config`, `config_invalid`)."""
    return checked(AccountConfig, config, _SECRET_VALUE)


def normalise_identity(identity: str) -> str:
    """The one spelling of a bot: its id in digits, or its username in lower case without `@`; raises InvalidInput."""
    name = _LINK.sub("", identity.strip()).removeprefix("@")
    if name.isascii() and name.isdigit() and 5 <= len(name) <= 19 and name[0] != "0":
        return name
    name = name.lower()
    if _USERNAME.fullmatch(name) is None:
        raise InvalidInput(
            "identidade must be the bot's id in digits or its username, 4 to 32 characters",
            reason="identity_invalid",
            pointer="/identidade",
        )
    return name


def account_refs(identidade: str, config: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    """What updates call the account: they do not name the bot, because the URL does; they name a business connection."""
    business = config.get("business_connection_id")
    return (f"{BUSINESS_REF}:{business}",) if business else (BOT_REF,)
