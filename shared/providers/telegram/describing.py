"""What Telegram says of a bot, or of the business account that it answers for: the name that people see.

Telegram has no tiers: its limits are the same for all bots, and stand in the preset.
Source: https://core.telegram.org/bots/api#getme and …#getbusinessconnection
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.providers.calling import CallContext, ProviderAnswer, ProviderCall
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.describing import AccountDescription, Describing
from shared.providers.telegram.calls import call, fault_of, result_of


def build(context: CallContext) -> tuple[ProviderCall, ...]:
    """One question: about the business connection where the account is one, else about the bot."""
    business = context.account_config.get("business_connection_id")
    if isinstance(business, str) and business:
        body = {"business_connection_id": business}
        return (call("business_connection", "getBusinessConnection", context, body, idempotent=True),)
    return (call("get_me", "getMe", context, idempotent=True),)


def read(answers: Mapping[str, ProviderAnswer], context: CallContext) -> AccountDescription:  # noqa: ARG001 - the contract's signature
    """First and last name of the bot, or of the person whose business account it is."""
    for step in ("business_connection", "get_me"):
        if step in answers:
            result = result_of(answers[step])
            user = result.get("user") if step == "business_connection" and isinstance(result, dict) else result
            fault = fault_of(answers[step]) if result is None else None
            return AccountDescription(display_name=_name(user if isinstance(user, dict) else {}), fault=fault)
    return AccountDescription()


def _name(user: Mapping[str, Any]) -> str | None:
    parts = [part.strip() for name in ("first_name", "last_name") if isinstance(part := user.get(name), str)]
    return clean_text(" ".join(part for part in parts if part), MAX_NAME_CHARACTERS) or None


DESCRIBING = Describing(build=build, read=read)
