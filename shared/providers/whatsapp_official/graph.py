"""Calls to Meta's Graph API: where they go, how they prove who calls, and what a fault in an answer means.

Source: https://developers.facebook.com/docs/graph-api/overview and
https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal
from urllib.parse import urlencode

from shared.domain.enums import ErrorClass
from shared.domain.errors import InvalidInput
from shared.providers.calling import (
    CallContext,
    Credentials,
    Fault,
    Part,
    Placement,
    ProviderAnswer,
    ProviderCall,
    ProviderResponse,
    TransportFault,
    json_body,
    json_object,
    retry_after_seconds,
)
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text
from shared.providers.whatsapp_official.errors import class_of

BASE_URL = "https://graph.facebook.com"
DEFAULT_VERSION = "v25.0"
ACCESS_TOKEN, APP_SECRET, OLD_ACCESS_TOKEN = "access_token", "app_secret", "old_access_token"

Scope = Literal["message", "peer", "account", "connector"]


def app_token(app_id: str) -> Placement:
    """The app's own token, `<app id>|<app secret>`, as the query parameter that overrides the header."""
    return Placement(credential=APP_SECRET, place="query", name="access_token", template=f"{app_id}|{{}}")


def secret_proof(credentials: Credentials) -> str:
    """`appsecret_proof`: hex HMAC-SHA256 of the access token under the app secret."""
    return hmac.new(credentials[APP_SECRET].encode(), credentials[ACCESS_TOKEN].encode(), hashlib.sha256).hexdigest()


BEARER = Placement(credential=ACCESS_TOKEN, place="header", name="Authorization", template="Bearer {}")
PROOF = Placement(credential=APP_SECRET, place="query", name="appsecret_proof", derive=secret_proof)


def graph_call(
    step: str,
    method: str,
    context: CallContext,
    path: str,
    *,
    query: dict[str, str] | None = None,
    body: object = None,
    placements: tuple[Placement, ...] | None = None,
    idempotent: bool = False,
) -> ProviderCall:
    """One call. `body`: parts of a form are sent as they are, everything else as JSON. `placements` None: as the connector."""
    settings = context.settings
    url = f"{settings.get('graph_url', BASE_URL)}/{settings.get('graph_version', DEFAULT_VERSION)}/{path}"
    if query:
        url += f"?{urlencode(query)}"
    if placements is None:
        placements = (BEARER, PROOF) if settings.get("prove_calls") else (BEARER,)
    is_form = isinstance(body, tuple)
    return ProviderCall(
        step=step,
        method=method,
        url=url,
        headers=() if body is None or is_form else (("Content-Type", "application/json"),),
        body=_parts(body) if isinstance(body, tuple) else None if body is None else json_body(body),
        placements=placements,
        idempotent=idempotent,
    )


def _parts(body: tuple[object, ...]) -> tuple[Part, ...]:
    return tuple(part for part in body if isinstance(part, Part))


def app_call(context: CallContext) -> ProviderCall:
    """Which app the token belongs to; needs neither its id nor its secret.

    Source: https://developers.facebook.com/docs/graph-api/reference/application
    """
    return graph_call("app", "GET", context, "app", query={"fields": "id"}, idempotent=True)


def app_of(answer: ProviderAnswer) -> str | None:
    """The app's id in an answer to `app_call`; None where it has none."""
    if isinstance(answer, TransportFault) or fault_of(answer) is not None:
        return None
    found = json_object(answer.body).get("id")
    return clean_text(found, MAX_CODE_CHARACTERS) or None if isinstance(found, str) else None


def setting(context: CallContext, name: str) -> str:
    """A setting of the connector that this call cannot do without; raises InvalidInput (`setting_missing`)."""
    value = context.settings.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"the connector's config lacks {name}", reason="setting_missing", pointer=f"/{name}")
    return value


def number_id(context: CallContext) -> str:
    """Meta's id of the account's number; raises InvalidInput (`setting_missing`)."""
    value = context.account_config.get("phone_number_id")
    if not isinstance(value, str) or not value:
        raise InvalidInput("the account's config lacks phone_number_id", reason="setting_missing", pointer="/phone_number_id")
    return value


