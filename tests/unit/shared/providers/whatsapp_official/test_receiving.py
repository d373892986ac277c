"""Verification and handshake of Meta's webhooks."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import subprocess
import sys
from urllib.parse import quote, urlencode

import pytest

from shared.domain.enums import SecretUse
from shared.providers.contract import HandshakeAnswer, ReceivingSecret, Refused, Request, Verified
from shared.providers.receiving import receiving_of
from shared.providers.whatsapp_official import receiving, samples

SECRET, SECOND = b"first-app-secret", b"second-app-secret"
BODY = b'{"object":"whatsapp_business_account","text":"a\\/b \\u00e9"}'
GOOD = samples.sign(BODY, SECRET).encode()
LIVE = (
    ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=SECRET),
    ReceivingSecret(id="webhook/1", use=SecretUse.SIGN, value=SECOND),
)


def post(header: bytes | None, body: bytes = BODY) -> Request:
    headers = {} if header is None else {receiving.SIGNATURE_HEADER: header}
    return Request(method="POST", query="", headers=headers, body=body)


REFUSED = {
    "missing header": (post(None), "signature_missing"),
    "empty header": (post(b""), "signature_missing"),
    "wrong secret": (post(samples.sign(BODY, b"other").encode()), "signature_wrong"),
    "flipped byte of the body": (post(GOOD, bytes([BODY[0] ^ 1]) + BODY[1:]), "signature_wrong"),
    "re-serialised body": (post(GOOD, json.dumps(json.loads(BODY)).encode()), "signature_wrong"),
    "body with a newline more": (post(GOOD, BODY + b"\n"), "signature_wrong"),
    "empty body": (post(GOOD, b""), "signature_wrong"),
    "no prefix": (post(GOOD.removeprefix(b"sha256=")), "signature_malformed"),
    "prefix of the old header": (post(GOOD.replace(b"sha256=", b"sha1=")), "signature_malformed"),
    "upper-case prefix": (post(GOOD.replace(b"sha256=", b"SHA256=")), "signature_malformed"),
    "upper-case digits": (post(b"sha256=" + GOOD[7:].upper()), "signature_malformed"),
    "one digit less": (post(GOOD[:-1]), "signature_malformed"),
    "one digit more": (post(GOOD + b"0"), "signature_malformed"),
    "newline at the end": (post(GOOD + b"\n"), "signature_malformed"),
    "space before": (post(b" " + GOOD), "signature_malformed"),
    "not hexadecimal": (post(b"sha256=" + b"g" * 64), "signature_malformed"),
    "outside ASCII": (post(b"sha256=" + "é".encode() * 32), "signature_malformed"),
    "digits of another script": (post(b"sha256=" + "٣".encode() * 64), "signature_malformed"),
    "sent twice": (post(GOOD + b", " + GOOD), "signature_malformed"),
    "base64": (post(b"sha256=" + base64.b64encode(hashlib.sha256(BODY).digest())), "signature_malformed"),
    "hash without key": (post(b"sha256=" + hashlib.sha256(BODY).hexdigest().encode()), "signature_wrong"),
    "signed with an empty key": (post(samples.sign(BODY, b"").encode()), "signature_wrong"),
}


@pytest.mark.req(77)
class TestVerify:
    def test_the_right_signature_passes_and_names_its_secret(self) -> None:
        assert receiving.verify(post(GOOD), LIVE) == Verified(secret_id="webhook/0")

    def test_the_second_live_secret_passes(self) -> None:
        request = post(samples.sign(BODY, SECOND).encode())
        assert receiving.verify(request, LIVE) == Verified(secret_id="webhook/1")

    def test_an_empty_body_can_be_signed(self) -> None:
        request = post(samples.sign(b"", SECRET).encode(), b"")
        assert receiving.verify(request, LIVE) == Verified(secret_id="webhook/0")

    def test_a_body_of_three_megabytes_passes(self) -> None:
        body = b"x" * 3_000_000
        assert isinstance(receiving.verify(post(samples.sign(body, SECRET).encode(), body), LIVE), Verified)
        assert len(body) < 4_000_000 <= receiving.RECEIVING.max_body_bytes < 5_000_000

    @pytest.mark.parametrize("case", REFUSED)
    def test_anything_else_is_refused(self, case: str) -> None:
        request, reason = REFUSED[case]
        assert receiving.verify(request, LIVE) == Refused(reason=reason)

    def test_without_a_usable_secret_nothing_passes(self) -> None:
        empty = ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=b"")
        handshake = ReceivingSecret(id="webhook/1", use=SecretUse.HANDSHAKE, value=SECRET)
        assert receiving.verify(post(samples.sign(BODY, b"").encode()), [empty]) == Refused(reason="secret_missing")
        assert receiving.verify(post(GOOD), [handshake]) == Refused(reason="secret_missing")
        assert receiving.verify(post(GOOD), []) == Refused(reason="secret_missing")

    def test_every_secret_is_compared_also_after_a_match(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared: list[bytes] = []
        compare = receiving.hmac.compare_digest
        monkeypatch.setattr(receiving.hmac, "compare_digest", lambda a, b: (compared.append(a), compare(a, b))[1])
        assert receiving.verify(post(GOOD), LIVE) == Verified(secret_id="webhook/0")
        assert len(compared) == len(LIVE)

    def test_no_mutated_request_passes(self) -> None:
        chance = random.Random(20260915)
        accepted = [request for request in (_mutated(chance) for _ in range(10_000)) if _passes(request)]
        assert accepted == []


def _passes(request: Request) -> bool:
    return isinstance(receiving.verify(request, LIVE), Verified)


def _mutated(chance: random.Random) -> Request:
    """A genuine request with one to three bytes changed, removed or added, in the header or in the body."""
    while True:
        parts = [bytearray(GOOD), bytearray(BODY)]
        for _ in range(chance.randint(1, 3)):
            part = chance.choice(parts)
            place = chance.randrange(len(part))
            mutation = chance.randrange(3)
            if mutation == 0:
                part[place] = chance.randrange(256)
            elif mutation == 1:
                del part[place]
            else:
                part.insert(place, chance.randrange(256))
        if (bytes(parts[0]), bytes(parts[1])) != (GOOD, BODY):
            return post(bytes(parts[0]), bytes(parts[1]))


TOKENS = (
    ReceivingSecret(id="webhook/0", use=SecretUse.HANDSHAKE, value="möbel+&=token".encode()),
    ReceivingSecret(id="webhook/1", use=SecretUse.HANDSHAKE, value=b"second-token"),
    ReceivingSecret(id="webhook/2", use=SecretUse.SIGN, value=b"app-secret"),
)
ASKED = {"hub.mode": "subscribe", "hub.verify_token": "second-token", "hub.challenge": "1158201444"}
NO = HandshakeAnswer(status=403, body=b"")


def ask(query: str) -> HandshakeAnswer:
    assert receiving.RECEIVING.handshake is not None
    return receiving.RECEIVING.handshake(Request(method="GET", query=query, headers={}, body=b""), TOKENS)


class TestHandshake:
    @pytest.mark.parametrize("token", ["second-token", "möbel+&=token"])
    def test_a_known_token_gets_the_challenge_back(self, token: str) -> None:
        assert ask(urlencode(ASKED | {"hub.verify_token": token})) == HandshakeAnswer(status=200, body=b"1158201444")

    @pytest.mark.parametrize("challenge", ["1158201444", "a" * 256, "Ab-c_d.e~f+g/h=", "007"])
    def test_the_challenge_is_an_opaque_text(self, challenge: str) -> None:
        assert ask(urlencode(ASKED | {"hub.challenge": challenge})).body == challenge.encode()

    def test_names_may_be_percent_encoded(self) -> None:
        query = "&".join(f"{quote(name, safe='').replace('.', '%2E')}={value}" for name, value in ASKED.items())
        assert ask(query).status == 200

    def test_unknown_parameters_change_nothing(self) -> None:
        assert ask(urlencode(ASKED | {"other": "1"})).status == 200

    @pytest.mark.parametrize(
        "changed",
        [
            {"hub.verify_token": "wrong"},
            {"hub.verify_token": ""},
            {"hub.verify_token": "second-token "},
            {"hub.verify_token": "app-secret"},
            {"hub.mode": "unsubscribe"},
            {"hub.mode": "SUBSCRIBE"},
            {"hub.challenge": ""},
            {"hub.challenge": "a" * 257},
            {"hub.challenge": "<script>alert(1)</script>"},
            {"hub.challenge": "1\r\nSet-Cookie: a=b"},
            {"hub.challenge": "1\n"},
            {"hub.challenge": "1\x00"},
            {"hub.challenge": "é"},
        ],
    )
    def test_anything_else_is_refused_without_a_word(self, changed: dict[str, str]) -> None:
        assert ask(urlencode(ASKED | changed)) == NO

    @pytest.mark.parametrize("name", ASKED)
    def test_a_missing_parameter_is_refused(self, name: str) -> None:
        assert ask(urlencode({key: value for key, value in ASKED.items() if key != name})) == NO

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "&&&",
            "%",
            "hub.mode=%ff",
            "=".join("a" * 5000),
            urlencode(ASKED) + "&hub.challenge=2",
            urlencode(ASKED) + "&hub.verify_token=wrong",
            urlencode(ASKED) + "&x=\ud800",
            urlencode(ASKED) + "".join(f"&{letter}{digit}=1" for letter in string.ascii_letters for digit in range(10)),
        ],
    )
    def test_an_odd_query_is_refused(self, query: str) -> None:
        assert ask(query) == NO

    def test_no_secret_no_handshake(self) -> None:
        request = Request(method="GET", query=urlencode(ASKED | {"hub.verify_token": ""}), headers={}, body=b"")
        empty = ReceivingSecret(id="webhook/0", use=SecretUse.HANDSHAKE, value=b"")
        assert receiving.handshake(request, []) == NO
        assert receiving.handshake(request, [empty]) == NO


class TestRecord:
    def test_every_answer_makes_meta_do_the_right_thing(self) -> None:
        assert dict(receiving.RECEIVING.answers.statuses) == {
            "accepted": 200,
            "refused": 401,
            "unknown_connector": 404,
            "too_large": 413,
            "rate_limited": 429,
            "busy": 503,
            "unavailable": 503,
        }

    def test_no_kept_header_carries_a_credential(self) -> None:
        assert receiving.RECEIVING.kept_headers == {"content-type", "user-agent"}

    def test_it_is_found_by_type(self) -> None:
        assert receiving_of(receiving.RECEIVING.tipo) is receiving.RECEIVING


@pytest.mark.req(90)
def test_the_edge_loads_no_normaliser() -> None:
    code = "import sys, shared.providers.receiving; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "shared.providers.whatsapp_official.receiving" in loaded
    parts = {name.rpartition(".")[2] for name in loaded if name.startswith("shared.providers.")}
    assert not parts & {"normalise", "provider", "registry", "payloads", "config", "sending", "phones"}
    assert not {"pydantic", "phonenumbers", "sqlalchemy"} & set(loaded)
