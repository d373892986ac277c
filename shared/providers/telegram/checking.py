"""Health of a bot: is its token alive, is it the right bot, does Telegram post to us, and does what it posts arrive?

Source: https://core.telegram.org/bots/api#getme and …#webhookinfo
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.domain.enums import ErrorClass, HealthStatus
from shared.providers.calling import CallContext, ProviderAnswer, ProviderCall
from shared.providers.checking import Checking, Graded
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.telegram.calls import fault_of, result_of
from shared.providers.telegram.setting_up import EVENTS, build_read_back, lacking

_MANY_WAITING = 50
_RECENT_SECONDS = 600


def build(context: CallContext) -> tuple[ProviderCall, ...]:
    """The same two questions as when reading back a set-up."""
    return build_read_back(context)


def grade(answers: Mapping[str, ProviderAnswer], context: CallContext) -> tuple[Graded, ...]:
    """One grade for the token, one for the webhook. Never raises."""
    return _grade_token(answers.get("get_me"), context), _grade_webhook(answers.get("webhook_info"), context)


def _grade_token(answer: ProviderAnswer | None, context: CallContext) -> Graded:
    me = None if answer is None else result_of(answer)
    if not isinstance(me, dict):
        return _not_answered("token", answer)
    configured = context.settings.get("bot_id")
    if configured and str(me.get("id")) != str(configured):
        return Graded(check="token", status=HealthStatus.FAILED, cause="wrong_bot", action="replace_token")
    return Graded(check="token", status=HealthStatus.PASSED, cause="ok")


def _grade_webhook(answer: ProviderAnswer | None, context: CallContext) -> Graded:
    info = None if answer is None else result_of(answer)
    if not isinstance(info, dict):
        return _not_answered("webhook", answer)
    return _misplaced(info, context) or _troubled(info, context) or _webhook(HealthStatus.PASSED, "ok", None)


def _misplaced(info: Mapping[str, Any], context: CallContext) -> Graded | None:
    url = info.get("url")
    if not isinstance(url, str) or not url:
        return _webhook(HealthStatus.FAILED, "webhook_missing", "set_up_webhook")
    if f"/webhooks/{context.connector_id}" not in url:
        return _webhook(HealthStatus.FAILED, "subscription_mismatch", "set_up_webhook")
    return None


def _troubled(info: Mapping[str, Any], context: CallContext) -> Graded | None:
    pending, told = info.get("pending_update_count"), info.get("last_error_message")
    if type(pending) is int and pending >= _MANY_WAITING:
        return _webhook(HealthStatus.WARNING, "updates_waiting", None, f"{pending} updates")
    if _recent(info.get("last_error_date"), context) or _recent(info.get("last_synchronization_error_date"), context):
        detail = clean_text(told, MAX_NAME_CHARACTERS) if isinstance(told, str) else None
        return _webhook(HealthStatus.WARNING, "delivery_errors", None, detail)
    missing = lacking(info, EVENTS)
    if missing:
        return _webhook(HealthStatus.WARNING, "events_missing", "set_up_webhook", ",".join(missing))
    return None


def _recent(seconds: Any, context: CallContext) -> bool:
    return type(seconds) is int and context.now_ms / 1000 - seconds < _RECENT_SECONDS


def _webhook(status: HealthStatus, cause: str, action: str | None, detail: str | None = None) -> Graded:
    return Graded(check="webhook", status=status, cause=cause, action=action, detail=detail)


def _not_answered(check: str, answer: ProviderAnswer | None) -> Graded:
    if answer is None:
        return Graded(check=check, status=None, cause="not_asked")
    fault = fault_of(answer)
    if fault.error_class is ErrorClass.AUTH:
        return Graded(check=check, status=HealthStatus.FAILED, cause="token_invalid", action=fault.action, detail=fault.detail)
    return Graded(check=check, status=None, cause=fault.error_class.value, detail=fault.detail)


CHECKING = Checking(
    build=build,
    grade=grade,
    connector_steps=frozenset({"get_me", "webhook_info"}),
    connector_checks=frozenset({"token", "webhook"}),
)