# What a pause must cover, and for how long at least, where no header says it. 131056 grows by 4^n with each repeat.
_PAUSES: dict[int, tuple[Scope, float]] = {
    4: ("connector", 60.0),
    80007: ("connector", 60.0),
    130429: ("account", 1.0),
    131048: ("account", 3600.0),
    131056: ("peer", 4.0),
    131057: ("account", 60.0),
    131064: ("account", 3600.0),
    133016: ("account", 3600.0),
}

_SCOPES: dict[ErrorClass, Scope] = {
    ErrorClass.AUTH: "connector",
    ErrorClass.ACCOUNT_BLOCKED: "account",
    ErrorClass.RATE_LIMITED: "account",
    ErrorClass.RECIPIENT_PERMANENT: "peer",
    ErrorClass.WINDOW_CLOSED: "peer",
}

_ACTIONS: dict[int, str] = {
    3: "grant_permission",
    10: "grant_permission",
    33: "check_number",
    368: "see_restriction",
    131005: "grant_permission",
    131031: "see_restriction",
    131037: "approve_display_name",
    131042: "fix_payment",
    131045: "register_number",
    131047: "use_template",
    131048: "slow_down",
    131053: "check_media",
    131064: "slow_down",
    132000: "check_template",
    132001: "check_template",
    132005: "check_template",
    132007: "check_template",
    132012: "check_template",
    132015: "check_template",
    132016: "check_template",
    133010: "register_number",
}
_CLASS_ACTIONS = {ErrorClass.AUTH: "renew_token", ErrorClass.ACCOUNT_BLOCKED: "see_account"}
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER, _UNAVAILABLE = 401, 403, 429, 500, 503


def fault_of(answer: ProviderAnswer) -> Fault | None:
    """Why the call did not work, by Meta's code first and the HTTP status second; None for a 2xx without an error."""
    if isinstance(answer, TransportFault):
        kind = ErrorClass.UNKNOWN_OUTCOME if answer.may_have_left else ErrorClass.RETRYABLE
        return Fault(error_class=kind, code=answer.kind, detail=answer.detail or None, scope="account")
    error = json_object(answer.body).get("error")
    if isinstance(error, dict):
        return _graph_fault(error, answer)
    if answer.status < 300:
        return None
    kind, scope = _by_status(answer.status)
    return Fault(
        error_class=kind,
        code=f"http_{answer.status}",
        retry_after_seconds=retry_after_seconds(answer),
        scope=scope,
        action=_CLASS_ACTIONS.get(kind),
    )


def _graph_fault(error: dict[str, object], answer: ProviderResponse) -> Fault:
    code = error.get("code")
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    kind = class_of(number)
    if kind is None:
        kind = ErrorClass.RETRYABLE if error.get("is_transient") is True else _by_status(answer.status)[0]
    scope, pause = _PAUSES.get(number or -1, (_SCOPES.get(kind, "message"), None))
    data = error.get("error_data")
    detail = data.get("details") if isinstance(data, dict) else None
    text = detail or error.get("message")
    after = retry_after_seconds(answer)
    return Fault(
        error_class=kind,
        code=None if number is None else _code(number, error.get("error_subcode")),
        detail=clean_text(text, MAX_NAME_CHARACTERS) if isinstance(text, str) else None,
        retry_after_seconds=after if after is not None else pause,
        scope=scope,
        action=_ACTIONS.get(number or -1, _CLASS_ACTIONS.get(kind)),
    )


def _code(number: int, subcode: object) -> str:
    return f"{number}.{subcode}" if isinstance(subcode, int) and subcode else str(number)


def _by_status(status: int) -> tuple[ErrorClass, Scope]:
    if status == _UNAUTHORIZED:
        return ErrorClass.AUTH, "connector"
    if status == _FORBIDDEN:
        return ErrorClass.ACCOUNT_BLOCKED, "account"
    if status == _TOO_MANY:
        return ErrorClass.RATE_LIMITED, "account"
    if status == _UNAVAILABLE:
        return ErrorClass.RETRYABLE, "account"
    # a gateway's 5xx without Meta's error object does not tell whether the call went through
    return (ErrorClass.UNKNOWN_OUTCOME, "account") if status >= _SERVER else (ErrorClass.CONTENT_PERMANENT, "message")
