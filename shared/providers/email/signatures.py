"""How mail providers prove a webhook: Mailgun's HMAC, SendGrid's ECDSA, a credential in the URL or a header, our own push.

The edge loads this. Each function tries all secrets and compares in constant time; accepted is one spelling only.
Sources: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks,
https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/securing-your-parse-webhooks (the same headers as the
event webhook), https://postmarkapp.com/developer/webhooks/webhooks-overview (no signature: basic authentication).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from shared.domain.enums import SecretUse
from shared.providers.contract import ReceivingSecret, Refused, Request, Verified
from shared.providers.email.signed_fields import SignedFields, mailgun_fields

SENDGRID_SIGNATURE = "x-twilio-email-event-webhook-signature"
SENDGRID_TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
KEY_HEADER = "x-channels-key"
PUSH_SIGNATURE = "x-channels-signature"
PUSH_TIMESTAMP = "x-channels-timestamp"

# Mailgun repeats for 8 h, and a repeat carries the timestamp and token of the first try (so Hookdeck's reference says; Mailgun's
# own pages do not tell). SendGrid repeats for 3 days; whether it signs anew is not documented.
MAILGUN_MAX_AGE_SECONDS = 9 * 3600
SENDGRID_MAX_AGE_SECONDS = 73 * 3600
PUSH_MAX_AGE_SECONDS = 3600
_AHEAD_SECONDS = 900
_MAX_CREDENTIAL = 1_024

_SECONDS = re.compile(rb"[0-9]{10}")
_HEX = re.compile(rb"[0-9a-f]{64}")
_TOKEN = re.compile(rb"[0-9A-Za-z_-]{50}")  # its fixed length keeps `timestamp + token` free of a second reading
_PUSH = re.compile(rb"sha256=([0-9a-f]{64})")


def usable(secrets: Sequence[ReceivingSecret]) -> list[ReceivingSecret]:
    """Those that can prove anything."""
    return [secret for secret in secrets if secret.use is SecretUse.SIGN and secret.value]


def proven(secrets: Sequence[ReceivingSecret], proves: Callable[[bytes], bool]) -> Verified | Refused:
    """Try all secrets, also after a match."""
    candidates = usable(secrets)
    if not candidates:
        return Refused(reason="secret_missing")
    matching: str | None = None
    for secret in candidates:
        if proves(secret.value):
            matching = matching or secret.id
    return Refused(reason="signature_wrong") if matching is None else Verified(secret_id=matching)


def verify_mailgun(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    """HMAC-SHA256 of `timestamp + token` under the webhook signing key, in lower-case hex; all three are in the body.

    The body itself is not covered by any scheme of Mailgun's. What limits a captured triple is its age, and that its token is
    the item's de-duplication key: a second body under it counts as a repeat.
    """
    fields = mailgun_fields(request.body, request.headers.get("content-type", b""))
    if not isinstance(fields, SignedFields):
        return Refused(reason=fields)
    if _SECONDS.fullmatch(fields.timestamp) is None or _TOKEN.fullmatch(fields.token) is None:
        return Refused(reason="signature_malformed")
    if _HEX.fullmatch(fields.signature) is None:
        return Refused(reason="signature_malformed")
    if not _fresh(fields.timestamp, request.received_at_ms, MAILGUN_MAX_AGE_SECONDS):
        return Refused(reason="timestamp_old")
    signed, given = fields.timestamp + fields.token, bytes.fromhex(fields.signature.decode("ascii"))
    return proven(secrets, lambda key: hmac.compare_digest(hmac.digest(key, signed, "sha256"), given))


def verify_sendgrid(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    """ECDSA over P-256 and SHA-256 of `timestamp + raw body`; the receiving secret is the public key, base64 of its DER form."""
    signature, timestamp = request.headers.get(SENDGRID_SIGNATURE), request.headers.get(SENDGRID_TIMESTAMP)
    if not signature or not timestamp:
        return Refused(reason="signature_missing")
    given = canonical_base64(signature, 128)
    if given is None or _SECONDS.fullmatch(timestamp) is None:
        return Refused(reason="signature_malformed")
    if not _fresh(timestamp, request.received_at_ms, SENDGRID_MAX_AGE_SECONDS):
        return Refused(reason="timestamp_old")
    signed = timestamp + request.body
    return proven(secrets, lambda key: _signed_by(_public_key(key), given, signed))


def _signed_by(key: EllipticCurvePublicKey | None, signature: bytes, signed: bytes) -> bool:
    if key is None:
        return False
    try:
        key.verify(signature, signed, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=256)
def _public_key(value: bytes) -> EllipticCurvePublicKey | None:
    """The key of a secret; None for what is no P-256 key in base64 of DER, with or without the lines of PEM."""
    text = b"".join(line.strip() for line in value.splitlines() if not line.startswith(b"-----"))
    der = canonical_base64(text, _MAX_CREDENTIAL)
    if der is None:
        return None
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm, TypeError):
        return None
    return key if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) else None


def canonical_base64(text: bytes, limit: int) -> bytes | None:
    """The bytes that this base64 says, if it is their one spelling; else None."""
    if len(text) > limit:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data and base64.b64encode(data) == text else None


def verify_basic(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    """RFC 7617: the secret is `user:password`, and the header must be exactly what these two give."""
    given = request.headers.get("authorization")
    if not given:
        return Refused(reason="credential_missing")
    if len(given) > _MAX_CREDENTIAL:
        return Refused(reason="credential_malformed")
    return proven(secrets, lambda pair: hmac.compare_digest(b"Basic " + base64.b64encode(pair), given))


def verify_header(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    """The secret itself in `X-Channels-Key`, for providers that send headers of one's own choice."""
    given = request.headers.get(KEY_HEADER)
    if not given:
        return Refused(reason="credential_missing")
    return proven(secrets, lambda key: hmac.compare_digest(key, given))


def verify_url(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    """The secret itself as the parameter `key` of the URL, for providers that offer nothing else."""
    if len(request.query) > _MAX_CREDENTIAL:
        return Refused(reason="credential_malformed")
    try:
        values = [value for name, value in parse_qsl(request.query, errors="strict", max_num_fields=8) if name == "key"]
        given = values[0].encode("utf-8") if len(values) == 1 else b""
    except ValueError:
        return Refused(reason="credential_malformed")
    if not given:
        return Refused(reason="credential_missing")
    return proven(secrets, lambda key: hmac.compare_digest(key, given))


def verify_push(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    """Our own scheme, for a mail server of one's own that posts raw mails: HMAC-SHA256 of `timestamp.body`, both in headers."""
    signature, timestamp = request.headers.get(PUSH_SIGNATURE), request.headers.get(PUSH_TIMESTAMP)
    if not signature or not timestamp:
        return Refused(reason="signature_missing")
    match = _PUSH.fullmatch(signature)
    if match is None or _SECONDS.fullmatch(timestamp) is None:
        return Refused(reason="signature_malformed")
    if not _fresh(timestamp, request.received_at_ms, PUSH_MAX_AGE_SECONDS):
        return Refused(reason="timestamp_old")
    signed, given = timestamp + b"." + request.body, bytes.fromhex(match[1].decode("ascii"))
    return proven(secrets, lambda key: hmac.compare_digest(hmac.digest(key, signed, "sha256"), given))


def _fresh(timestamp: bytes, now_ms: int, max_age_seconds: int) -> bool:
    return -_AHEAD_SECONDS <= now_ms // 1000 - int(timestamp) <= max_age_seconds
