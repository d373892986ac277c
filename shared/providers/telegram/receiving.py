"""What the edge does for Telegram: compare the secret token that we gave to `setWebhook`, choose status codes.

The body is not signed: whoever knows the secret can post anything, so the URL and the secret are all the proof there is.
Source: https://core.telegram.org/bots/api#setwebhook
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from types import MappingProxyType

from shared.domain.enums import ConnectorType, SecretUse
from shared.providers.contract import Answers, Receiving, ReceivingSecret, Refused, Request, Verified

SECRET_HEADER = "x-telegram-bot-api-secret-token"

# What setWebhook takes as `secret_token`; a header sent twice reaches us joined by a comma, which is outside of it.
_SECRET_TOKEN = re.compile(rb"[A-Za-z0-9_-]{1,256}")


def verify(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    """Compare `X-Telegram-Bot-Api-Secret-Token` with every live secret, in constant time, also after a match.

    During a rotation updates in flight still carry the old secret, so two are live for some minutes.
    """
    given = request.headers.get(SECRET_HEADER)
    if not given:
        return Refused(reason="signature_missing")
    if _SECRET_TOKEN.fullmatch(given) is None:
        return Refused(reason="signature_malformed")
    usable = [secret for secret in secrets if secret.use is SecretUse.SIGN and secret.value]
    if not usable:
        return Refused(reason="secret_missing")
    matching: str | None = None
    for secret in usable:
        if hmac.compare_digest(secret.value, given):
            matching = matching or secret.id
    return Refused(reason="signature_wrong") if matching is None else Verified(secret_id=matching)


# Read in the server's own source (tdlib/telegram-bot-api): 1 s, then doubled up to 60-120 s; `Retry-After` is honoured.
_REPEATED = (
    "repeated after 1 s, then ever less often, for 24 h (button presses 150 s, inline queries 30 s);"
    " that chat's later updates wait behind it"
)
ANSWERS = Answers(
    statuses=MappingProxyType(
        {
            "accepted": 200,  # with an empty body: a JSON body would be executed as a method call
            "refused": 401,  # a forger learns nothing; a genuine update under a new secret is repeated until we know it
            "unknown_connector": 404,  # repeated: a connector created within 24 h still gets its updates
            "too_large": 413,  # updates are some tens of KB, so not Telegram
            "rate_limited": 429,
            "busy": 503,
            "unavailable": 503,
        }
    ),
    consequences=MappingProxyType(
        {
            200: "done, never posted again; a body would be executed as a call of the bot, so there is none",
            **dict.fromkeys((401, 403, 404, 413), _REPEATED),
            **dict.fromkeys((429, 503), f"{_REPEATED}; Retry-After up to 3600 s is honoured"),
        }
    ),
    source="https://core.telegram.org/bots/api#setwebhook",
)

RECEIVING = Receiving(
    tipo=ConnectorType.TELEGRAM,
    verify=verify,
    handshake=None,
    answers=ANSWERS,
    kept_headers=frozenset({"content-type", "user-agent"}),
    max_body_bytes=1024 * 1024,
)
