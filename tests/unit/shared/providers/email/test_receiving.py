"""What the kit's table of verification does not ask: the particular ways in which these schemes could be tricked."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from shared.domain.enums import SecretUse
from shared.providers.contract import ReceivingSecret, Refused, Request, Undecided, Verified
from shared.providers.email.normalise import normalise
from shared.providers.email.receiving import DIALECT_ANSWERS, RECEIVING, SCHEMES, verify
from shared.providers.email.signed_fields import MAX_PARTS, mailgun_fields
from shared.providers.email.sns import is_certificate_url
from tests.certificate_authority import TOPIC, URL, Authority, SnsSigner

NOW = 1_790_000_000
KEY = b"a signing key of the tests"
TOKEN = "0123456789" * 5
FORM = b"application/x-www-form-urlencoded"


def secret(value: bytes = KEY, name: str = "webhook/0") -> ReceivingSecret:
    return ReceivingSecret(id=name, use=SecretUse.SIGN, value=value)


def asked(body: bytes, headers: Mapping[str, bytes], **more: Any) -> Request:
    settings = {"dialect": "mailgun", **more.pop("settings", {})}
    return Request(
        **{"method": "POST", "query": "", "received_at_ms": NOW * 1000, "settings": settings, **more}, headers=headers, body=body
    )


def triple(timestamp: str = str(NOW), token: str = TOKEN, key: bytes = KEY) -> list[tuple[str, str]]:
    signature = hmac.new(key, f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    return [("timestamp", timestamp), ("token", token), ("signature", signature)]


def reason(request: Request, *secrets: ReceivingSecret) -> str:
    verdict = verify(request, secrets or (secret(),))
    return "verified" if isinstance(verdict, Verified) else verdict.reason


def multipart(fields: list[tuple[str, str]], boundary: str = "b") -> bytes:
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
    return ("".join(parts) + f"--{boundary}--\r\n").encode()


@pytest.mark.req(77)
class TestMailgun:
    def test_each_form_of_body_is_read(self) -> None:
        forms = {
            FORM: urlencode(triple()).encode(),
            b"multipart/form-data; boundary=b": multipart(triple()),
            b'Multipart/Form-Data; charset=utf-8; boundary="b"': multipart(triple()),
            b"application/json": json.dumps({"signature": dict(triple()), "event-data": {}}).encode(),
        }
        for kind, body in forms.items():
            assert reason(asked(body, {"content-type": kind})) == "verified", kind

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ([], "signature_missing"),
            (triple()[:2], "signature_missing"),
            ([*triple(), ("token", TOKEN)], "field_repeated"),
            ([*triple(), ("signature", "0" * 64)], "field_repeated"),
            (triple(timestamp=str(NOW - 10 * 3600)), "timestamp_old"),
            (triple(timestamp=str(NOW + 3600)), "timestamp_old"),
            (triple(timestamp=str(NOW)[:-1], token=str(NOW)[-1] + TOKEN), "signature_malformed"),
            (triple(timestamp=str(NOW) + TOKEN[0], token=TOKEN[1:]), "signature_malformed"),
            (triple(timestamp=f" {NOW}"), "signature_malformed"),
            (triple(timestamp="१७९०००००००"), "signature_malformed"),
            (triple(key=b"another"), "signature_wrong"),
            (triple(key=b""), "signature_wrong"),
            ([*triple()[:2], ("signature", triple()[2][1].upper())], "signature_malformed"),
            ([*triple()[:2], ("signature", "")], "signature_malformed"),
        ],
    )
    def test_the_table_of_refusals(self, fields: list[tuple[str, str]], expected: str) -> None:
        assert reason(asked(urlencode(fields).encode(), {"content-type": FORM})) == expected
        assert reason(asked(multipart(fields), {"content-type": b"multipart/form-data; boundary=b"})) == expected

    def test_a_repeat_within_eight_hours_is_still_accepted(self) -> None:
        body = urlencode(triple()).encode()
        assert reason(asked(body, {"content-type": FORM}, received_at_ms=(NOW + 8 * 3600) * 1000)) == "verified"

    def test_a_second_live_secret_counts_and_an_empty_one_never(self) -> None:
        request = asked(urlencode(triple()).encode(), {"content-type": FORM})
        assert verify(request, [secret(b"old", "old"), secret(KEY, "new")]) == Verified(secret_id="new")
        forged = asked(urlencode(triple(key=b"")).encode(), {"content-type": FORM})
        assert reason(forged, secret(b"")) == "secret_missing"
        assert verify(request, []) == Refused(reason="secret_missing")

    def test_other_bodies_are_refused_quickly(self) -> None:
        for kind, body in (
            (b"", b"x"),
            (b"text/plain", urlencode(triple()).encode()),
            (b"multipart/form-data", multipart(triple())),
            (b"application/json", b"[" * 100_000),
            (b"application/json", b'{"a":' * 100_000),
            (b"application/json", b'{"signature": "x"}'),
            (b"application/json", b" " * 2_000_000),
        ):
            assert reason(asked(body, {"content-type": kind})) in ("body_malformed", "signature_missing")
        many = multipart([("x", "y")] * (MAX_PARTS + 10) + triple())
        assert reason(asked(many, {"content-type": b"multipart/form-data; boundary=b"})) == "signature_missing"


PRIVATE = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
SPKI = PRIVATE.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
PUBLIC = base64.b64encode(SPKI)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def sendgrid(body: bytes, timestamp: int = NOW, **more: Any) -> Request:
    signature = PRIVATE.sign(str(timestamp).encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {
        "x-twilio-email-event-webhook-signature": base64.b64encode(signature),
        "x-twilio-email-event-webhook-timestamp": str(timestamp).encode(),
        **more.pop("headers", {}),
    }
    return asked(body, headers, settings={"dialect": "sendgrid", **more.pop("settings", {})}, **more)


@pytest.mark.req(77)
class TestSendgrid:
    def test_the_key_may_come_as_sendgrid_shows_it_or_as_pem(self) -> None:
        pem = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        for value in (PUBLIC, pem):
            assert reason(sendgrid(b"\xff\x00 any bytes"), secret(value)) == "verified"

    def test_what_is_no_key_of_that_curve_proves_nothing(self) -> None:
        other = ec.generate_private_key(ec.SECP384R1()).public_key()
        der = other.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        for value in (b"x", b"AAAA", base64.b64encode(der), base64.b64encode(b"\x30\x00"), PUBLIC[:-4]):
            assert reason(sendgrid(b"{}"), secret(value)) == "signature_wrong"
        assert reason(sendgrid(b"{}"), secret(b"x"), secret(PUBLIC)) == "verified"

    def test_old_and_future_timestamps(self) -> None:
        assert reason(sendgrid(b"{}", NOW - 3 * 86_400), secret(PUBLIC)) == "verified"
        assert reason(sendgrid(b"{}", NOW - 4 * 86_400), secret(PUBLIC)) == "timestamp_old"
        assert reason(sendgrid(b"{}", NOW + 3_600), secret(PUBLIC)) == "timestamp_old"

    def test_a_signature_has_one_spelling_of_base64(self) -> None:
        request = sendgrid(b"{}")
        good = request.headers["x-twilio-email-event-webhook-signature"]
        for other in (good + b"\n", good[:10] + b" " + good[10:], good.rstrip(b"=") + b"A" * 4, good.replace(b"=", b"")):
            headers = {**request.headers, "x-twilio-email-event-webhook-signature": other}
            if other != good:
                assert reason(asked(b"{}", headers, settings={"dialect": "sendgrid"}), secret(PUBLIC)) in (
                    "signature_malformed",
                    "signature_wrong",
                )

    def test_the_twin_of_a_signature_proves_only_the_same_bytes(self) -> None:
        """ECDSA signatures have a twin (r, n-s): it is as good, for this body and no other."""
        request = sendgrid(b"{}")
        r, s = decode_dss_signature(base64.b64decode(request.headers["x-twilio-email-event-webhook-signature"]))
        twin = base64.b64encode(encode_dss_signature(r, ORDER - s))
        headers = {**request.headers, "x-twilio-email-event-webhook-signature": twin}
        assert reason(asked(b"{ }", headers, settings={"dialect": "sendgrid"}), secret(PUBLIC)) == "signature_wrong"

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("key=a+signing+key+of+the+tests", "verified"),
            ("x=1&key=a%20signing%20key%20of%20the%20tests", "verified"),
            ("", "credential_missing"),
            ("key=", "credential_missing"),
            ("key=x", "signature_wrong"),
            ("key=a+signing+key+of+the+tests&key=x", "credential_missing"),
            ("key=%FF", "credential_malformed"),
            ("key=" + "x" * 2_000, "credential_malformed"),
        ],
    )
    def test_a_secret_in_the_address(self, query: str, expected: str) -> None:
        settings = {"dialect": "sendgrid", "webhook_auth": "url"}
        assert reason(asked(b"", {}, query=query, settings=settings)) == expected


@pytest.mark.req(77)
class TestCredentials:
    PAIR = b"channels:p\xc3\xa4ss"

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            (b"Basic " + base64.b64encode(PAIR), "verified"),
            (b"basic " + base64.b64encode(PAIR), "signature_wrong"),
            (b"Basic  " + base64.b64encode(PAIR), "signature_wrong"),
            (b"Basic " + base64.b64encode(PAIR).rstrip(b"="), "signature_wrong"),
            (b"Basic " + base64.b64encode(b"channels:other"), "signature_wrong"),
            (b"Bearer " + base64.b64encode(PAIR), "signature_wrong"),
            (b"Basic " + b"A" * 2_000, "credential_malformed"),
            (b"\xff\xfe", "signature_wrong"),
            (b"", "credential_missing"),
        ],
    )
    def test_basic(self, header: bytes, expected: str) -> None:
        request = asked(b"{}", {"authorization": header}, settings={"dialect": "postmark"})
        assert reason(request, secret(self.PAIR)) == expected

    def test_a_header_of_ones_own(self) -> None:
        settings = {"dialect": "postmark", "webhook_auth": "header"}
        assert reason(asked(b"{}", {"x-channels-key": KEY}, settings=settings)) == "verified"
        assert reason(asked(b"{}", {"x-channels-key": KEY[:-1]}, settings=settings)) == "signature_wrong"
        assert reason(asked(b"{}", {}, settings=settings)) == "credential_missing"


@pytest.fixture(scope="module")
def signer() -> SnsSigner:
    return SnsSigner(Authority())


@pytest.mark.req(77)
class TestSns:
    CREDENTIAL = b"channels:secret"
    HEADERS: Mapping[str, bytes] = {
        "authorization": b"Basic " + base64.b64encode(CREDENTIAL),
        "x-amz-sns-message-type": b"Notification",
    }

    def request(self, body: bytes, pem: str | None, **more: Any) -> Request:
        certificates = {} if pem is None else {URL: pem.encode()}
        settings = {"dialect": "ses", "topic_arns": [TOPIC], **more.pop("settings", {})}
        now = int(time.time() * 1000)
        return asked(body, self.HEADERS, **{"settings": settings, "certificates": certificates, "received_at_ms": now, **more})

    def test_a_certificate_that_is_not_there_is_undecided_and_an_ended_one_too(self, signer: SnsSigner) -> None:
        body = signer.notification({"eventType": "Send"}, "m-1")
        proof = secret(self.CREDENTIAL)
        missing = verify(self.request(body, None), [proof])
        assert missing == Undecided(reason="certificate_missing", cause="certificate_missing", detail=URL)
        ended = verify(self.request(body, signer.pem(days=(-30, -1))), [proof])
        assert ended == Undecided(reason="certificate_expired", cause="certificate_expired", detail=URL)
        assert reason(self.request(body, signer.pem()), proof) == "verified"
        assert reason(self.request(body, SnsSigner(signer.authority).pem()), proof) == "signature_wrong"
        assert reason(self.request(body, "no certificate"), proof) == "certificate_malformed"

    def test_nobody_gets_that_far_without_credential_topic_and_host(self, signer: SnsSigner) -> None:
        body = signer.notification({"eventType": "Send"}, "m-1")
        for request in (
            self.request(body, None, settings={"topic_arns": []}),
            self.request(body, None, settings={"topic_arns": [TOPIC + "x"]}),
            self.request(body.replace(b"https://sns.sa-east-1.", b"http://sns.sa-east-1."), None),
            self.request(body.replace(b"sns.sa-east-1.amazonaws", b"sns.us-east-1.amazonaws"), None),
            self.request(body.replace(b'"SignatureVersion": "2"', b'"SignatureVersion": "3"'), None),
            self.request(body.replace(b'"Type": "Notification"', b'"Type": "SubscriptionConfirmation"'), None),
        ):
            assert isinstance(verify(request, [secret(self.CREDENTIAL)]), Refused)
        assert isinstance(verify(self.request(body, None), [secret(b"channels:other")]), Refused)
        assert isinstance(verify(self.request(body, None), []), Refused)

    def test_an_empty_setting_does_not_open_the_door(self, signer: SnsSigner) -> None:
        body = signer.notification({"eventType": "Send"}, "m-1")
        for webhook_auth in (None, "", "basic"):
            request = self.request(body, signer.pem(), settings={"webhook_auth": webhook_auth})
            assert reason(request, secret(b"channels:other")) == "signature_wrong"
        alone = self.request(body, signer.pem(), settings={"webhook_auth": "signature"})
        assert verify(alone, []) == Verified(secret_id=None)

    def test_fields_may_not_change_places(self, signer: SnsSigner) -> None:
        """`Message` with line ends that look like other fields gives another text to sign."""
        told = json.loads(signer.notification({"eventType": "Send"}, "m-1"))
        told["Subject"] = "x"
        assert reason(self.request(json.dumps(told).encode(), signer.pem()), secret(self.CREDENTIAL)) == "signature_wrong"

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"Type": 7}', b"[" * 100_000, b'{"x":' * 100_000, b" " * 2_000_000])
    def test_other_bodies_are_refused(self, body: bytes) -> None:
        assert reason(self.request(body, None), secret(self.CREDENTIAL)) in ("body_malformed", "type_unknown")

    @pytest.mark.parametrize(
        ("url", "topic", "right"),
        [
            (URL, TOPIC, True),
            (URL.replace("sa-east-1", "cn-north-1"), TOPIC.replace("sa-east-1", "cn-north-1"), True),
            ("https://sns.cn-north-1.amazonaws.com.cn/a.pem", "arn:aws-cn:sns:cn-north-1:000000000001:t", True),
            ("https://sns.cn-north-1.amazonaws.com/a.pem", "arn:aws-cn:sns:cn-north-1:000000000001:t", False),
            ("https://sns.us-gov-west-1.amazonaws.com/a.pem", "arn:aws-us-gov:sns:us-gov-west-1:000000000001:t", True),
            (URL + "\n", TOPIC, False),
            (URL + "#", TOPIC, False),
            (URL.upper(), TOPIC, False),
            (URL.replace("/Simple", "//evil/Simple"), TOPIC, False),
            (URL, TOPIC + "\n", False),
            (URL, "arn:aws:sqs:sa-east-1:000000000001:t", False),
        ],
    )
    def test_whose_addresses_count(self, url: str, topic: str, right: bool) -> None:
        assert is_certificate_url(url, topic) is right


class TestTheRest:
    def test_without_a_known_dialect_nothing_passes(self) -> None:
        for settings in ({"dialect": ""}, {"dialect": "other"}, {"dialect": "mailgun", "webhook_auth": "url"}):
            assert reason(asked(b"", {}, settings=settings)) == "dialect_unknown"
        assert reason(Request(method="POST", query="", headers={}, body=b"")) == "dialect_unknown"

    def test_every_dialect_has_its_answers(self) -> None:
        assert DIALECT_ANSWERS.keys() == SCHEMES.keys()
        told = {dialect: RECEIVING.answers_for({"dialect": dialect}).statuses for dialect in SCHEMES}
        assert {dialect: statuses["refused"] for dialect, statuses in told.items()} == {
            "mailgun": 401,
            "sendgrid": 503,
            "postmark": 401,
            "ses": 401,
            "imap": 401,
        }
        assert {dialect: statuses["too_large"] for dialect, statuses in told.items()} == {
            "mailgun": 406,
            "sendgrid": 413,
            "postmark": 403,
            "ses": 413,
            "imap": 413,
        }
        for dialect in ("postmark", "ses"):
            assert dict(DIALECT_ANSWERS[dialect].headers["refused"]) == {"WWW-Authenticate": 'Basic realm="webhooks"'}

    def test_a_push_of_ones_own_server_is_bound_to_its_time(self) -> None:
        body = b"From: a@cliente.example\r\n\r\nhi"
        signature = b"sha256=" + hmac.new(KEY, f"{NOW}.".encode() + body, hashlib.sha256).hexdigest().encode()
        headers = {"x-channels-signature": signature, "x-channels-timestamp": str(NOW).encode()}
        settings = {"dialect": "imap"}
        assert reason(asked(body, headers, settings=settings)) == "verified"
        assert reason(asked(body, headers, settings=settings, received_at_ms=(NOW + 7_200) * 1000)) == "timestamp_old"
        assert reason(asked(body, headers, settings=settings, received_at_ms=0)) == "timestamp_old"

    def test_secrets_of_another_use_prove_nothing(self) -> None:
        handshake = dataclasses.replace(secret(), use=SecretUse.HANDSHAKE)
        assert reason(asked(urlencode(triple()).encode(), {"content-type": FORM}), handshake) == "secret_missing"


EVIL = "evil" * 12 + "ev"
OTHER_READINGS = {  # forms in which a careless second reader finds another token than the one that was proven
    "a head beyond 2 KB": f'--b\r\nX-Long: {"x" * 3000}\r\nContent-Disposition: form-data; name="token"\r\n\r\n{EVIL}\r\n',
    "behind a boundary's line": (
        '--b Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="token"\r\n\r\n' + EVIL + "\r\n"
    ),
    "two dispositions": (
        '--b\r\nContent-Disposition: FORM-DATA; name="x"\r\nContent-Disposition: form-data; name="token"\r\n\r\n' + EVIL + "\r\n"
    ),
    "an empty head first": f'--b\r\n\r\nContent-Disposition: form-data; name="token"\r\n\r\n{EVIL}\r\n',
    "not at a line's begin": (
        '--b\r\nContent-Disposition: form-data; name="y"\r\n\r\nx--b\r\n'
        f'Content-Disposition: form-data; name="token"\r\n\r\n{EVIL}\r\n'
    ),
}


@pytest.mark.req(77)
@pytest.mark.parametrize("trick", OTHER_READINGS)
def test_the_token_of_the_item_is_the_one_that_was_proven(trick: str) -> None:
    mail = "From: lia@cliente.example\r\nTo: loja@nos.example\r\nMessage-ID: <1@cliente.example>\r\n\r\nOi"
    kind = "multipart/form-data; boundary=b"
    for tail in (f"{TOKEN}\r\nmore", TOKEN):
        fields = [("body-mime", mail), triple()[0], ("token", tail), triple()[2]]
        body = (OTHER_READINGS[trick] + multipart(fields).decode()).encode()
        if reason(asked(body, {"content-type": kind.encode()})) == "verified":
            (item,) = normalise(body, {"content-type": kind}, {"dialect": "mailgun"})
            assert item.dedup_key == f"token:{TOKEN}"


@pytest.mark.req(77)
def test_names_and_values_of_an_encoded_form_are_read_once_and_the_same_way() -> None:
    mail = "From: lia@cliente.example\r\nMessage-ID: <1@cliente.example>\r\n\r\nOi"
    for first in ("%74oken=" + EVIL, "token=" + EVIL, "token=" + "%65" * 300):
        body = f"{first}&{urlencode([('body-mime', mail), *triple()])}".encode()
        assert reason(asked(body, {"content-type": FORM})) == "field_repeated"
    body = urlencode([("body-mime", mail), *triple()]).encode()
    assert reason(asked(body.replace(b"token=", b"%74oken="), {"content-type": FORM})) == "verified"


@pytest.mark.req(14)
def test_signed_fields_do_not_show_themselves() -> None:
    fields = mailgun_fields(urlencode(triple()).encode(), FORM)
    assert TOKEN not in repr(fields)
