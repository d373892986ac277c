"""The sample maker: a judge of its own, so its signature is held by published vectors and not by our verifier."""

from __future__ import annotations

import json

import pytest

from shared.domain.enums import DeliveryStatus
from shared.domain.items import MessageItem, ReceiptItem
from shared.providers.whatsapp_official import samples
from shared.providers.whatsapp_official.normalise import normalise


@pytest.mark.parametrize(
    ("key", "data", "digest"),
    [  # RFC 4231, test cases 1, 2 and 6
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ],
)
def test_the_signature_is_the_published_one(key: bytes, data: bytes, digest: str) -> None:
    assert samples.sign(data, key) == f"sha256={digest}"


def test_a_secret_in_text_is_taken_as_utf8() -> None:
    assert samples.sign(b"x", "é") == samples.sign(b"x", "é".encode())


def test_a_batch_holds_the_items_of_its_bodies_in_their_order() -> None:
    bodies = [
        samples.text_message(message_id="wamid.A", phone_number_id="100000000000002", sender="5511900000007", text="oi"),
        samples.status(message_id="wamid.B", status="failed", error_code=131047, callback_data="ours"),
        samples.text_message(message_id="wamid.C"),
    ]
    first, second, third = normalise(samples.encode(samples.batch(bodies)), {})
    assert isinstance(first, MessageItem)
    assert (first.account_refs, first.peer.aliases[0].key) == (("phone_number_id:100000000000002",), "phone:5511900000007")
    assert isinstance(second, ReceiptItem)
    assert (second.status, second.error_code, second.callback_data) == (DeliveryStatus.FAILED, "131047", "ours")
    assert isinstance(third, MessageItem)
    assert third.provider_message_id == "wamid.C"


def test_a_body_is_one_line_of_utf8() -> None:
    body = samples.encode(samples.text_message(message_id="wamid.A", text="é\n"))
    assert b"\n" not in body
    assert "é".encode() in body
    assert json.loads(body)["object"] == "whatsapp_business_account"


def test_ids_of_different_bytes_differ() -> None:
    assert samples.wamid(b"one") != samples.wamid(b"two")
    assert samples.wamid(b"one").startswith("wamid.")
