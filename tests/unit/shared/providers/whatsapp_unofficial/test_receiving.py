"""Verification of the three dialects: a table for each scheme, and ten thousand changed requests for each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from shared.domain.enums import SecretUse
from shared.providers.contract import ReceivingSecret, Refused, Request, Verified
from shared.providers.whatsapp_unofficial import receiving, samples

SECRET, SECOND = b"first secret/of the webhook", b"second-secret"
LIVE = (
    ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=SECRET),
    ReceivingSecret(id="webhook/1", use=SecretUse.SIGN, value=SECOND),
)
BODY = b'{"event":"message","session":"loja","text":"a\\/b \\u00e9"}'
NOW_MS = samples.TIMESTAMP * 1000
HEADER = {"dialect": "evolution", "webhook_auth": "header"}
JWT = {"dialect": "evolution", "webhook_auth": "jwt"}
HMAC = {"dialect": "waha", "webhook_auth": "hmac"}
QUERY = {"dialect": "zapi", "webhook_auth": "query"}
TOKEN = {"dialect": "zapi", "webhook_auth": "header"}


def request(
    settings: Mapping[str, Any],
    headers: Mapping[str, bytes] | None = None,
    *,
    query: str = "",
    body: bytes = BODY,
    now_ms: int = NOW_MS,
) -> Request:
    return Request(method="POST", query=query, headers=headers or {}, body=body, received_at_ms=now_ms, settings=settings)


def header(value: bytes) -> Request:
    return request(HEADER, {receiving.SECRET_HEADER: value})


def token(value: bytes) -> Request:
    return request(TOKEN, {receiving.ZAPI_HEADER: value})


def query(text: str) -> Request:
    return request(QUERY, query=text)


def jwt(value: str | bytes, now_ms: int = NOW_MS, body: bytes = BODY) -> Request:
    return request(JWT, {"authorization": value if isinstance(value, bytes) else value.encode()}, now_ms=now_ms, body=body)


def signed(value: bytes, body: bytes = BODY, **more: bytes) -> Request:
    named = {name.replace("_", "-"): said for name, said in more.items()}
    return request(HMAC, {receiving.HMAC_HEADER: value, **named}, body=body)


GOOD_HMAC = samples.waha_hmac(BODY, SECRET).encode()
GOOD_JWT = samples.evolution_jwt(SECRET)
NONE_JWT = ".".join(samples.signed_jwt({"alg": "none"}, {}, b"").split(".")[:2]) + "."
MAKES: dict[str, Callable[[bytes], Request]] = {
    "evolution header": header,
    "evolution jwt": lambda secret: jwt(samples.evolution_jwt(secret)),
    "waha hmac": lambda secret: signed(samples.waha_hmac(BODY, secret).encode()),
    "zapi query": lambda secret: query(samples.zapi_query(secret)),
    "zapi header": token,
}

REFUSED: dict[str, tuple[Request, str]] = {
    "header: missing": (request(HEADER), "signature_missing"),
    "header: empty": (header(b""), "signature_missing"),
    "header: wrong secret": (header(b"other"), "signature_wrong"),
    "header: flipped byte": (header(bytes([SECRET[0] ^ 1]) + SECRET[1:]), "signature_wrong"),
    "header: prefix": (header(b"Bearer " + SECRET), "signature_wrong"),
    "header: one byte less": (header(SECRET[:-1]), "signature_wrong"),
    "header: sent twice": (header(SECRET + b", " + SECRET), "signature_wrong"),
    "header: outside ASCII": (header("é".encode()), "signature_wrong"),
    "header: of another name": (request(HEADER, {"authorization": SECRET}), "signature_missing"),
    "header: only in the query": (request(HEADER, query=samples.zapi_query(SECRET)), "signature_missing"),
    "jwt: missing": (request(JWT), "signature_missing"),
    "jwt: empty": (jwt(b""), "signature_missing"),
    "jwt: wrong secret": (jwt(samples.evolution_jwt(b"other")), "signature_wrong"),
    "jwt: signed with an empty key": (jwt(samples.evolution_jwt(b"")), "signature_wrong"),
    "jwt: the bare secret": (jwt(SECRET), "signature_malformed"),
    "jwt: no prefix": (jwt(GOOD_JWT.removeprefix("Bearer ")), "signature_malformed"),
    "jwt: lower-case prefix": (jwt(GOOD_JWT.replace("Bearer", "bearer")), "signature_malformed"),
    "jwt: padded": (jwt(GOOD_JWT + "="), "signature_malformed"),
    "jwt: newline at the end": (jwt(GOOD_JWT + "\n"), "signature_malformed"),
    "jwt: no signature": (jwt(NONE_JWT), "signature_malformed"),
    "jwt: endless": (jwt("Bearer " + "a" * 5_000 + ".b." + "c" * 43), "signature_malformed"),
    "jwt: another algorithm": (
        jwt(samples.signed_jwt({"alg": "HS512"}, {"app": "evolution", "action": "webhook"}, SECRET)),
        "algorithm_unknown",
    ),
    "jwt: no algorithm": (jwt(samples.signed_jwt({}, {"app": "evolution", "action": "webhook"}, SECRET)), "algorithm_unknown"),
    "jwt: another app": (jwt(samples.evolution_jwt(SECRET, app="other")), "claims_wrong"),
    "jwt: another action": (jwt(samples.evolution_jwt(SECRET, action="login")), "claims_wrong"),
    "jwt: no time": (jwt(samples.evolution_jwt(SECRET, exp=None)), "timestamp_old"),
    "jwt: time as text": (jwt(samples.evolution_jwt(SECRET, exp="9999999999")), "timestamp_old"),
    "jwt: too old for all repeats": (jwt(GOOD_JWT, NOW_MS + (600 + receiving.JWT_LEEWAY_SECONDS + 1) * 1000), "timestamp_old"),
    "jwt: from the future": (jwt(GOOD_JWT, NOW_MS - 301_000), "timestamp_old"),
    "jwt: a clock that is not set": (jwt(GOOD_JWT, 0), "timestamp_old"),
    "hmac: missing": (request(HMAC), "signature_missing"),
    "hmac: empty": (signed(b""), "signature_missing"),
    "hmac: wrong secret": (signed(samples.waha_hmac(BODY, b"other").encode()), "signature_wrong"),
    "hmac: signed with an empty key": (signed(samples.waha_hmac(BODY, b"").encode()), "signature_wrong"),
    "hmac: flipped byte of the body": (signed(GOOD_HMAC, bytes([BODY[0] ^ 1]) + BODY[1:]), "signature_wrong"),
    "hmac: re-serialised body": (signed(GOOD_HMAC, json.dumps(json.loads(BODY)).encode()), "signature_wrong"),
    "hmac: empty body": (signed(GOOD_HMAC, b""), "signature_wrong"),
    "hmac: prefix": (signed(b"sha512=" + GOOD_HMAC), "signature_malformed"),
    "hmac: upper case": (signed(GOOD_HMAC.upper()), "signature_malformed"),
    "hmac: SHA-256": (signed(hmac.new(SECRET, BODY, hashlib.sha256).hexdigest().encode()), "signature_malformed"),
    "hmac: base64": (signed(base64.b64encode(bytes.fromhex(GOOD_HMAC.decode()))), "signature_malformed"),
    "hmac: outside ASCII": (signed("é".encode() * 64), "signature_malformed"),
    "hmac: sent twice": (signed(GOOD_HMAC + b", " + GOOD_HMAC), "signature_malformed"),
    "hmac: newline at the end": (signed(GOOD_HMAC + b"\n"), "signature_malformed"),
    "hmac: another algorithm": (signed(GOOD_HMAC, x_webhook_hmac_algorithm=b"sha1"), "algorithm_unknown"),
    "query: missing": (query(""), "signature_missing"),
    "query: empty secret": (query("secret="), "signature_wrong"),
    "query: wrong secret": (query("secret=other"), "signature_wrong"),
    "query: of another name": (query("token=first"), "signature_malformed"),
    "query: not percent-encoded": (query(f"secret={SECRET.decode()}"), "signature_wrong"),
    "query: something more": (query(samples.zapi_query(SECRET) + "&x=1"), "signature_wrong"),
    "query: given twice": (query("&".join([samples.zapi_query(SECRET)] * 2)), "signature_wrong"),
    "query: endless": (query("secret=" + "a" * 5_000), "signature_malformed"),
    "query: lone surrogate": (query("secret=\ud800"), "signature_wrong"),
    "query: only in a header": (request(QUERY, {receiving.ZAPI_HEADER: SECRET}), "signature_missing"),
    "token: missing": (request(TOKEN), "signature_missing"),
    "token: wrong": (token(b"other"), "signature_wrong"),
    "token: only in the query": (request(TOKEN, query=samples.zapi_query(SECRET)), "signature_missing"),
    "no dialect": (request({}, {receiving.SECRET_HEADER: SECRET}), "dialect_unknown"),
    "unknown dialect": (request({"dialect": "venom"}, {receiving.SECRET_HEADER: SECRET}), "dialect_unknown"),
    "a proof of another dialect": (
        request({"dialect": "waha", "webhook_auth": "header"}, {receiving.SECRET_HEADER: SECRET}),
        "dialect_unknown",
    ),
}


@pytest.mark.req(77)
class TestVerify:
    @pytest.mark.parametrize("scheme", MAKES)
    @pytest.mark.parametrize(("secret", "secret_id"), [(SECRET, "webhook/0"), (SECOND, "webhook/1")])
    def test_each_live_secret_passes_and_is_named(self, scheme: str, secret: bytes, secret_id: str) -> None:
        assert receiving.verify(MAKES[scheme](secret), LIVE) == Verified(secret_id=secret_id)

    @pytest.mark.parametrize("case", REFUSED)
    def test_anything_else_is_refused(self, case: str) -> None:
        refused, reason = REFUSED[case]
        assert receiving.verify(refused, LIVE) == Refused(reason=reason)

    @pytest.mark.parametrize("scheme", MAKES)
    def test_an_expired_secret_is_no_live_one_and_does_not_pass(self, scheme: str) -> None:
        assert receiving.verify(MAKES[scheme](SECRET), LIVE[1:]) == Refused(reason="signature_wrong")

    @pytest.mark.parametrize("scheme", MAKES)
    def test_without_a_usable_secret_nothing_passes(self, scheme: str) -> None:
        empty = ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=b"")
        handshake = ReceivingSecret(id="webhook/1", use=SecretUse.HANDSHAKE, value=SECRET)
        for secrets in ([], [empty], [handshake]):
            assert receiving.verify(MAKES[scheme](SECRET), secrets) == Refused(reason="secret_missing")

    @pytest.mark.parametrize("scheme", MAKES)
    def test_every_secret_is_compared_also_after_a_match(self, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
        compared: list[bytes] = []
        compare = hmac.compare_digest

        def counted(one: bytes, other: bytes) -> bool:
            compared.append(one)
            return compare(one, other)

        monkeypatch.setattr(hmac, "compare_digest", counted)
        assert receiving.verify(MAKES[scheme](SECRET), LIVE) == Verified(secret_id="webhook/0")
        assert len(compared) == len(LIVE)

    def test_the_documented_vector_of_waha(self) -> None:
        body = b'{"event":"message","session":"default","engine":"WEBJS"}'
        given = (
            b"208f8a55dde9e05519e898b10b89bf0d0b3b0fdf11fdbf09b6b90476301b98d8"
            b"097c462b2b17a6ce93b6b47a136cf2e78a33a63f6752c2c1631777076153fa89"
        )
        secret = ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=b"my-secret-key")
        assert receiving.verify(signed(given, body), [secret]) == Verified(secret_id="webhook/0")

    def test_a_token_lasts_as_long_as_its_delivery_is_repeated(self) -> None:
        last_ms = NOW_MS + (600 + receiving.JWT_LEEWAY_SECONDS) * 1000
        assert isinstance(receiving.verify(jwt(GOOD_JWT, last_ms), LIVE), Verified)
        assert isinstance(receiving.verify(jwt(GOOD_JWT, NOW_MS - 300_000), LIVE), Verified)

    def test_two_spellings_of_one_signature_are_not_both_accepted(self) -> None:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        others = [GOOD_JWT[:-1] + letter for letter in alphabet if letter != GOOD_JWT[-1]]
        same = [other for other in others if _signature(other) == _signature(GOOD_JWT)]
        assert same  # two bits of the last letter say nothing
        assert not [other for other in others if isinstance(receiving.verify(jwt(other), LIVE), Verified)]

    def test_without_the_setting_the_dialect_has_its_usual_proof(self) -> None:
        for dialect, headers, text in (
            ("evolution", {receiving.SECRET_HEADER: SECRET}, ""),
            ("waha", {receiving.HMAC_HEADER: GOOD_HMAC}, ""),
            ("zapi", {}, samples.zapi_query(SECRET)),
        ):
            assert isinstance(receiving.verify(request({"dialect": dialect}, headers, query=text), LIVE), Verified)

    @pytest.mark.parametrize("scheme", MAKES)
    def test_no_mutated_request_passes(self, scheme: str) -> None:
        chance = random.Random(20261123)
        good = MAKES[scheme](SECRET)
        accepted = [one for one in (_mutated(good, scheme, chance) for _ in range(10_000)) if _passes(one)]
        assert accepted == []


def _signature(token_text: str) -> bytes:
    return base64.urlsafe_b64decode(token_text.rsplit(".", 1)[1] + "=")


def _passes(one: Request) -> bool:
    return isinstance(receiving.verify(one, LIVE), Verified)


def _mutated(good: Request, scheme: str, chance: random.Random) -> Request:
    """The proof, or what it covers, with one to three bytes changed, removed or added."""
    (name,) = good.headers or ("query",)
    while True:
        proof = bytearray(good.query.encode() if name == "query" else good.headers[name])
        body = bytearray(good.body)
        parts = [proof, body] if scheme == "waha hmac" else [proof]
        for _ in range(chance.randint(1, 3)):
            part = chance.choice(parts)
            place, mutation = chance.randrange(len(part)), chance.randrange(3)
            if mutation == 0:
                part[place] = chance.randrange(256)
            elif mutation == 1:
                del part[place]
            else:
                part.insert(place, chance.randrange(256))
        if bytes(body) != good.body or bytes(proof) != (good.query.encode() if name == "query" else good.headers[name]):
            break
    if name == "query":
        return request(good.settings, query=proof.decode("latin-1"))
    return request(good.settings, {name: bytes(proof)}, body=bytes(body))


class TestRecord:
    def test_no_kept_header_carries_a_credential(self) -> None:
        kept = receiving.RECEIVING.kept_headers
        assert kept == {"content-type", "user-agent", "x-webhook-request-id", "x-webhook-timestamp"}

    def test_what_evolution_never_repeats_is_not_said_for_our_own_trouble(self) -> None:
        statuses = receiving.RECEIVING.answers_for({"dialect": "evolution"}).statuses
        never = {400, 401, 403, 404, 422}
        assert not {statuses["busy"], statuses["unavailable"], statuses["rate_limited"]} & never

    def test_each_dialect_has_its_own_answers(self) -> None:
        sources = {receiving.RECEIVING.answers_for({"dialect": name}).source for name in ("evolution", "waha", "zapi")}
        assert len(sources) == 3
        assert receiving.RECEIVING.answers_for({}) is receiving.EVOLUTION_ANSWERS

    def test_sixteen_megabytes_of_media_fit_as_base64(self) -> None:
        assert 16_000_000 * 4 // 3 < receiving.RECEIVING.max_body_bytes < 32 * 1024 * 1024
