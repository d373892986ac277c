"""Setting up a bot: `setWebhook`, and what `getWebhookInfo` says of it later.

Telegram never tells the secret token back: that it is right shows in the traffic. Setting a webhook ends `getUpdates`.
Source: https://core.telegram.org/bots/api#setwebhook and …#getwebhookinfo
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from shared.domain.enums import SecretUse
from shared.domain.errors import InvalidInput
from shared.providers.calling import CallContext, Fault, Placement, ProviderAnswer, ProviderCall
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.setting_up import SettingUp, SetupOrder, SetupState
from shared.providers.telegram.calls import call, fault_of, result_of

# All that the normaliser gives a meaning to. Telegram leaves out the last three unless they are asked for by name.
EVENTS = (
    *("message", "edited_message", "channel_post", "edited_channel_post", "callback_query", "my_chat_member", "poll_answer"),
    *("business_connection", "business_message", "edited_business_message", "deleted_business_messages"),
    *("chat_member", "message_reaction", "message_reaction_count"),
)
_ASKED_FOR_ONLY = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
_PORTS = (443, 80, 88, 8443)
_SECRET = Placement(credential=SecretUse.SIGN.value, place="json", name="secret_token")
_PRIVACY = "The bot sees only commands and answers in groups: turn privacy off with @BotFather (/setprivacy) if it shall see all."


def build(order: SetupOrder, context: CallContext) -> tuple[ProviderCall, ...]:
    """Register; waiting updates are kept. Raises InvalidInput (`callback_url_invalid`) for what Telegram would refuse."""
    try:
        parts = urlsplit(order.callback_url)
        port = parts.port or 443
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "https" or not parts.hostname or port not in _PORTS:
        raise InvalidInput(
            f"Telegram posts to https on ports {', '.join(map(str, _PORTS))} only",
            reason="callback_url_invalid",
            pointer="/callback_url",
        )
    body = {
        "url": order.callback_url,
        "allowed_updates": list(order.events or EVENTS),
        "drop_pending_updates": False,
        "max_connections": context.settings.get("max_connections"),
    }
    return (call("set_webhook", "setWebhook", context, body, idempotent=True, placements=(_SECRET,)), *build_read_back(context))


def build_read_back(context: CallContext) -> tuple[ProviderCall, ...]:
    """Ask for the webhook and for the bot."""
    return (
        call("webhook_info", "getWebhookInfo", context, idempotent=True),
        call("get_me", "getMe", context, idempotent=True),
    )


def read(answers: Mapping[str, ProviderAnswer], order: SetupOrder) -> SetupState:
    """What Telegram has now, and what of the order it lacks. Never raises."""
    info, fault = _document(answers, "webhook_info"), _fault(answers)
    url = info.get("url")
    registered = url if isinstance(url, str) and url else None
    wanted = order.events or EVENTS
    missing: tuple[str, ...] = () if registered == order.callback_url else ("callback_url",)
    if "webhook_info" in answers and result_of(answers["webhook_info"]) is not None:
        missing += tuple(f"event:{name}" for name in lacking(info, wanted))
    pending = info.get("pending_update_count")
    last_error = info.get("last_error_message")
    sees_all = _document(answers, "get_me").get("can_read_all_group_messages")
    return SetupState(
        registered_url=registered,
        missing=missing,
        by_hand=(_PRIVACY,) if sees_all is False else (),
        pending_count=pending if type(pending) is int else None,
        last_error=clean_text(last_error, MAX_NAME_CHARACTERS) if isinstance(last_error, str) else None,
        fault=fault,
    )


def lacking(info: Mapping[str, Any], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Which of the wanted events a `getWebhookInfo` does not have; without a list Telegram sends all but three."""
    allowed = info.get("allowed_updates")
    if not isinstance(allowed, list) or not allowed:
        return tuple(name for name in wanted if name in _ASKED_FOR_ONLY)
    return tuple(name for name in wanted if name not in allowed)


def _document(answers: Mapping[str, ProviderAnswer], step: str) -> dict[str, Any]:
    result = result_of(answers[step]) if step in answers else None
    return result if isinstance(result, dict) else {}


def _fault(answers: Mapping[str, ProviderAnswer]) -> Fault | None:
    return next((fault_of(answer) for answer in answers.values() if result_of(answer) is None), None)


SETTING_UP = SettingUp(build=build, build_read_back=build_read_back, read=read, registers=frozenset({SecretUse.SIGN}))
