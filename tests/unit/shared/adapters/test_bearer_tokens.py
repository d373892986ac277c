from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.adapters import bearer_tokens
from shared.adapters.bearer_tokens import MAX_TOKEN_CHARS, Expectations, TokenVerifier
from shared.adapters.key_sets import Freshness, KeySet
from shared.domain.errors import Forbidden, Unauthenticated
from shared.domain.identity import Identity, Permission, require
from tests.unit.shared.adapters.token_keys import (
    AUDIENCE,
    ISSUER,
    KEYS,
    STRANGER,
    TENANT,
    claims,
    encoded,
    hand_made,
    jwk,
    key_set,
    signed,
    signed_by_public_key,
    token,
)
from tests.waiting import allowed

EXPECTED = Expectations(issuer=ISSUER, audience=AUDIENCE)


def verifier(expected: Expectations = EXPECTED, keys: bytes | None = None) -> TokenVerifier:
    return TokenVerifier(KeySet(lambda: keys or key_set()), expected)


def reason(text: str, expected: Expectations = EXPECTED, keys: bytes | None = None) -> str:
    with pytest.raises(Unauthenticated) as caught:
        verifier(expected, keys).verify(text)
    assert text[:20] not in str(caught.value) or not text
    assert caught.value.__cause__ is None
    return caught.value.reason


@pytest.mark.req(76)
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_good_token_tells_who_calls(algorithm: str) -> None:
    found = verifier().verify(token(algorithm, aud=["other", AUDIENCE], permissions=["channel.read", "channel.audit", "x", 7]))
    assert found == Identity(subject="ana", tenant_id=TENANT, permissions=frozenset({"channel.read", "channel.audit"}))


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"exp": int(time.time()) - 60}, "token_expired"),
        ({"exp": None}, "claim_missing"),
        ({"exp": "soon"}, "token_malformed"),
        ({"exp": {"a": 1}}, "token_malformed"),
        ({"nbf": int(time.time()) + 86_400}, "token_not_yet_valid"),
        ({"iat": int(time.time()) + 86_400}, "token_not_yet_valid"),
        ({"iss": "https://evil.example.test/"}, "issuer_wrong"),
        ({"iss": None}, "claim_missing"),
        ({"iss": [ISSUER]}, "issuer_wrong"),
        ({"aud": "other"}, "audience_wrong"),
        ({"aud": []}, "claim_missing"),
        ({"aud": None}, "claim_missing"),
        ({"aud": [1]}, "audience_wrong"),
        ({"sub": None}, "claim_missing"),
        ({"sub": " "}, "subject_wrong"),
        ({"sub": "a\nb"}, "subject_wrong"),
        ({"sub": "x" * 257}, "subject_wrong"),
        ({"tenant_id": None}, "tenant_missing"),
        ({"tenant_id": ["0198c0de-0000-7000-8000-000000000001"]}, "tenant_missing"),
        ({"tenant_id": "acme"}, "tenant_missing"),
        ({"tenant_id": f"{{{TENANT}}}"}, "tenant_missing"),
        ({"tenant_id": f"{TENANT}\n"}, "tenant_missing"),
    ],
)
def test_a_wrong_claim_is_refused_by_its_reason(changes: dict[str, Any], wrong: str) -> None:
    assert reason(token(**changes)) == wrong


def test_clocks_may_differ_a_little() -> None:
    now = int(time.time())
    assert verifier().verify(token(exp=now - 20, nbf=now + 20, iat=now + 20)).subject == "ana"
    assert reason(token(exp=now - 20), replace(EXPECTED, leeway_seconds=0)) == "token_expired"


