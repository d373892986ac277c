"""Session tokens of browsers: JSON Web Tokens in compact form, signed HS256 or EdDSA (Ed25519), nothing else.

Written out here because the edge needs 3 % of a token library, and importing one costs it 80 ms and 6 MB (measured with
PyJWT 2.15). What such libraries got wrong is fixed by construction: the kind of the key decides the algorithm, the token
only has to agree with it; the signature is compared as text, so it has one spelling.
Sources: RFC 7519, RFC 7515 §5.2, RFC 8037; https://www.rfc-editor.org/rfc/rfc8725 (best practice).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from shared.domain.enums import SecretUse
from shared.providers.contract import ReceivingSecret, Refused

MAX_TOKEN_CHARACTERS = 4_096
MIN_KEY_BYTES = 32  # RFC 7518 §3.2
MAX_LIFE_SECONDS = 86_400
LEEWAY_SECONDS = 60  # between the clock of who issued it and ours

_PUBLIC_KEY = b"-----BEGIN PUBLIC KEY-----"
# Everybody knows a public key: taken for a shared secret, it would let everybody sign HS256 (RFC 8725 §2.1).
_NO_SHARED_KEY = re.compile(rb"-----BEGIN |\A\s*(?:ssh-|ecdsa-|\{)")
_TOKEN = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_SIGNATURE_BYTES = 64


class _Head(msgspec.Struct):
    alg: str
    crit: object = None


class Claims(msgspec.Struct):
    """`aud` is the widget, `sub` the visitor, `sid` the session, `external_user_id` who signed in at the customer's site."""

    iss: str
    aud: str
    sub: str
    sid: str
    iat: int
    exp: int
    origin: str
    external_user_id: str | None = None
    nbf: int | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_claims = msgspec.json.Decoder(Claims).decode


def open_token(token: bytes, secrets: Sequence[ReceivingSecret]) -> tuple[Claims, str] | Refused:
    """The claims of a token and the id of the secret that proved it. Times and names are not looked at here."""
    match = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_CHARACTERS else None
    if match is None:
        return Refused(reason="signature_malformed")
    algorithm = _algorithm_in(match[1])
    prove = _PROOFS.get(algorithm or "")
    if prove is None:
        return Refused(reason="algorithm_refused")
    usable = [secret for secret in secrets if secret.use is SecretUse.SIGN and _algorithm_of(secret.value) is not None]
    if not usable:
        return Refused(reason="secret_missing")
    signed, matching = token[: match.end(2)], None
    for secret in usable:  # also after a match, so that the time tells nothing about which one is right
        if _algorithm_of(secret.value) == algorithm and prove(secret.value, signed, match[3]):
            matching = matching or secret.id
    if matching is None:
        return Refused(reason="signature_wrong")
    try:
        return _decode_claims(_decode(match[2])), matching
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error):
        return Refused(reason="claims_malformed")


def times_hold(claims: Claims, now_ms: int) -> bool:
    """Issued and begun already, not ended yet, and never made for more than a day."""
    now, begins = now_ms / 1000, claims.iat if claims.nbf is None else max(claims.iat, claims.nbf)
    return begins - LEEWAY_SECONDS <= now < claims.exp and 0 < claims.exp - claims.iat <= MAX_LIFE_SECONDS


def _algorithm_in(part: bytes) -> str | None:
    """What the token's head says; None for a head that is none, or that asks for extensions (`crit`)."""
    try:
        head = _decode_head(_decode(part))
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error):
        return None
    return head.alg if head.crit is None else None


def _algorithm_of(value: bytes) -> str | None:
    if value.lstrip().startswith(_PUBLIC_KEY):
        return "EdDSA"
    return "HS256" if len(value) >= MIN_KEY_BYTES and _NO_SHARED_KEY.search(value) is None else None


def _hs256(value: bytes, signed: bytes, signature: bytes) -> bool:
    expected = base64.urlsafe_b64encode(hmac.digest(value, signed, "sha256")).rstrip(b"=")
    return hmac.compare_digest(expected, signature)


def _eddsa(value: bytes, signed: bytes, signature: bytes) -> bool:
    verify = _ed25519(value)
    try:
        raw = _decode(signature)
    except binascii.Error:
        return False
    one_spelling = hmac.compare_digest(base64.urlsafe_b64encode(raw).rstrip(b"="), signature)
    return verify is not None and one_spelling and len(raw) == _SIGNATURE_BYTES and verify(raw, signed)


_PROOFS: dict[str, Callable[[bytes, bytes, bytes], bool]] = {"HS256": _hs256, "EdDSA": _eddsa}


@lru_cache(maxsize=256)
def _ed25519(pem: bytes) -> Callable[[bytes, bytes], bool] | None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # late: few connectors have such keys
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, Ed25519PublicKey):
        return None

    def verify(signature: bytes, signed: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verify


def _decode(part: bytes) -> bytes:
    return base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
