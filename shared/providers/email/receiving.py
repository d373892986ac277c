"""What the edge does for mail providers: prove a webhook by its dialect's scheme, choose status codes. No call is made.

`webhook_auth` of the connector's settings chooses among what a dialect offers; the first one of each is the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from shared.domain.enums import ConnectorType
from shared.providers.contract import (
    Answers,
    Receiving,
    ReceivingSecret,
    Refused,
    Request,
    Situation,
    Verdict,
)
from shared.providers.email.signatures import (
    verify_basic,
    verify_header,
    verify_mailgun,
    verify_push,
    verify_sendgrid,
    verify_url,
)
from shared.providers.email.sns import verify_sns

Scheme = Callable[[Request, Sequence[ReceivingSecret]], Verdict]

# dialect -> webhook_auth -> scheme, the default first
SCHEMES: Mapping[str, Mapping[str, Scheme]] = MappingProxyType(
    {
        "mailgun": {"signature": verify_mailgun},
        "sendgrid": {"signature": verify_sendgrid, "basic": verify_basic, "url": verify_url},
        "postmark": {"basic": verify_basic, "header": verify_header, "url": verify_url},
        "ses": {"basic": verify_sns, "signature": verify_sns},
        "imap": {"signature": verify_push},
    }
)


def verify(request: Request, secrets: Sequence[ReceivingSecret]) -> Verdict:
    """The verdict of the connector's dialect; a dialect or a way that nobody knows proves nothing."""
    schemes = SCHEMES.get(str(request.settings.get("dialect", "")))
    if schemes is None:
        return Refused(reason="dialect_unknown")
    chosen = request.settings.get("webhook_auth") or next(iter(schemes))
    scheme = schemes.get(str(chosen))
    return Refused(reason="dialect_unknown") if scheme is None else scheme(request, secrets)


_USUAL: Mapping[Situation, int] = {
    "accepted": 200,
    "refused": 401,
    "unknown_connector": 404,
    "too_large": 413,
    "rate_limited": 429,
    "busy": 503,
    "unavailable": 503,
}
_ASK_FOR_CREDENTIAL: Mapping[Situation, tuple[tuple[str, str], ...]] = MappingProxyType(
    {"refused": (("WWW-Authenticate", 'Basic realm="webhooks"'),)}
)


def _answers(
    source: str,
    consequences: Mapping[int, str],
    statuses: Mapping[Situation, int] | None = None,
    headers: Mapping[Situation, tuple[tuple[str, str], ...]] | None = None,
) -> Answers:
    return Answers(
        statuses=MappingProxyType({**_USUAL, **(statuses or {})}),
        consequences=MappingProxyType(dict(consequences)),
        source=source,
        headers=headers if headers is not None else MappingProxyType({}),
    )


_FAULTS = (401, 403, 404, 413, 429, 503)
_MAILGUN_AGAIN = "repeated after 5, 10, 15 min, 1, 2 and 4 h; then dropped"
_SENDGRID_DROPS, _SENDGRID_AGAIN = "dropped at once, the mail is lost", "repeated for 3 days, then dropped"
_POSTMARK_AGAIN = "repeated 10 times within 10.5 h (event webhooks of late: 429 and 5xx only); then dropped"
_SNS_DROPS = "a permanent failure: dropped, or put into the subscription's dead-letter queue"
_SNS_AGAIN = "repeated by the topic's delivery policy (3 times at 20 s intervals without one, more with backoff)"
_PUSH_AGAIN = "as one's own mail server is set up: repeat whatever is not 200"

DIALECT_ANSWERS: Mapping[str, Answers] = MappingProxyType(
    {
        "mailgun": _answers(
            "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries",
            {200: "done, never posted again", 406: "rejected, never posted again", **dict.fromkeys(_FAULTS, _MAILGUN_AGAIN)},
            {"too_large": 406},  # it will not shrink
        ),
        "sendgrid": _answers(
            "https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook",
            {
                200: "done, never posted again",
                **dict.fromkeys((401, 403, 404, 413, 429), _SENDGRID_DROPS),
                503: _SENDGRID_AGAIN,
            },
            # Only 5xx is repeated. A genuine mail under a key that we do not know yet must come again, and so must one that
            # came too soon; a forger does not care what it is told.
            {"refused": 503, "rate_limited": 503},
        ),
        "postmark": _answers(
            "https://postmarkapp.com/developer/webhooks/webhooks-overview",
            {
                200: "done, never posted again",
                **dict.fromkeys(_FAULTS, _POSTMARK_AGAIN),
                403: "never posted again",
            },
            {"too_large": 403},  # it will not shrink
            _ASK_FOR_CREDENTIAL,
        ),
        "ses": _answers(
            "https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html",
            {
                200: "done, never posted again",
                401: "posted again at once with the URL's credential if it came without; else " + _SNS_DROPS,
                **dict.fromkeys((403, 404, 413), _SNS_DROPS),
                **dict.fromkeys((429, 503), _SNS_AGAIN),
            },
            {},
            _ASK_FOR_CREDENTIAL,  # SNS comes without it first (…/sns-http-https-endpoint-as-subscriber.html)
        ),
        "imap": _answers(
            "docs/EMAIL.md",
            {200: "done, never posted again", **dict.fromkeys(_FAULTS, _PUSH_AGAIN)},
        ),
    }
)

RECEIVING = Receiving(
    tipo=ConnectorType.EMAIL,
    verify=verify,
    handshake=None,
    answers=DIALECT_ANSWERS["imap"],
    kept_headers=frozenset({"content-type", "user-agent", "x-amz-sns-message-type"}),
    max_body_bytes=55 * 1024 * 1024,  # Postmark: 35 MB of attachments, in base64
    dialects=DIALECT_ANSWERS,
)