RAW = [
    KEYS["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    KEYS["EdDSA"].public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
    json.dumps(jwk(KEYS["RS256"], "key-RS256")).encode(),
]


@pytest.mark.parametrize(
    ("forged", "wrong"),
    [
        (lambda: hand_made({"alg": "none", "kid": "key-RS256"}, claims()), "algorithm_refused"),
        (lambda: hand_made({"alg": "nOnE", "kid": "key-RS256"}, claims()), "algorithm_refused"),
        (lambda: hand_made({"kid": "key-RS256"}, claims()), "algorithm_refused"),
        (lambda: hand_made({"alg": ["RS256"], "kid": "key-RS256"}, claims()), "algorithm_refused"),
        (lambda: hand_made({"alg": "none"}, claims()).rpartition(".")[0] + ".", "token_malformed"),
        *((lambda key=key: signed_by_public_key({"alg": "HS256", "kid": "key-RS256"}, key), "algorithm_refused") for key in RAW),
        *((lambda key=key: signed_by_public_key({"alg": "RS256", "kid": "key-RS256"}, key), "signature_wrong") for key in RAW),
        (lambda: token(key=STRANGER), "signature_wrong"),
        (lambda: token(headers={"kid": "key-RS256"}), "algorithm_refused"),  # the key decides the algorithm
        (lambda: token("ES256", headers={"kid": "key-EdDSA"}), "algorithm_refused"),
        (lambda: token(headers={"kid": "unheard"}), "key_unknown"),
        (lambda: token(headers={"kid": None}), "key_unknown"),
        (lambda: hand_made({"alg": "EdDSA", "kid": 7}, claims()), "token_malformed"),
        (lambda: token(key=STRANGER, headers={"kid": "mine", "jwk": jwk(STRANGER, "mine")}), "key_unknown"),
        (lambda: token(key=STRANGER, headers={"jwk": jwk(STRANGER, "key-EdDSA"), "jku": "https://evil.example.test"}),
         "signature_wrong"),
        (lambda: hand_made({"alg": "EdDSA", "kid": "key-EdDSA", "crit": ["b64"], "b64": False}, claims()), "token_malformed"),
        (lambda: token("RS256", KEYS["RS256"], {"alg": "RS512"}), "algorithm_refused"),
        (lambda: "", "token_malformed"),
        (lambda: "a.b", "token_malformed"),
        (lambda: "a.b.c.d.e", "token_malformed"),
        (lambda: token() + "=", "token_malformed"),
        (lambda: token() + "\n", "token_malformed"),
        (lambda: token(filler="x" * MAX_TOKEN_CHARS), "token_malformed"),
        (lambda: hand_made({"alg": "EdDSA", "kid": "key-EdDSA"}, claims(), b""), "token_malformed"),
        (lambda: f"{encoded(b'[1]')}.{encoded(b'{}')}.{encoded(b'x')}", "token_malformed"),
        (lambda: f"{encoded(b'[' * 3000)}.{encoded(b'{}')}.{encoded(b'x')}", "token_malformed"),
    ],
)  # fmt: skip
def test_a_forged_token_is_refused(forged: Any, wrong: str) -> None:
    assert reason(forged()) == wrong


@pytest.mark.parametrize("payload", [[], "x", 7, None, {"exp": []}])
def test_claims_of_any_form_are_refused_not_raised(payload: Any) -> None:
    text = signed(payload, "EdDSA", KEYS["EdDSA"], {"kid": "key-EdDSA"})
    assert reason(text) in {"token_malformed", "claim_missing"}


@pytest.mark.req(76)
def test_no_change_of_a_good_token_is_accepted() -> None:
    """A signature's last character has bits that stand for nothing; a change of these alone is the same token."""
    dice, accepted = random.Random(76), []
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    for algorithm in KEYS:
        good, judge = token(algorithm), verifier()
        for _ in range(700):
            position = dice.randrange(len(good) - 1)
            changed = good[:position] + dice.choice(alphabet) + good[position + 1 :]
            if changed == good:
                continue
            try:
                accepted.append((judge.verify(changed), position))
            except Unauthenticated:
                continue
    assert accepted == []


@pytest.mark.parametrize(
    ("names", "given", "found"),
    [
        (("org.tenant", "scope"), {"org": {"tenant": TENANT}, "scope": "openid channel.manage channel.read"}, 2),
        (("https://example.test/tenant", "app.channels.roles"), {"https://example.test/tenant": TENANT, "app": {"channels": {
            "roles": ["channel.manage"]}}}, 1),
        (("tenant_id", "permissions.x"), {"permissions": "channel.read"}, 0),
        (("tenant_id", "permissions"), {"permissions": {"channel.read": True}}, 0),
        (("tenant_id", "permissions"), {"permissions": None}, 0),
        (("tenant_id", "permissions"), {"permissions": [["channel.read"], {}, None, "channel.readx", "CHANNEL.READ"]}, 0),
    ],
)  # fmt: skip
def test_tenant_and_permissions_come_from_the_claims_that_the_settings_name(
    names: tuple[str, str], given: dict[str, Any], found: int
) -> None:
    expected = replace(EXPECTED, tenant_claim=names[0], permissions_claim=names[1])
    absent: dict[str, Any] = {} if names[0] == "tenant_id" else {"tenant_id": None}
    identity = verifier(expected).verify(token(**{**absent, **given}))
    assert (identity.tenant_id, len(identity.permissions)) == (TENANT, found)


def test_a_tenant_in_capitals_is_the_same_tenant() -> None:
    assert verifier().verify(token(tenant_id=TENANT.upper())).tenant_id == TENANT


def test_the_only_key_needs_no_id() -> None:
    keys = key_set(jwk(KEYS["EdDSA"], None))
    assert verifier(keys=keys).verify(token(headers={"kid": None})).subject == "ana"
    assert reason(token(), keys=keys) == "key_unknown"


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "kid": "key-EdDSA", "k": encoded(b"x" * 32), "alg": "HS256"},
        jwk(KEYS["EdDSA"], "key-EdDSA", use="enc"),
        jwk(KEYS["EdDSA"], "key-EdDSA", alg="HS256"),
        jwk(KEYS["EdDSA"], "key-EdDSA", key_ops=["sign"]),
        jwk(KEYS["EdDSA"], "key-EdDSA", key_ops=7),
        jwk(KEYS["EdDSA"], "key-EdDSA", d="secret"),
        jwk(KEYS["EdDSA"], "key-EdDSA", x="!"),
        jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), "key-EdDSA"),
        {"kty": "EC", "kid": "key-EdDSA", "crv": "P-521", "x": "x", "y": "y"},
        {"kty": ["RSA"], "kid": "key-EdDSA"},
        {"kty": "OKP", "crv": ["Ed25519"], "kid": "key-EdDSA"},
    ],
)
def test_a_key_that_may_not_sign_proves_nothing(entry: dict[str, Any]) -> None:
    assert reason(token(), keys=key_set(entry, jwk(KEYS["ES256"], "key-ES256"))) == "key_unknown"


