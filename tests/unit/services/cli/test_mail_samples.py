"""`channels sample-mail`: what it prints is genuine for the dialect's own check, and reads as what was asked for."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner

from services.cli.mail_samples import sample_mail
from shared.adapters.clock import SystemClock
from shared.domain.enums import SecretUse
from shared.domain.items import MessageItem
from shared.providers import provider_of
from shared.providers.contract import ReceivingSecret, Request, Verified

PROVIDER = provider_of("email")
SECRET = "channels:a secret of the tests"


def printed(dialect: str) -> Request:
    arguments = ["--dialect", dialect, "--secret-env", "SAMPLE_SECRET", "--connector", "c1", "--text", "Olá, 'tudo' bem?"]
    result = CliRunner().invoke(sample_mail, arguments, env={"SAMPLE_SECRET": SECRET}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    words = shlex.split(result.stdout_bytes.decode())
    assert "http://127.0.0.1:8080/webhooks/c1" in words
    given = [words[index + 1].partition(": ") for index, word in enumerate(words) if word == "-H"]
    auth = {"sendgrid": "basic"}.get(dialect)
    return Request(
        method="POST",
        query="",
        headers={name: value.encode() for name, _, value in given},
        body=words[2].encode(),
        received_at_ms=SystemClock().now_ms(),
        settings={"dialect": dialect, **({"webhook_auth": auth} if auth else {})},
    )


@pytest.mark.parametrize("dialect", ["mailgun", "sendgrid", "postmark", "imap"])
def test_it_is_genuine_and_another_each_time(dialect: str) -> None:
    keys = set()
    for _ in range(2):
        request = printed(dialect)
        secret = ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=SECRET.encode())
        assert isinstance(PROVIDER.receiving.verify(request, [secret]), Verified)
        kept = {name: value.decode() for name, value in request.headers.items() if name in PROVIDER.receiving.kept_headers}
        (item,) = PROVIDER.normalise(request.body, kept, request.settings)
        assert isinstance(item, MessageItem)
        assert item.content.text == "Olá, 'tudo' bem?"
        assert item.account_refs[0] == "address:loja@nos.example"
        keys.add(item.dedup_key)
    assert len(keys) == 2
