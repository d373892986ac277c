"""Keys, key sets and tokens of every kind that a test of the verifier wants, good and forged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS

ISSUER, AUDIENCE, TENANT = "https://id.example.test/", "channels", "0198c0de-0000-7000-8000-000000000001"

KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
STRANGER = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, key_id: str | None, **more: Any) -> dict[str, Any]:
    """The public half."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        entry = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        entry = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        entry = OKPAlgorithm.to_jwk(public, as_dict=True)
    return {**entry, **({"kid": key_id} if key_id else {}), **more}


def key_set(*entries: dict[str, Any]) -> bytes:
    """A JSON Web Key Set; of all good keys if none is given."""
    return json.dumps({"keys": list(entries) or [jwk(key, f"key-{name}") for name, key in KEYS.items()]}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, with changes; None takes one away."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ana",
        "iat": now,
        "exp": now + 300,
        "tenant_id": TENANT,
        "permissions": ["channel.read"],
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(algorithm: str = "EdDSA", key: Any = None, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """A signed token."""
    made = {"kid": f"key-{algorithm}", **(headers or {})}
    made = {name: value for name, value in made.items() if value is not None}
    return signed(claims(**changes), algorithm, key or KEYS[algorithm], made)


def signed(payload: Any, algorithm: str, key: Any, headers: dict[str, Any]) -> str:
    """Any JSON, signed: the library's own `encode` would refuse to make some of it."""
    return PyJWS().encode(json.dumps(payload).encode(), key, algorithm, headers=headers)


def hand_made(header: dict[str, Any], payload: Any, signature: bytes = b"x") -> str:
    """A token that no library would make."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(encoded(part) for part in parts)


def signed_by_public_key(header: dict[str, Any], public: bytes) -> str:
    """The oldest forgery: HMAC, with the public key as the secret."""
    start = hand_made(header, claims()).rpartition(".")[0]
    return f"{start}.{encoded(hmac.new(public, start.encode(), hashlib.sha256).digest())}"


def encoded(part: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
