"""Signatures between servers by Standard Webhooks: an id, a time and the raw body under a shared secret.

Only the symmetric scheme `v1`; signatures of other versions beside it are passed over, as the specification asks.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence

from shared.domain.enums import SecretUse
from shared.providers.contract import ReceivingSecret, Refused, Verified

ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_SECONDS = 300

_SECRET_PREFIX = b"whsec_"
_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_TIMESTAMP = re.compile(rb"[1-9][0-9]{8,10}")
_SIGNATURES = re.compile(rb"v[0-9]+[a-z]?,[A-Za-z0-9+/]+={0,2}(?: v[0-9]+[a-z]?,[A-Za-z0-9+/]+={0,2}){0,9}")


def key_of(secret: bytes) -> bytes | None:
    """The key inside `whsec_<base64>`, 24 to 64 bytes; None for anything else."""
    if not secret.startswith(_SECRET_PREFIX):
        return None
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        return None
    return key if 24 <= len(key) <= 64 else None


def signature_of(key: bytes, message_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """`v1,<base64>` of HMAC-SHA256 over `id.timestamp.body`."""
    return b"v1," + base64.b64encode(hmac.digest(key, b"%b.%b.%b" % (message_id, timestamp, body), "sha256"))


def verify_signed(
    headers: Mapping[str, bytes], body: bytes, received_at_ms: int, secrets: Sequence[ReceivingSecret]
) -> Verified | Refused:
    """Genuine if one of the signatures fits one of the secrets, and the time is within five minutes of ours."""
    message_id, timestamp, given = (headers.get(name) for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER))
    if not message_id or not timestamp or not given:
        return Refused(reason="signature_missing")
    if not (_ID.fullmatch(message_id) and _TIMESTAMP.fullmatch(timestamp) and _SIGNATURES.fullmatch(given)):
        return Refused(reason="signature_malformed")
    known = [(secret.id, key_of(secret.value)) for secret in secrets if secret.use is SecretUse.SIGN]
    usable = [(secret_id, key) for secret_id, key in known if key is not None]
    if not usable:
        return Refused(reason="secret_missing")
    signatures, matching = given.split(b" "), None
    for secret_id, key in usable:
        expected = signature_of(key, message_id, timestamp, body)
        for signature in signatures:  # no early end
            if hmac.compare_digest(expected, signature):
                matching = matching or secret_id
    if matching is None:
        return Refused(reason="signature_wrong")
    if abs(received_at_ms / 1000 - int(timestamp)) > TOLERANCE_SECONDS:
        return Refused(reason="timestamp_outside")
    return Verified(secret_id=matching)
