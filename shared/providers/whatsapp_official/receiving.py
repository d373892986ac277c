"""What the edge does for Meta: prove that a webhook is genuine, answer the set-up call, choose status codes.

Source: https://developers.facebook.com/docs/graph-api/webhooks/getting-started
"""

from __future__ import annotations

import hmac
import re
from binascii import hexlify
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from urllib.parse import parse_qsl

from shared.domain.enums import ConnectorType, SecretUse
from shared.providers.contract import (
    Answers,
    HandshakeAnswer,
    Receiving,
    ReceivingSecret,
    Refused,
    Request,
    Verified,
)

SIGNATURE_HEADER = "x-hub-signature-256"

# Lower case only: Meta documents and sends lower case, and one spelling leaves nothing to argue about. Bytes, so that a
# header outside ASCII is refused and never decoded. A header sent twice reaches us joined, which does not match either.
_SIGNATURE = re.compile(rb"sha256=[0-9a-f]{64}")
_SIGN = SecretUse.SIGN

_MAX_QUERY_CHARACTERS = 4_096
# Echoed to whoever knows the verify token: short, and without any character that could begin markup or a header.
_CHALLENGE = re.compile(r"[A-Za-z0-9._~+/=-]{1,256}")


def verify(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    """Prove the body by `X-Hub-Signature-256`: `sha256=` and the HMAC-SHA256 of the raw bytes under the app secret.

    Every secret is tried, also after a match, so that the time tells nothing about which one is right.
    """
    header = request.headers.get(SIGNATURE_HEADER)
    if not header:
        return Refused(reason="signature_missing")
    matching: str | None = None
    usable = False
    for secret in secrets:
        if secret.use is _SIGN and secret.value:
            usable = True
            right = b"sha256=" + hexlify(hmac.digest(secret.value, request.body, "sha256"))
            if hmac.compare_digest(right, header):
                matching = matching or secret.id
    if matching is not None:
        return Verified(secret_id=matching)
    if _SIGNATURE.fullmatch(header) is None:
        return Refused(reason="signature_malformed")
    return Refused(reason="signature_wrong" if usable else "secret_missing")


def handshake(request: Request, secrets: Sequence[ReceivingSecret]) -> HandshakeAnswer:
    """Answer the set-up call: 200 with the challenge as the whole body if mode and verify token are right, else 403."""
    parameters = _parameters(request.query)
    token = parameters.get("hub.verify_token", "").encode("utf-8")
    challenge = parameters.get("hub.challenge", "")
    known = [secret.value for secret in secrets if secret.use is SecretUse.HANDSHAKE and secret.value]
    proven = sum(hmac.compare_digest(value, token) for value in known) > 0  # no early end, as above
    if not proven or parameters.get("hub.mode") != "subscribe" or _CHALLENGE.fullmatch(challenge) is None:
        return HandshakeAnswer(status=403, body=b"")
    return HandshakeAnswer(status=200, body=challenge.encode("ascii"))


def _parameters(query: str) -> Mapping[str, str]:
    """Percent-decoded parameters; empty if the query is too long, not UTF-8, or names one of them twice."""
    if len(query) > _MAX_QUERY_CHARACTERS:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=32)
        parameters = dict(pairs)
        "".join(parameters.values()).encode("utf-8")  # a query that was not ASCII may hold what cannot be encoded
    except ValueError:
        return {}
    return parameters if len(parameters) == len(pairs) else {}


# Meta repeats whatever is not answered 200, at once and then ever less often, for 7 days.
_REPEATED = "repeated at once, then ever less often, for 7 days; then dropped for good"
ANSWERS = Answers(
    statuses=MappingProxyType(
        {
            "accepted": 200,  # Kafka has it
            "refused": 401,  # a forger learns nothing; a genuine POST under a new secret is repeated until we know it
            "unknown_connector": 404,  # repeated: a connector created within 7 days still gets its messages
            "too_large": 413,  # above what Meta sends, so not Meta
            "rate_limited": 429,
            "busy": 503,
            "unavailable": 503,
        }
    ),
    consequences=MappingProxyType({200: "done, never posted again", **dict.fromkeys((401, 403, 404, 413, 429, 503), _REPEATED)}),
    source="https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview",
)

RECEIVING = Receiving(
    tipo=ConnectorType.WHATSAPP_OFFICIAL,
    verify=verify,
    handshake=handshake,
    answers=ANSWERS,
    kept_headers=frozenset({"content-type", "user-agent"}),
    max_body_bytes=4 * 1024 * 1024,  # Meta sends up to 3 MB
)
