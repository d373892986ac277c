"""What the edge does for the three dialects: prove that a webhook is genuine, choose status codes.

Which proof counts follows from the connector's settings `dialect` and `webhook_auth`, never from the request:
- Evolution `header`: our secret stands in `X-Channel-Secret`. `jwt`: a bearer token (HS256) that it signs with our secret.
  Neither covers the body. Source: https://github.com/EvolutionAPI/evolution-api (webhook.controller.ts, 2.3.6)
- WAHA `hmac`: HMAC-SHA512 of the raw body. Its time stamp is not signed, so nothing relies on it.
  Source: https://waha.devlike.pro/docs/how-to/events/#hmac-authentication
- Z-API signs nothing. `query`: our secret stands in the URL that it was given. `header`: the instance's token stands in
  `z-api-token`, which it does not document and several public integrations check.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import quote

from shared.domain.enums import ConnectorType, SecretUse
from shared.providers.contract import Answers, Receiving, ReceivingSecret, Refused, Request, Situation, Verified

SECRET_HEADER = "x-channel-secret"
ZAPI_HEADER = "z-api-token"
HMAC_HEADER = "x-webhook-hmac"
HMAC_ALGORITHM_HEADER = "x-webhook-hmac-algorithm"
SECRET_PARAMETER = "secret"
_QUERY_PREFIX = f"{SECRET_PARAMETER}="

# Evolution makes one token per delivery and repeats up to ten times with it, over 20 to 35 minutes, while it lives for ten.
JWT_LEEWAY_SECONDS = 1_800
_JWT_CLOCK_SKEW_SECONDS = 300
_MAX_JWT_BYTES = 4_096
_MAX_QUERY_CHARACTERS = 4_096

_HMAC = re.compile(rb"[0-9a-f]{128}")
_JWT = re.compile(rb"Bearer ([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")

Verdict = Verified | Refused
_Proof = Callable[[Request, Sequence[ReceivingSecret]], Verdict]


def verify(request: Request, secrets: Sequence[ReceivingSecret]) -> Verdict:
    """Prove the request in the way that the settings name; a connector whose settings name none takes nothing.

    Every secret is tried, also after a match, so that the time tells nothing about which one is right.
    """
    proof = _PROOFS.get((request.settings.get("dialect"), request.settings.get("webhook_auth")))
    if proof is None:
        proof = _DEFAULT_PROOFS.get(request.settings.get("dialect")) if "webhook_auth" not in request.settings else None
    if proof is None:
        return Refused(reason="dialect_unknown")
    usable = [secret for secret in secrets if secret.use is SecretUse.SIGN and secret.value]
    return proof(request, usable)


def _matching(secrets: Sequence[ReceivingSecret], expected: Callable[[bytes], bytes], given: bytes) -> Verdict:
    if not secrets:
        return Refused(reason="secret_missing")
    matching: str | None = None
    for secret in secrets:
        if hmac.compare_digest(expected(secret.value), given):
            matching = matching or secret.id
    return Refused(reason="signature_wrong") if matching is None else Verified(secret_id=matching)


def _by_header(name: str) -> _Proof:
    def proof(request: Request, secrets: Sequence[ReceivingSecret]) -> Verdict:
        given = request.headers.get(name)
        return _matching(secrets, _itself, given) if given else Refused(reason="signature_missing")

    return proof


def _itself(secret: bytes) -> bytes:
    return secret


def _by_query(request: Request, secrets: Sequence[ReceivingSecret]) -> Verdict:
    """The whole query is `secret=` and our secret, percent-encoded: one spelling, and nothing beside it."""
    if not request.query:
        return Refused(reason="signature_missing")
    if len(request.query) > _MAX_QUERY_CHARACTERS or not request.query.startswith(_QUERY_PREFIX):
        return Refused(reason="signature_malformed")
    given = request.query.removeprefix(_QUERY_PREFIX).encode("utf-8", "replace")
    return _matching(secrets, lambda secret: quote(secret, safe="").encode("ascii"), given)


def _by_hmac(request: Request, secrets: Sequence[ReceivingSecret]) -> Verdict:
    given = request.headers.get(HMAC_HEADER)
    if not given:
        return Refused(reason="signature_missing")
    if request.headers.get(HMAC_ALGORITHM_HEADER, b"sha512") != b"sha512":
        return Refused(reason="algorithm_unknown")
    if _HMAC.fullmatch(given) is None:
        return Refused(reason="signature_malformed")
    digest = bytes.fromhex(given.decode("ascii"))
    return _matching(secrets, lambda secret: hmac.digest(secret, request.body, "sha512"), digest)


def _by_jwt(request: Request, secrets: Sequence[ReceivingSecret]) -> Verdict:
    given = request.headers.get("authorization")
    if not given:
        return Refused(reason="signature_missing")
    match = _JWT.fullmatch(given) if len(given) <= _MAX_JWT_BYTES else None
    if match is None:
        return Refused(reason="signature_malformed")
    # Compared as text: two spellings of one signature differ in bits that Base64 does not use.
    signed, signature = match[1] + b"." + match[2], match[3]
    verdict = _matching(secrets, lambda secret: _base64url(hmac.digest(secret, signed, "sha256")), signature)
    if isinstance(verdict, Refused):
        return verdict
    head, claims = _decoded(match[1]), _decoded(match[2])
    if head.get("alg") != "HS256":
        return Refused(reason="algorithm_unknown")
    if claims.get("app") != "evolution" or claims.get("action") != "webhook":
        return Refused(reason="claims_wrong")
    return verdict if _in_time(claims, request.received_at_ms) else Refused(reason="timestamp_old")


def _in_time(claims: Mapping[str, object], received_at_ms: int) -> bool:
    issued, expires, now = claims.get("iat"), claims.get("exp"), received_at_ms / 1000
    if type(issued) is not int or type(expires) is not int:
        return False
    return issued - _JWT_CLOCK_SKEW_SECONDS <= now <= expires + JWT_LEEWAY_SECONDS


def _base64url(digest: bytes) -> bytes:
    return base64.urlsafe_b64encode(digest).rstrip(b"=")


def _decoded(segment: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


_PROOFS: Mapping[tuple[object, object], _Proof] = MappingProxyType(
    {
        ("evolution", "header"): _by_header(SECRET_HEADER),
        ("evolution", "jwt"): _by_jwt,
        ("waha", "hmac"): _by_hmac,
        ("zapi", "query"): _by_query,
        ("zapi", "header"): _by_header(ZAPI_HEADER),
    }
)
_DEFAULT_PROOFS: Mapping[object, _Proof] = MappingProxyType(
    {"evolution": _PROOFS["evolution", "header"], "waha": _by_hmac, "zapi": _by_query}
)

_STATUSES: Mapping[Situation, int] = MappingProxyType(
    {
        "accepted": 200,  # Kafka has it
        "refused": 401,
        "unknown_connector": 404,  # one that is younger than a minute is answered 503 by the edge
        "too_large": 413,
        "rate_limited": 429,
        "busy": 503,
        "unavailable": 503,
    }
)

_EVOLUTION_REPEATS = "repeated up to 10 times in all, after 5 s, then twice as long each time up to 300 s; lost when it restarts"
_EVOLUTION_DROPS = "never repeated: the event is lost"
EVOLUTION_ANSWERS = Answers(
    statuses=_STATUSES,
    consequences=MappingProxyType(
        {
            200: "done, never posted again",
            **dict.fromkeys((401, 403, 404), _EVOLUTION_DROPS),
            **dict.fromkeys((413, 429, 503), _EVOLUTION_REPEATS),
        }
    ),
    source="https://github.com/EvolutionAPI/evolution-api/blob/2.3.6/src/api/integrations/event/webhook/webhook.controller.ts",
)

_WAHA_REPEATS = "repeated as the session's `retries` say (our set-up: 15 times, exponentially from 2 s); then lost"
WAHA_ANSWERS = Answers(
    statuses=_STATUSES,
    consequences=MappingProxyType(
        {200: "done, never posted again", **dict.fromkeys((401, 403, 404, 413, 429, 503), _WAHA_REPEATS)}
    ),
    source="https://waha.devlike.pro/docs/how-to/events/#retries",
)

_ZAPI_UNKNOWN = "not documented: taken for lost, so nothing but our own need decides the status"
ZAPI_ANSWERS = Answers(
    statuses=_STATUSES,
    consequences=MappingProxyType(
        {200: "done, never posted again", **dict.fromkeys((401, 403, 404, 413, 429, 503), _ZAPI_UNKNOWN)}
    ),
    source="https://developer.z-api.io/webhooks/introduction",
)

RECEIVING = Receiving(
    tipo=ConnectorType.WHATSAPP_UNOFFICIAL,
    verify=verify,
    handshake=None,
    answers=EVOLUTION_ANSWERS,  # the strictest: for a connector without a dialect
    dialects=MappingProxyType({"evolution": EVOLUTION_ANSWERS, "waha": WAHA_ANSWERS, "zapi": ZAPI_ANSWERS}),
    kept_headers=frozenset({"content-type", "user-agent", "x-webhook-request-id", "x-webhook-timestamp"}),
    # WhatsApp's 16 MB of media in Base64 and room for the rest. Our set-up asks Evolution to leave media out.
    max_body_bytes=24 * 1024 * 1024,
)