def test_a_permission_is_asked_for_by_name() -> None:
    identity = verifier().verify(token())
    require(identity, Permission.READ)
    with pytest.raises(Forbidden, match=r"channel\.manage"):
        require(identity, Permission.MANAGE)
    with pytest.raises(Forbidden):
        require(identity, "channel.rea")


@pytest.mark.req(76)
def test_a_proved_token_is_recalled_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, good = verifier(), token("EdDSA", exp=int(time.time()) + 600)
    assert tokens.recall(good) is None
    identity = tokens.verify(good)
    assert tokens.recall(good) is identity
    assert tokens.recall(good + "A") is None
    assert tokens.recall("\ud800") is None
    ended = time.time() + 600 + EXPECTED.leeway_seconds
    monkeypatch.setattr(bearer_tokens.time, "time", lambda: ended)
    assert tokens.recall(good) is None


@pytest.mark.req(76)
def test_a_proof_ends_with_its_key_and_a_refusal_is_never_recalled() -> None:
    listed, now = [key_set()], [0.0]
    tokens = TokenVerifier(KeySet(lambda: listed[0], Freshness(max_age=5.0, retry=1.0), clock=lambda: now[0]), EXPECTED)
    good, bad = token("EdDSA"), token("EdDSA", iss="https://evil.example.test/")
    tokens.verify(good)
    with pytest.raises(Unauthenticated):
        tokens.verify(bad)
    assert (tokens.recall(good) is not None, tokens.recall(bad)) == (True, None)
    now[0] = 5.1  # the set may have changed by now: it is asked for before anything is believed
    assert tokens.recall(good) is None
    listed[0] = key_set(jwk(KEYS["ES256"], "key-ES256"))
    tokens.verify(token("ES256"))  # asks beside
    deadline = time.monotonic() + allowed(5)
    while tokens._keys.held("key-EdDSA") is not None or tokens._keys.held("key-ES256") is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert tokens.recall(good) is None


def test_what_is_remembered_of_tokens_is_bounded() -> None:
    tokens = verifier()
    for number in range(20):
        tokens.verify(token("EdDSA", jti=str(number)))
    assert len(tokens._proved) == 20
    tokens._proved = dict.fromkeys((bytes([number % 256, number // 256]) for number in range(bearer_tokens._MAX_PROVED)), None)
    tokens.verify(token("EdDSA"))
    assert len(tokens._proved) == 1
