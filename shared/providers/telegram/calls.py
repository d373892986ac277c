"""One call of the Bot API, and what its answer says.

Source: https://core.telegram.org/bots/api#making-requests (`ok`, `result`, `error_code`, `description`, `parameters`).
"""

from __future__ import annotations

import re
from typing import Any

from shared.domain.enums import ErrorClass, TokenKind
from shared.providers.calling import (
    MAX_RETRY_AFTER_SECONDS,
    CallContext,
    Fault,
    Part,
    Placement,
    ProviderAnswer,
    ProviderCall,
    ProviderResponse,
    json_body,
    json_object,
    retry_after_seconds,
)
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.telegram.config import DEFAULT_API_URL

# The token stands in the URL, and what HTTP clients say of a failed call often quotes that.
_TOKEN_TOLD = re.compile(r"[0-9]{5,19}(?::|%3[Aa])[A-Za-z0-9_-]{20,}")
TOKEN = Placement(credential=TokenKind.ACCESS_TOKEN.value, place="path", name="token")
_JSON = (("content-type", "application/json"),)


def call(
    step: str,
    method: str,
    context: CallContext,
    body: dict[str, Any] | tuple[Part, ...] | None = None,
    *,
    idempotent: bool = False,
    placements: tuple[Placement, ...] = (),
    timeout_seconds: float = 20.0,
) -> ProviderCall:
    """One method of the bot; what is None in `body` is left out."""
    content = json_body({name: value for name, value in body.items() if value is not None}) if isinstance(body, dict) else body
    return ProviderCall(
        step=step,
        method="POST",
        url=f"{context.settings.get('api_url') or DEFAULT_API_URL}/bot{{token}}/{method}",
        headers=_JSON if isinstance(body, dict) else (),
        body=content,
        placements=(TOKEN, *placements),
        timeout_seconds=timeout_seconds,
        idempotent=idempotent,
    )


def result_of(answer: ProviderAnswer) -> Any:
    """The `result` of a call that worked; None for anything else."""
    if not isinstance(answer, ProviderResponse):
        return None
    document = json_object(answer.body)
    return document.get("result") if document.get("ok") is True else None


def fault_of(answer: ProviderAnswer) -> Fault:
    """Why a call did not work; for an answer that is none, class `retryable` (an address that is not called: a person's work)."""
    if not isinstance(answer, ProviderResponse):
        told = _TOKEN_TOLD.sub("***", answer.detail)
        if answer.kind == "refused" and not answer.may_have_left:  # an `api_url` where nobody will ever be called
            blocked = ErrorClass.ACCOUNT_BLOCKED
            return Fault(error_class=blocked, code="refused", detail=told or None, scope="connector", action="fix_config")
        return Fault(error_class=ErrorClass.RETRYABLE, code=answer.kind, detail=told or None)
    document = json_object(answer.body)
    description = document.get("description")
    detail = clean_text(description, MAX_NAME_CHARACTERS) if isinstance(description, str) else None
    said = document.get("error_code")
    code = said if type(said) is int else answer.status
    found = document.get("parameters")
    parameters: dict[str, Any] = found if isinstance(found, dict) else {}
    if code == 429:
        return _too_many(answer, parameters, detail)
    migrated = parameters.get("migrate_to_chat_id")
    if type(migrated) is int:
        # the order must be made anew for the new number: as it is, it fails for ever
        return Fault(
            error_class=ErrorClass.RECIPIENT_PERMANENT,
            code="migrate_to_chat_id",
            detail=str(migrated),
            scope="peer",
            action="use_new_chat",
        )
    error_class, scope, action = _class_of(code, (detail or "").lower())
    return Fault(error_class=error_class, code=str(code), detail=detail, scope=scope, action=action)


def _too_many(answer: ProviderResponse, parameters: dict[str, Any], detail: str | None) -> Fault:
    """Pause the chat for the seconds told. The bot as a whole is limited too, and the answer does not say which it was."""
    told = parameters.get("retry_after")
    known = isinstance(told, int | float) and not isinstance(told, bool) and told >= 0
    seconds = float(told) if known and told is not None else retry_after_seconds(answer)
    return Fault(
        error_class=ErrorClass.RATE_LIMITED,
        code="429",
        detail=detail,
        retry_after_seconds=min(seconds if seconds is not None else 1.0, MAX_RETRY_AFTER_SECONDS),
        scope="peer",
    )


# Beginnings of descriptions are not documented and have changed: a part in lower case is looked for (tdlib/telegram-bot-api).
_RECIPIENT = (
    *("chat not found", "user not found", "peer_id_invalid", "private chat not found", "have no rights to send"),
    *("not enough rights", "chat_write_forbidden", "need administrator rights", "topic_closed", "topic_deleted"),
)


def _class_of(code: int, detail: str) -> tuple[ErrorClass, Any, str | None]:
    """Class, scope and what a person has to do, by the code and the words of an error."""
    if code in (401, 404):  # 404: no such bot, which is a token of the wrong form
        return ErrorClass.AUTH, "connector", "replace_token"
    if code == 403:
        return ErrorClass.RECIPIENT_PERMANENT, "peer", None  # blocked, kicked, deactivated, never started
    if code == 409:
        return ErrorClass.ACCOUNT_BLOCKED, "connector", "set_up_webhook"  # somebody polls with getUpdates
    if code == 421 or code >= 500:
        return ErrorClass.RETRYABLE, "connector", None
    if any(part in detail for part in _RECIPIENT):
        return ErrorClass.RECIPIENT_PERMANENT, "peer", None
    return ErrorClass.CONTENT_PERMANENT, "message", None
