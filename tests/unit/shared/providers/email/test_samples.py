"""The samples are what the provider takes: verified by their dialect, and each says the same."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.enums import SecretUse
from shared.domain.items import MessageItem, ReceiptItem
from shared.providers.contract import ReceivingSecret, Request, Verified
from shared.providers.email import samples
from shared.providers.email.normalise import normalise
from shared.providers.email.receiving import verify
from shared.providers.email.samples import Sample

KEY = b"channels:a key of the tests"
TOKEN = "0123456789" * 5
MAIL = samples.raw_mail(message_id="m1@cliente.example", text="Olá\nmundo")


def items_of(sample: Sample, **settings: Any) -> Any:
    request = Request(
        method="POST",
        query="key=channels%3Aa+key+of+the+tests",
        headers={name: value.encode() for name, value in sample.headers.items()},
        body=sample.body,
        received_at_ms=samples.TIMESTAMP * 1000,
        settings=settings,
    )
    verdict = verify(request, [ReceivingSecret(id="w/0", use=SecretUse.SIGN, value=KEY)])
    assert isinstance(verdict, Verified), verdict
    return normalise(sample.body, sample.headers, settings)


@pytest.mark.parametrize(
    ("sample", "settings"),
    [
        (samples.mailgun(MAIL, key=KEY, token=TOKEN), {"dialect": "mailgun"}),
        (samples.sendgrid(MAIL), {"dialect": "sendgrid", "webhook_auth": "url"}),
        (samples.with_basic(samples.sendgrid(MAIL), KEY), {"dialect": "sendgrid", "webhook_auth": "basic"}),
        (
            samples.with_basic(samples.postmark(message_id="m1@cliente.example", text="Olá\nmundo"), KEY),
            {"dialect": "postmark"},
        ),
        (samples.pushed(MAIL, key=KEY), {"dialect": "imap"}),
    ],
)
def test_a_mail_says_the_same_by_every_way(sample: Sample, settings: dict[str, str]) -> None:
    (item,) = items_of(sample, **settings)
    assert isinstance(item, MessageItem)
    assert (item.provider_message_id, item.content.text) == ("m1@cliente.example", "Olá\nmundo")
    assert item.peer.aliases[0].value == samples.SENDER
    assert "address:loja@nos.example" in item.account_refs


def test_two_posts_under_one_signature_are_one_message_to_the_claims() -> None:
    """A captured signature may bring another body: it has the same de-duplication key, and is taken for a repeat."""
    other = samples.raw_mail(message_id="forged@cliente.example", text="pague aqui")
    (first,) = items_of(samples.mailgun(MAIL, key=KEY, token=TOKEN), dialect="mailgun")
    (second,) = items_of(samples.mailgun(other, key=KEY, token=TOKEN), dialect="mailgun")
    (third,) = items_of(samples.mailgun(MAIL, key=KEY, token=TOKEN[::-1]), dialect="mailgun")
    assert first.dedup_key == second.dedup_key
    assert first.dedup_key != third.dedup_key


def test_an_event_is_a_receipt() -> None:
    (item,) = items_of(samples.mailgun_event("failed", message_id="out@nos.example", key=KEY, token=TOKEN), dialect="mailgun")
    assert isinstance(item, ReceiptItem)
    assert (item.provider_message_id, item.error_code) == ("out@nos.example", "5.1.1")
