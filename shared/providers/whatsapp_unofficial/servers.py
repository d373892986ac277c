"""What calls to the three servers share: where they go, for whom, with which key, and what a failure means.

Credentials: `api_key` is Evolution's and WAHA's key and Z-API's instance token; `secret` is Z-API's account security token.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import quote

from shared.domain.enums import AliasKind, ErrorClass, TokenKind
from shared.domain.errors import InvalidInput
from shared.providers.calling import (
    CallContext,
    Fault,
    Placement,
    ProviderAnswer,
    ProviderCall,
    TransportFault,
    json_body,
    json_object,
    retry_after_seconds,
)
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.sending import OutboundMedia, SendOrder
from shared.providers.whatsapp_unofficial.redaction import REMOVED

_JSON = (("content-type", "application/json"), ("accept", "application/json"))
_KEYS = {
    "evolution": (Placement(credential=TokenKind.API_KEY.value, place="header", name="apikey"),),
    "waha": (Placement(credential=TokenKind.API_KEY.value, place="header", name="x-api-key"),),
    "zapi": (
        Placement(credential=TokenKind.API_KEY.value, place="path", name="token"),
        Placement(credential=TokenKind.SECRET.value, place="header", name="client-token"),
    ),
}
# A send looks the number up and may wait before it answers.
SEND_TIMEOUT_SECONDS = 75.0
_STATUS_CLASSES = {
    400: ErrorClass.CONTENT_PERMANENT,
    401: ErrorClass.AUTH,
    403: ErrorClass.AUTH,
    404: ErrorClass.AUTH,  # the instance or session does not exist: nothing goes out until somebody sets it right
    405: ErrorClass.CONTENT_PERMANENT,
    409: ErrorClass.RETRYABLE,
    413: ErrorClass.CONTENT_PERMANENT,
    415: ErrorClass.CONTENT_PERMANENT,
    422: ErrorClass.RETRYABLE,
    429: ErrorClass.RATE_LIMITED,
    503: ErrorClass.RETRYABLE,
}
# Z-API repeats a wrong security token in its answer (without one it says "null not allowed").
_ECHOED_CREDENTIAL = re.compile(r"\S+(?= not allowed)")
_ACTIONS = {401: "replace_credential", 403: "replace_credential", 404: "check_instance"}


def dialect_of(context: CallContext) -> str:
    """The dialect of the connector; raises InvalidInput (`setting_missing`)."""
    dialect = context.settings.get("dialect")
    return dialect if isinstance(dialect, str) and dialect in _KEYS else _missing("dialect")


def instance_of(context: CallContext) -> str:
    """The account's name at the server, percent-encoded for a path; raises InvalidInput (`setting_missing`)."""
    return quote(instance_name(context), safe="")


def instance_name(context: CallContext) -> str:
    """The account's name at the server; raises InvalidInput (`setting_missing`)."""
    instance = context.account_config.get("instance")
    return instance if isinstance(instance, str) and instance else _missing("instance")


def _missing(name: str) -> NoReturn:
    raise InvalidInput(f"the setting {name} is missing", reason="setting_missing", pointer=f"/{name}")


def refuse(what: str, pointer: str) -> NoReturn:
    """Raise InvalidInput (`cannot_send`)."""
    raise InvalidInput(what, reason="cannot_send", pointer=pointer)


def server_call(
    step: str,
    method: str,
    context: CallContext,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    placements: tuple[Placement, ...] = (),
    timeout_seconds: float = 20.0,
    idempotent: bool = False,
) -> ProviderCall:
    """A JSON call to `<base_url>/<path>`, with the dialect's key where it belongs. The step begins with the dialect."""
    base_url = context.settings.get("base_url")
    if not isinstance(base_url, str) or not base_url:
        _missing("base_url")
    dialect = dialect_of(context)
    return ProviderCall(
        step=f"{dialect}_{step}",
        method=method,
        url=f"{base_url}/{path}",
        headers=_JSON if body is not None else _JSON[1:],
        body=None if body is None else json_body(body),
        placements=(*_KEYS[dialect], *placements),
        timeout_seconds=timeout_seconds,
        idempotent=idempotent,
    )


def zapi_path(context: CallContext, operation: str) -> str:
    """Z-API's path of an instance; its token is placed into it at the last moment."""
    return f"instances/{instance_of(context)}/token/{{token}}/{operation}"


def person(order: SendOrder) -> tuple[str, bool]:
    """Digits of the recipient, and whether they are a LID: the first phone (the spelling to answer to), else the LID."""
    for kind in (AliasKind.PHONE, AliasKind.LID):
        value = next((alias.value for alias in order.recipient if alias.kind is kind), None)
        if value is not None:
            return value, kind is AliasKind.LID
    return refuse("neither a phone nor a LID", "/recipient")


def target_of(order: SendOrder) -> str:
    """The message that the order is about; raises InvalidInput (`cannot_send`)."""
    return order.target_provider_message_id or refuse("the order names no message", "/target_provider_message_id")


def text_of(order: SendOrder) -> str:
    """The text of the order; raises InvalidInput (`cannot_send`)."""
    return order.content.text or refuse("there is no text", "/content/text")


def media_of(order: SendOrder) -> OutboundMedia:
    """The file of the order, as link or bytes: none of these servers keeps files by id; raises InvalidInput."""
    media = order.content.media
    if media is None or (media.link is None and media.data is None):
        refuse("media is sent by link or bytes", "/content/media")
    return media


def in_base64(media: OutboundMedia) -> str:
    """The bytes of a file as Base64 without prefix."""
    return base64.b64encode(media.data or b"").decode("ascii")


def fault_of(answer: ProviderAnswer) -> Fault | None:
    """Why a call failed, by its status alone; None if it worked. What a dialect knows better it says itself."""
    if isinstance(answer, TransportFault):
        if answer.kind == "refused" and not answer.may_have_left:  # nobody will ever be called there
            return Fault(
                error_class=ErrorClass.ACCOUNT_BLOCKED,
                code="refused",
                detail=answer.detail,
                scope="connector",
                action="fix_config",
            )
        error_class = ErrorClass.UNKNOWN_OUTCOME if answer.may_have_left else ErrorClass.RETRYABLE
        return Fault(error_class=error_class, code=answer.kind, scope="connector")
    if 200 <= answer.status < 300:
        return None
    known = _STATUS_CLASSES.get(answer.status)
    error_class = known or (ErrorClass.UNKNOWN_OUTCOME if answer.status >= 500 else ErrorClass.CONTENT_PERMANENT)
    return Fault(
        error_class=error_class,
        code=str(answer.status),
        detail=detail_of(json_object(answer.body)),
        retry_after_seconds=retry_after_seconds(answer),
        scope="message" if error_class is ErrorClass.CONTENT_PERMANENT else "account",
        action=_ACTIONS.get(answer.status),
    )


def detail_of(document: Mapping[str, Any]) -> str | None:
    """The server's own words, without a credential: `message`, `error`, or the texts in Evolution's `response.message`."""
    response = document.get("response")
    for value in (
        response.get("message") if isinstance(response, dict) else None,
        document.get("message"),
        document.get("error"),
    ):
        words = [str(part) for part in value if isinstance(part, str)] if isinstance(value, list) else [value]
        told = " ".join(word for word in words if isinstance(word, str) and word)
        if told:
            return clean_text(_ECHOED_CREDENTIAL.sub(REMOVED, told), MAX_NAME_CHARACTERS)
    return None
