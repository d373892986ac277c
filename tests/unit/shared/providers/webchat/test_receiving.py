"""Who may post to a webchat: session tokens, signatures between servers, origins, rates. The RFCs' own vectors are used."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.ingest.decide import live
from shared.domain.enums import SecretUse
from shared.domain.items import MessageItem
from shared.providers.contract import ReceivingSecret, Refused, Request, Verified
from shared.providers.receiving import receiving_of
from shared.providers.webchat import receiving, samples, session_tokens, standard_webhooks
from shared.providers.webchat.normalise import normalise

MUTATIONS = int(os.environ.get("CHANNELS_TEST_MUTATIONS", "10000"))
NOW_MS = (samples.TIMESTAMP + 60) * 1000
KEY, SECOND_KEY = b"first-session-key-of-forty-bytes-0000001", b"second-session-key-of-forty-bytes-000001"
BROWSER = {"dialect": "browser", "widget_ids": [samples.WIDGET_ID], "origins": [samples.ORIGIN, "https://shop.example.com"]}
SERVER = {"dialect": "server", "widget_ids": [samples.WIDGET_ID]}
BODY = samples.encode(samples.text_message(message_id="m-1"))
ED = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = ED.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

RSA_CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIBexample0000000000000000000000000000\n-----END CERTIFICATE-----\n"
SSH_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample00000000000000000000000000000000000 example"
JWK = b'{"kty":"OKP","crv":"Ed25519","x":"example0000000000000000000000000000000000000"}'


def secret(value: bytes, number: int = 0, **window: int) -> ReceivingSecret:
    return ReceivingSecret(id=f"webhook/{number}", use=SecretUse.SIGN, value=value, **window)


LIVE = (secret(KEY), secret(SECOND_KEY, 1), secret(PEM, 2))


def token(key: bytes = KEY, head: dict[str, Any] | None = None, **said: Any) -> bytes:
    return samples.session_token({**samples.claims(), **said}, key, head).encode()


def eddsa(**said: Any) -> bytes:
    signed = samples.session_token({**samples.claims(), **said}, b"", {"alg": "EdDSA"}).rpartition(".")[0].encode()
    return signed + b"." + base64.urlsafe_b64encode(ED.sign(signed)).rstrip(b"=")


GOOD = b"Bearer " + token()


def post(
    authorization: bytes | None = GOOD, *, origin: bytes | None = samples.ORIGIN.encode(), body: bytes = BODY, at_ms: int = NOW_MS
) -> Request:
    headers = {"authorization": authorization, "origin": origin}
    given = {name: value for name, value in headers.items() if value is not None}
    return Request(method="POST", query="", headers=given, body=body, received_at_ms=at_ms, settings=BROWSER)


def named(**changed: Any) -> bytes:
    return samples.encode({**samples.text_message(message_id="m-1"), **changed})


def mixed(claims_of: bytes | None = None, signature_of: bytes | None = None) -> bytes:
    head, said, signature = token().split(b".")
    said = said if claims_of is None else claims_of.split(b".")[1]
    signature = signature if signature_of is None else signature_of.split(b".")[2]
    return b"Bearer " + b".".join((head, said, signature))


EVIL = "https://evil.example"
T = samples.TIMESTAMP
REFUSED: dict[str, tuple[Request, str]] = {
    "missing header": (post(None), "signature_missing"),
    "empty header": (post(b""), "signature_missing"),
    "no prefix": (post(token()), "signature_malformed"),
    "prefix in lower case": (post(b"bearer " + token()), "signature_malformed"),
    "another scheme": (post(b"Basic " + token()), "signature_malformed"),
    "two spaces": (post(b"Bearer  " + token()), "signature_malformed"),
    "sent twice": (post(GOOD + b", " + GOOD), "signature_malformed"),
    "newline at the end": (post(GOOD + b"\n"), "signature_malformed"),
    "padding": (post(GOOD + b"="), "signature_malformed"),
    "two parts": (post(GOOD.rpartition(b".")[0]), "signature_malformed"),
    "empty signature": (post(GOOD.rpartition(b".")[0] + b"."), "signature_malformed"),
    "too long": (post(b"Bearer " + token(iss="x" * 4096)), "signature_malformed"),
    "outside ASCII": (post("Bearer é.é.é".encode()), "signature_malformed"),
    "wrong secret": (post(b"Bearer " + token(b"another-session-key-of-forty-bytes-00001")), "signature_wrong"),
    "empty secret": (post(b"Bearer " + token(b"")), "signature_wrong"),
    "a letter of the signature": (post(GOOD[:-2] + b"A" + GOOD[-1:]), "signature_wrong"),
    "claims of another token": (post(mixed(claims_of=token(sub="vis_2"))), "signature_wrong"),
    "algorithm none": (post(b"Bearer " + token(head={"alg": "none"})), "algorithm_refused"),
    "algorithm None": (post(b"Bearer " + token(head={"alg": "None"})), "algorithm_refused"),
    "HS384": (post(b"Bearer " + token(head={"alg": "HS384"})), "algorithm_refused"),
    "RS256": (post(b"Bearer " + token(head={"alg": "RS256"})), "algorithm_refused"),
    "no algorithm": (post(b"Bearer " + token(head={"typ": "JWT"})), "algorithm_refused"),
    "critical extension": (post(b"Bearer " + token(head={"alg": "HS256", "crit": ["exp"]})), "algorithm_refused"),
    "the public key as a secret": (post(b"Bearer " + token(PEM)), "signature_wrong"),
    "EdDSA announced, HMAC made": (post(b"Bearer " + token(KEY, {"alg": "EdDSA"})), "signature_wrong"),
    "HS256 announced, EdDSA made": (post(mixed(signature_of=eddsa())), "signature_wrong"),
    "ended": (post(at_ms=(T + 3600) * 1000), "token_outside_its_time"),
    "not yet issued": (post(at_ms=(T - 61) * 1000), "token_outside_its_time"),
    "no clock": (post(at_ms=0), "token_outside_its_time"),
    "for more than a day": (post(b"Bearer " + token(exp=T + 86_401)), "token_outside_its_time"),
    "ended before it began": (post(b"Bearer " + token(exp=T - 1)), "token_outside_its_time"),
    "no end": (post(b"Bearer " + token(exp=None)), "claims_malformed"),
    "end as text": (post(b"Bearer " + token(exp="never")), "claims_malformed"),
    "several audiences": (post(b"Bearer " + token(aud=[samples.WIDGET_ID])), "claims_malformed"),
    "another widget": (post(b"Bearer " + token(aud="wgt_2")), "token_of_another_widget"),
    "another issuer": (post(b"Bearer " + token(iss="other")), "token_of_another_widget"),
    "no origin": (post(origin=None), "origin_refused"),
    "empty origin": (post(origin=b""), "origin_refused"),
    "null origin": (post(origin=b"null"), "origin_refused"),
    "origin not listed": (
        post(b"Bearer " + token(origin="https://evil.example"), origin=b"https://evil.example"),
        "origin_refused",
    ),
    "another listed origin": (post(origin=b"https://shop.example.com"), "origin_refused"),
    "a longer origin": (post(origin=samples.ORIGIN.encode() + b".evil.example"), "origin_refused"),
    "another visitor's body": (post(body=named(visitor_id="vis_2")), "body_of_another_session"),
    "another session's body": (post(body=named(session_id="ses_2")), "body_of_another_session"),
    "another widget's body": (post(body=named(widget_id="wgt_2")), "body_of_another_session"),
    "somebody signed in": (post(body=named(external_user_id="c-1")), "body_of_another_session"),
    "nobody signed in": (post(b"Bearer " + token(external_user_id="c-1")), "body_of_another_session"),
    "empty body": (post(body=b""), "body_of_another_session"),
    "body that is no JSON": (post(body=b"\xff"), "body_of_another_session"),
    "two visitors in one body": (post(body=BODY[:-1] + b',"visitor_id":"vis_2"}'), "body_of_another_session"),
}


@pytest.mark.req(77)
class TestSessions:
    def test_the_right_token_passes_and_names_its_secret(self) -> None:
        assert receiving.verify(post(), LIVE) == Verified(secret_id="webhook/0")

    def test_the_second_live_secret_and_a_public_key_pass(self) -> None:
        assert receiving.verify(post(b"Bearer " + token(SECOND_KEY)), LIVE) == Verified(secret_id="webhook/1")
        assert receiving.verify(post(b"Bearer " + eddsa()), LIVE) == Verified(secret_id="webhook/2")

    def test_an_expired_secret_does_not_count(self) -> None:
        secrets = [secret(KEY, not_after_ms=NOW_MS - 1), secret(SECOND_KEY, 1)]
        assert receiving.verify(post(), live(secrets, SecretUse.SIGN, NOW_MS)) == Refused(reason="signature_wrong")
        assert receiving.verify(post(), live(secrets, SecretUse.SIGN, NOW_MS - 1)) == Verified(secret_id="webhook/0")

    @pytest.mark.parametrize("case", REFUSED)
    def test_anything_else_is_refused(self, case: str) -> None:
        request, reason = REFUSED[case]
        assert receiving.verify(request, LIVE) == Refused(reason=reason)

    def test_who_is_signed_in_passes_if_both_say_so(self) -> None:
        request = post(b"Bearer " + token(external_user_id="c-1"), body=named(external_user_id="c-1"))
        assert isinstance(receiving.verify(request, LIVE), Verified)

    def test_another_issuer_may_be_set(self) -> None:
        settings = {**BROWSER, "issuer": "https://id.example.com"}
        given = {"authorization": b"Bearer " + token(iss="https://id.example.com"), "origin": samples.ORIGIN.encode()}
        request = Request(method="POST", query="", headers=given, body=BODY, received_at_ms=NOW_MS, settings=settings)
        assert isinstance(receiving.verify(request, LIVE), Verified)

    def test_without_a_usable_secret_nothing_passes(self) -> None:
        handshake = ReceivingSecret(id="w/0", use=SecretUse.HANDSHAKE, value=KEY)
        for others in ([], [secret(b"")], [secret(b"too-short")], [handshake]):
            assert receiving.verify(post(), others) == Refused(reason="secret_missing")

    def test_a_public_key_of_another_kind_proves_nothing(self) -> None:
        rsa = generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        broken = PEM.replace(b"MCow", b"MCox")
        for pem in (rsa, broken, b"-----BEGIN PUBLIC KEY-----"):
            assert receiving.verify(post(b"Bearer " + eddsa()), [secret(pem)]) == Refused(reason="signature_wrong")

    @pytest.mark.parametrize("public", [b"\n" + PEM, RSA_CERTIFICATE, SSH_KEY, JWK], ids=["blank", "certificate", "ssh", "jwk"])
    def test_a_public_key_is_never_taken_for_a_shared_secret(self, public: bytes) -> None:
        forged = post(b"Bearer " + token(public))
        assert isinstance(receiving.verify(forged, [secret(public)]), Refused)
        assert isinstance(receiving.verify(forged, [secret(public), secret(KEY, 1)]), Refused)

    def test_blanks_before_a_public_key_do_not_matter(self) -> None:
        assert isinstance(receiving.verify(post(b"Bearer " + eddsa()), [secret(b"\r\n" + PEM)]), Verified)

    def test_a_token_does_not_hold_before_it_says(self) -> None:
        """RFC 7519 §4.1.5, with the leeway of the other times."""
        assert isinstance(receiving.verify(post(b"Bearer " + token(nbf=T + 119)), LIVE), Verified)
        assert receiving.verify(post(b"Bearer " + token(nbf=T + 121)), LIVE) == Refused(reason="token_outside_its_time")
        assert receiving.verify(post(b"Bearer " + token(nbf="soon")), LIVE) == Refused(reason="claims_malformed")

    def test_half_an_emoji_does_not_cost_the_message(self) -> None:
        """`JSON.stringify` writes what a text field cut in two as an escape that msgspec refuses, wherever it stands."""
        body = samples.encode(samples.text_message(message_id="m-1", text="cut: @")).replace(b"@", b"\\ud83d")
        assert isinstance(receiving.verify(post(body=body), LIVE), Verified)
        other = body.replace(samples.VISITOR_ID.encode(), b"vis_another1")
        assert receiving.verify(post(body=other), LIVE) == Refused(reason="body_of_another_session")

    @pytest.mark.parametrize(
        "second",
        [b'"visitor_id":"vis_another1"', b'"visitor\\u005fid":"vis_another1"', b'"x":"\\ud83d","visitor_id":"vis_another1"'],
    )
    def test_a_name_that_is_said_twice_is_read_as_the_normaliser_reads_it(self, second: bytes) -> None:
        body = BODY.removesuffix(b"}") + b"," + second + b"}"
        (item,) = normalise(body, {}, BROWSER)
        assert isinstance(item, MessageItem)
        assert item.chat_scope == "vis_another1"
        assert receiving.verify(post(body=body), LIVE) == Refused(reason="body_of_another_session")

    def test_every_secret_is_compared_also_after_a_match(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared, compare = [], session_tokens.hmac.compare_digest
        monkeypatch.setattr(session_tokens.hmac, "compare_digest", lambda a, b: (compared.append(a), compare(a, b))[1])
        assert isinstance(receiving.verify(post(), LIVE), Verified)
        assert len(compared) == 2, "both keys of the token's algorithm"

    def test_the_vector_of_rfc_7515_is_proven(self) -> None:
        """Appendix A.1: HS256; its head and claims are none of ours, so only the signature is looked at."""
        key = base64.urlsafe_b64decode(
            b"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
        )
        signed = (
            b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
            b".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        )
        vector = signed + b".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        assert session_tokens.open_token(vector, [secret(key)]) == Refused(reason="claims_malformed")
        assert session_tokens.open_token(vector[:-1] + b"l", [secret(key)]) == Refused(reason="signature_wrong")

    @pytest.mark.parametrize("make", [token, eddsa], ids=["HS256", "EdDSA"])
    def test_no_mutated_token_passes(self, make: Callable[[], bytes]) -> None:
        good, chance, accepted = b"Bearer " + make(), random.Random(20260917), []
        for _ in range(MUTATIONS if make is token else MUTATIONS // 10):
            header = _mutated(good, chance)
            if header != good and isinstance(receiving.verify(post(header), LIVE), Verified):
                accepted.append(header)
        assert accepted == []

    @pytest.mark.parametrize("make", [token, eddsa], ids=["HS256", "EdDSA"])
    def test_a_signature_has_one_spelling(self, make: Callable[[], bytes]) -> None:
        """The last letter of base64 has bits that say nothing; a decoder that ignores them takes several spellings."""
        good = make()
        letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        passing = [
            letter
            for letter in letters
            if isinstance(receiving.verify(post(b"Bearer " + good[:-1] + bytes([letter])), LIVE), Verified)
        ]
        assert passing == [good[-1]]


def _mutated(data: bytes, chance: random.Random) -> bytes:
    value = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(value))
        match chance.randrange(5):
            case 0:
                value[at] ^= 1 << chance.randrange(8)
            case 1:
                del value[at]
            case 2:
                value.insert(at, chance.randrange(256))
            case 3:
                value[at] = chance.choice(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= ,")
            case _:
                value[at:at] = value[max(0, at - 8) : at]
    return bytes(value)


WHSEC = "whsec_" + base64.b64encode(bytes(range(24))).decode()
WHSEC_2 = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
SIGNING = (secret(WHSEC.encode()), secret(WHSEC_2.encode(), 1))


def signed(secret: str = WHSEC, body: bytes = BODY, at_ms: int = NOW_MS, **headers: str | None) -> Request:
    given = {
        **samples.signed_headers(body, secret, message_id="msg_1"),
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    kept = {name: value.encode("latin-1") for name, value in given.items() if value is not None}
    return Request(method="POST", query="", headers=kept, body=body, received_at_ms=at_ms, settings=SERVER)


def body_changed(body: bytes) -> Request:
    genuine = signed()
    return Request(method="POST", query="", headers=genuine.headers, body=body, received_at_ms=NOW_MS, settings=SERVER)


SIGNATURE = samples.signed_headers(BODY, WHSEC, message_id="msg_1")["webhook-signature"]
REFUSED_SIGNED: dict[str, tuple[Request, str]] = {
    "no signature": (signed(webhook_signature=None), "signature_missing"),
    "empty signature": (signed(webhook_signature=""), "signature_missing"),
    "no id": (signed(webhook_id=None), "signature_missing"),
    "no timestamp": (signed(webhook_timestamp=None), "signature_missing"),
    "wrong secret": (signed("whsec_" + base64.b64encode(b"x" * 24).decode()), "signature_wrong"),
    "another id": (signed(webhook_id="msg_2"), "signature_wrong"),
    "another timestamp": (signed(webhook_timestamp=str(T + 1)), "signature_wrong"),
    "flipped byte of the body": (body_changed(bytes([BODY[0] ^ 1]) + BODY[1:]), "signature_wrong"),
    "re-serialised body": (body_changed(json.dumps(json.loads(BODY), indent=1).encode()), "signature_wrong"),
    "body with a newline more": (body_changed(BODY + b"\n"), "signature_wrong"),
    "empty body": (body_changed(b""), "signature_wrong"),
    "no prefix": (signed(webhook_signature=SIGNATURE[3:]), "signature_malformed"),
    "another version": (signed(webhook_signature=SIGNATURE.replace("v1,", "v2,")), "signature_wrong"),
    "the asymmetric version": (signed(webhook_signature=SIGNATURE.replace("v1,", "v1a,")), "signature_wrong"),
    "sent twice": (signed(webhook_signature=f"{SIGNATURE}, {SIGNATURE}"), "signature_malformed"),
    "eleven signatures": (signed(webhook_signature=" ".join([SIGNATURE] * 11)), "signature_malformed"),
    "without padding": (signed(webhook_signature=SIGNATURE.rstrip("=") + "A"), "signature_wrong"),
    "hexadecimal": (signed(webhook_signature="v1," + "0" * 64), "signature_wrong"),
    "timestamp with a sign": (signed(webhook_timestamp=f"+{T}"), "signature_malformed"),
    "timestamp in milliseconds": (signed(webhook_timestamp=f"{T}000"), "signature_malformed"),
    "id with a dot and a number": (signed(webhook_id=f"msg_1.{T}"), "signature_wrong"),
    "id outside ASCII": (signed(webhook_id="é"), "signature_malformed"),
    "five minutes and a second old": (signed(at_ms=(T + 301) * 1000), "timestamp_outside"),
    "five minutes and a second ahead": (signed(at_ms=(T - 301) * 1000), "timestamp_outside"),
    "no clock": (signed(at_ms=0), "timestamp_outside"),
}


@pytest.mark.req(77)
class TestServers:
    @pytest.mark.parametrize("seconds", [-300, 0, 300])
    def test_the_right_signature_passes_within_five_minutes(self, seconds: int) -> None:
        assert receiving.verify(signed(at_ms=(T + seconds) * 1000), SIGNING) == Verified(secret_id="webhook/0")

    def test_the_second_live_secret_passes_and_an_expired_one_does_not(self) -> None:
        assert receiving.verify(signed(WHSEC_2), SIGNING) == Verified(secret_id="webhook/1")
        secrets = [secret(WHSEC.encode(), not_after_ms=NOW_MS - 1), SIGNING[1]]
        assert receiving.verify(signed(), live(secrets, SecretUse.SIGN, NOW_MS)) == Refused(reason="signature_wrong")

    def test_one_of_several_signatures_is_enough(self) -> None:
        other = "v1," + base64.b64encode(b"x" * 32).decode()
        for given in (f"{other} {SIGNATURE}", f"{SIGNATURE} {other}", f"v1a,{'A' * 86}== {SIGNATURE}"):
            assert receiving.verify(signed(webhook_signature=given), SIGNING) == Verified(secret_id="webhook/0")

    @pytest.mark.parametrize("case", REFUSED_SIGNED)
    def test_anything_else_is_refused(self, case: str) -> None:
        request, reason = REFUSED_SIGNED[case]
        assert receiving.verify(request, SIGNING) == Refused(reason=reason)

    def test_the_specifications_vector_is_proven(self) -> None:
        headers = {
            "webhook-id": b"msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": b"1614265330",
            "webhook-signature": b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }
        known = [secret(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
        verdict = standard_webhooks.verify_signed(headers, b'{"test": 2432232314}', 1_614_265_330_000, known)
        assert verdict == Verified(secret_id="webhook/0")

    @pytest.mark.parametrize("value", [b"", b"plain", b"whsec_", b"whsec_AAAA", b"whsec_!", b"whsec_" + b"A" * 88])
    def test_a_secret_of_another_form_is_none(self, value: bytes) -> None:
        assert receiving.verify(signed(), [secret(value)]) == Refused(reason="secret_missing")

    def test_a_session_token_does_not_open_a_servers_connector_nor_the_other_way(self) -> None:
        browser = post()
        crossed = Request(method="POST", query="", headers=browser.headers, body=BODY, received_at_ms=NOW_MS, settings=SERVER)
        assert receiving.verify(crossed, [*LIVE, *SIGNING]) == Refused(reason="signature_missing")
        server = signed()
        crossed = Request(method="POST", query="", headers=server.headers, body=BODY, received_at_ms=NOW_MS, settings=BROWSER)
        assert receiving.verify(crossed, [*LIVE, *SIGNING]) == Refused(reason="signature_missing")

    def test_no_mutated_request_passes(self) -> None:
        genuine, chance, accepted = signed(), random.Random(20260918), []
        for _ in range(MUTATIONS):
            headers, body = dict(genuine.headers), BODY
            part = chance.choice([*headers, "body"])
            if part == "body":
                body = _mutated(BODY, chance)
            else:
                headers[part] = _mutated(headers[part], chance)
            same = headers == genuine.headers and body == BODY
            request = Request(method="POST", query="", headers=headers, body=body, received_at_ms=NOW_MS, settings=SERVER)
            if not same and isinstance(receiving.verify(request, SIGNING), Verified):
                accepted.append(request)
        assert accepted == []


class TestAnswers:
    def ask(self, method: str = "OPTIONS", origin: bytes | None = samples.ORIGIN.encode(), **changed: Any) -> Any:
        headers = {"origin": origin, "access-control-request-method": changed.pop("asked", b"POST")}
        given = {name: value for name, value in headers.items() if value is not None}
        return Request(method=method, query="", headers=given, body=b"", settings=changed.pop("settings", BROWSER))

    def test_a_listed_page_may_post(self) -> None:
        answer = receiving.handshake(self.ask(), ())
        assert (answer.status, answer.body) == (200, b"")
        assert dict(answer.headers)["Access-Control-Allow-Headers"] == "authorization, content-type"
        assert ("Access-Control-Allow-Origin", samples.ORIGIN) in receiving.answer_headers(self.ask())

    @pytest.mark.parametrize("origin", [None, b"", b"null", b"https://evil.example", b"https://www.example.com\r\nx: y", b"\xff"])
    def test_no_other_page_may(self, origin: bytes | None) -> None:
        assert receiving.handshake(self.ask(origin=origin), ()).status == 403
        assert receiving.answer_headers(self.ask(origin=origin)) == (("Vary", "Origin"),)

    def test_nothing_else_is_asked_for(self) -> None:
        assert receiving.handshake(self.ask("GET"), ()).status == 405
        assert receiving.handshake(self.ask(asked=b"DELETE"), ()).status == 403
        assert receiving.handshake(self.ask(settings=SERVER), ()).status == 403
        assert receiving.answer_headers(self.ask(settings=SERVER)) == ()

    def test_a_bucket_belongs_to_a_token(self) -> None:
        _, limit = receiving.RECEIVING.rate_limits
        keys = {limit.key(post(b"Bearer " + token(sid=f"s{number}"))) for number in range(5)}
        assert len(keys) == 5
        assert None not in keys
        assert limit.key(post()) == limit.key(post(body=b"other"))
        assert limit.key(post(None)) is None
        assert limit.key(signed()) is None
        assert token().decode() not in str(limit.key(post()))

    def test_another_to_an_address_and_one_to_a_proven_visitor(self) -> None:
        by_address, by_token = receiving.RECEIVING.rate_limits
        (by_visitor,) = receiving.RECEIVING.verified_rate_limits
        known, server = post(), signed()
        known.client_address = server.client_address = "198.51.100.7"
        assert (by_address.key(known), by_address.key(post())) == ("address:198.51.100.7", None)
        assert by_visitor.key(known) == f"visitor:{samples.VISITOR_ID}"
        renewed = post(b"Bearer " + token(iat=T + 1))
        assert by_token.key(renewed) != by_token.key(known)
        assert by_visitor.key(renewed) == by_visitor.key(known)
        assert [limit.key(server) for limit in (by_address, by_token, by_visitor)] == [None] * 3
        assert by_address.burst > by_visitor.burst, "an office has one address"

    def test_it_is_found_by_type_and_a_dialect_has_its_own_answers(self) -> None:
        assert receiving_of(receiving.RECEIVING.tipo) is receiving.RECEIVING
        assert receiving.RECEIVING.answers_for(SERVER) is receiving.SERVER_ANSWERS
        assert receiving.RECEIVING.answers_for(BROWSER) is receiving.ANSWERS
