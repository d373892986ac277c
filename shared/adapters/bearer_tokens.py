"""Proves bearer tokens (signed JWTs) and reads from them who calls, for which tenant, with which permissions.

RFC 7519, RFC 8725 (https://www.rfc-editor.org/rfc/rfc8725): the key decides the algorithm, never the token; `none` and shared
secrets (HS256 and its like) prove nothing here; `iss`, `aud` and `exp` must be there.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import jwt
from jwt.exceptions import InvalidSubjectError

from shared.adapters.key_sets import KeySet, VerifyingKey
from shared.domain.errors import Unauthenticated
from shared.domain.identity import Identity, Permission

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
MAX_TOKEN_CHARS = 8_192
_MAX_SUBJECT_CHARS = 256
_MAX_PROVED = 4_096
_FAR_FUTURE = 2**40  # seconds since 1970; a larger number is a joke, or an attack
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TENANT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_KNOWN = frozenset(permission.value for permission in Permission)

# What PyJWT found wrong -> our code and words; the first that fits. None of them quotes the token.
_FAULTS: tuple[tuple[type[jwt.PyJWTError], str, str], ...] = (
    (jwt.ExpiredSignatureError, "token_expired", "the token has expired"),
    (jwt.ImmatureSignatureError, "token_not_yet_valid", "the token is not valid yet"),
    (jwt.InvalidIssuerError, "issuer_wrong", "the token is of another issuer"),
    (jwt.InvalidAudienceError, "audience_wrong", "the token is meant for another service"),
    (jwt.MissingRequiredClaimError, "claim_missing", "the token lacks one of exp, iss, aud, sub"),
    (InvalidSubjectError, "subject_wrong", "the token's sub is no text"),
    (jwt.InvalidSignatureError, "signature_wrong", "the token's signature is not good"),
    (jwt.PyJWTError, "token_malformed", "the token cannot be read"),
)


class Verifier(Protocol):
    """Proves a token."""

    def verify(self, token: str) -> Identity:
        """Who the token stands for. Raises Unauthenticated, Unavailable."""
        ...

    def recall(self, token: str) -> Identity | None:
        """What `verify` would say of a token that it proved a short while ago; None: ask it. Never blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """What a token must say, and where it says it. A claim's name may be a path through objects (`app.tenant`).

    `permissions_claim` is a list of texts or one text with spaces (`scope`); what is not of `Permission` counts for nothing.
    """

    issuer: str
    audience: str
    tenant_claim: str = "tenant_id"
    permissions_claim: str = "permissions"
    leeway_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class _Proved:
    """A token that was good. The very key object proves that the key set still holds it as it was."""

    key_id: str | None
    key: VerifyingKey
    ends_at: float  # seconds since 1970
    identity: Identity


class TokenVerifier:
    """Verifies against a key set. Safe for threads; blocks when the key set has to be fetched."""

    def __init__(self, keys: KeySet, expected: Expectations) -> None:
        self._keys = keys
        self._expected = expected
        self._proved: dict[bytes, _Proved] = {}  # by the digest of the token: no credential is kept

    def recall(self, token: str) -> Identity | None:
        """The outcome of an earlier proof, while its key is still in force and the token has not ended."""
        found = self._proved.get(hashlib.sha256(token.encode("utf-8", "replace")).digest())
        if found is None or time.time() >= found.ends_at or self._keys.held(found.key_id) is not found.key:
            return None
        return found.identity

    def verify(self, token: str) -> Identity:
        """Who the token stands for. Raises Unauthenticated with a reason, or Unavailable while no key set can be had."""
        key_id = _key_id(token)
        key = self._keys.find(key_id)
        if key is None:
            raise Unauthenticated("the token is signed with a key that is not known here", reason="key_unknown")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._expected.issuer,
                audience=self._expected.audience,
                leeway=self._expected.leeway_seconds,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.InvalidAlgorithmError:
            raise _refused_algorithm() from None
        except jwt.PyJWTError as error:
            raise _translated(error) from None
        except (ValueError, TypeError, OverflowError, RecursionError):  # claims of forms that the library does not expect
            raise _malformed() from None
        identity = self._identity(claims)
        if len(self._proved) >= _MAX_PROVED:
            self._proved = {}
        ends_at = min(int(claims["exp"]), _FAR_FUTURE) + self._expected.leeway_seconds
        self._proved[hashlib.sha256(token.encode()).digest()] = _Proved(key_id, key, ends_at, identity)
        return identity

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject, tenant = claims["sub"], _claim(claims, self._expected.tenant_claim)
        if not isinstance(subject, str) or not subject.strip() or len(subject) > _MAX_SUBJECT_CHARS or not subject.isprintable():
            raise Unauthenticated("the token's sub is no usable name", reason="subject_wrong")
        if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
            raise Unauthenticated("the token names no tenant", reason="tenant_missing")
        granted = _claim(claims, self._expected.permissions_claim)
        listed = granted.split() if isinstance(granted, str) else granted if isinstance(granted, list) else []
        permissions = frozenset(name for name in listed if isinstance(name, str)) & _KNOWN
        return Identity(subject=subject, tenant_id=str(UUID(tenant)), permissions=permissions)


def _key_id(token: str) -> str | None:
    """The `kid` that the token claims. Nothing else of the header is believed, and no key it carries is used."""
    if len(token) > MAX_TOKEN_CHARS or not _COMPACT.fullmatch(token):
        raise _malformed()
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _malformed() from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _refused_algorithm()
    if "crit" in header:  # RFC 7515 section 4.1.11: who does not understand an extension must refuse; we know none
        raise Unauthenticated("the token asks for an extension that is not known here", reason="token_malformed")
    key_id = header.get("kid")
    if not isinstance(key_id, str | None):
        raise _malformed()
    return key_id


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    # The name as it is comes first: namespaced claims are URLs, with dots in them.
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _translated(error: jwt.PyJWTError) -> Unauthenticated:
    for kind, reason, message in _FAULTS:
        if isinstance(error, kind):
            return Unauthenticated(message, reason=reason)
    return _malformed()


def _malformed() -> Unauthenticated:
    return Unauthenticated("the token cannot be read", reason="token_malformed")


def _refused_algorithm() -> Unauthenticated:
    return Unauthenticated("the token is not signed in a way that is taken here", reason="algorithm_refused")
