"""The secret token of Telegram's webhooks: the one proof there is, because the body is not signed."""

from __future__ import annotations

import os
import random

import pytest

from services.ingest.decide import live
from shared.domain.enums import SecretUse
from shared.providers.contract import ReceivingSecret, Refused, Request, Verified
from shared.providers.receiving import receiving_of
from shared.providers.telegram import receiving

MUTATIONS = int(os.environ.get("CHANNELS_TEST_MUTATIONS", "10000"))
NOW_MS = 1_790_000_000_000
FIRST, SECOND = b"first-secret_0123456789", b"second-secret_012345678"
LIVE = (
    ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=FIRST),
    ReceivingSecret(id="webhook/1", use=SecretUse.SIGN, value=SECOND),
)


def post(header: bytes | None, body: bytes = b'{"update_id":1}') -> Request:
    headers = {} if header is None else {receiving.SECRET_HEADER: header}
    return Request(method="POST", query="", headers=headers, body=body)


REFUSED = {
    "missing header": (None, "signature_missing"),
    "empty header": (b"", "signature_missing"),
    "another secret of the same length": (FIRST[:-1] + b"8", "signature_wrong"),
    "flipped bit of the header": (bytes([FIRST[0] ^ 1]) + FIRST[1:], "signature_wrong"),
    "other case": (FIRST.upper(), "signature_wrong"),
    "one character less": (FIRST[:-1], "signature_wrong"),
    "one character more": (FIRST + b"0", "signature_wrong"),
    "a prefix": (b"Bearer " + FIRST, "signature_malformed"),
    "a space at the end": (FIRST + b" ", "signature_malformed"),
    "a newline at the end": (FIRST + b"\n", "signature_malformed"),
    "sent twice": (FIRST + b", " + FIRST, "signature_malformed"),
    "outside ASCII": ("é".encode() * 8, "signature_malformed"),
    "digits of another script": ("٣".encode() * 8, "signature_malformed"),
    "257 characters": (b"a" * 257, "signature_malformed"),
}


@pytest.mark.req(77)
class TestVerify:
    @pytest.mark.parametrize(("value", "secret_id"), [(FIRST, "webhook/0"), (SECOND, "webhook/1")])
    def test_both_secrets_of_a_rotation_pass(self, value: bytes, secret_id: str) -> None:
        assert receiving.verify(post(value), LIVE) == Verified(secret_id=secret_id)

    @pytest.mark.parametrize("value", [b"a", b"A-z_9", b"a" * 256])
    def test_every_secret_that_telegram_takes_passes(self, value: bytes) -> None:
        secret = ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=value)
        assert receiving.verify(post(value), [secret]) == Verified(secret_id="webhook/0")

    @pytest.mark.parametrize("case", REFUSED)
    def test_anything_else_is_refused(self, case: str) -> None:
        header, reason = REFUSED[case]
        assert receiving.verify(post(header), LIVE) == Refused(reason=reason)

    @pytest.mark.parametrize("body", [b"", b'{"update_id": 1}', b"\xff", b'{"update_id":2}'])
    def test_the_body_is_not_covered(self, body: bytes) -> None:
        """So that nobody believes it is: a re-serialised body passes, and whoever has the secret can write any."""
        assert isinstance(receiving.verify(post(FIRST, body), LIVE), Verified)

    def test_an_expired_secret_and_one_to_come_do_not_count(self) -> None:
        old = ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=FIRST, not_after_ms=NOW_MS - 1)
        new = ReceivingSecret(id="webhook/1", use=SecretUse.SIGN, value=SECOND, not_before_ms=NOW_MS + 1)
        now = live([old, new], SecretUse.SIGN, NOW_MS)
        assert receiving.verify(post(FIRST), now) == Refused(reason="secret_missing")
        at_the_end = live([old, new], SecretUse.SIGN, NOW_MS - 1)
        assert receiving.verify(post(FIRST), at_the_end) == Verified(secret_id="webhook/0")

    def test_without_a_usable_secret_nothing_passes(self) -> None:
        empty = ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=b"")
        handshake = ReceivingSecret(id="webhook/1", use=SecretUse.HANDSHAKE, value=FIRST)
        for others in ([], [empty], [handshake]):
            assert receiving.verify(post(FIRST), others) == Refused(reason="secret_missing")

    def test_every_secret_is_compared_also_after_a_match(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared: list[bytes] = []
        compare = receiving.hmac.compare_digest
        monkeypatch.setattr(receiving.hmac, "compare_digest", lambda a, b: (compared.append(a), compare(a, b))[1])
        assert receiving.verify(post(FIRST), LIVE) == Verified(secret_id="webhook/0")
        assert compared == [FIRST, SECOND]

    def test_no_mutated_header_passes(self) -> None:
        chance, accepted = random.Random(20260916), []
        for _ in range(MUTATIONS):
            header = _mutated(chance)
            if header not in (FIRST, SECOND) and isinstance(receiving.verify(post(header), LIVE), Verified):
                accepted.append(header)
        assert accepted == []


def _mutated(chance: random.Random) -> bytes:
    value = bytearray(chance.choice((FIRST, SECOND)))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(value))
        match chance.randrange(4):
            case 0:
                value[at] ^= 1 << chance.randrange(8)
            case 1:
                del value[at]
            case 2:
                value.insert(at, chance.randrange(256))
            case _:
                value[at:at] = value[: chance.randrange(6)]
    return bytes(value)


class TestRecord:
    def test_it_is_found_by_type_and_has_no_handshake(self) -> None:
        assert receiving_of(receiving.RECEIVING.tipo) is receiving.RECEIVING
        assert receiving.RECEIVING.handshake is None

    def test_every_fault_makes_telegram_post_again(self) -> None:
        statuses = dict(receiving.RECEIVING.answers.statuses)
        assert statuses.pop("accepted") == 200
        assert all(status >= 400 for status in statuses.values())
        assert 410 not in statuses.values(), "for 23 hours of it Telegram would drop the webhook"
