"""`channels sample` and `channels sign`: what they print is genuine for the provider's own check."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.samples import sample, sign
from shared.domain.enums import SecretUse
from shared.domain.errors import InvalidInput
from shared.domain.items import MessageItem, ReceiptItem
from shared.providers import provider_of
from shared.providers.contract import ReceivingSecret, Request, Verified
from shared.providers.whatsapp_official import samples

PROVIDER = provider_of("whatsapp_official")
SECRET = "s3cret"


def made(*arguments: str) -> bytes:
    result = CliRunner().invoke(sample, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def signed(*arguments: str, body: bytes | None = None, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(sign, arguments, input=body, env=env, catch_exceptions=False)


def genuine(header: str, body: bytes) -> bool:
    name, _, value = header.strip().partition(": ")
    request = Request(method="POST", query="", headers={name.lower(): value.encode()}, body=body)
    secret = ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=SECRET.encode())
    return isinstance(PROVIDER.receiving.verify(request, [secret]), Verified)


class TestSample:
    def test_each_call_makes_another_message(self) -> None:
        first, second = (PROVIDER.normalise(made(), {})[0] for _ in range(2))
        assert isinstance(first, MessageItem)
        assert first.dedup_key != second.dedup_key
        assert first.account_refs == (f"phone_number_id:{samples.PHONE_NUMBER_ID}",)

    def test_the_options_reach_the_message(self) -> None:
        body = made("--phone-number-id", "100000000000009", "--from", "5511900000009", "--text", "Olá 😀", "--id", "wamid.X")
        (item,) = PROVIDER.normalise(body, {})
        assert isinstance(item, MessageItem)
        assert (item.content.text, item.provider_message_id) == ("Olá 😀", "wamid.X")
        assert (item.account_refs, item.peer.aliases[0].value) == (("phone_number_id:100000000000009",), "5511900000009")

    @pytest.mark.parametrize("kind", samples.KINDS)
    def test_every_kind_is_read(self, kind: str) -> None:
        (item,) = PROVIDER.normalise(made("--kind", kind), {})
        assert isinstance(item, MessageItem)
        assert item.kind == ("unsupported" if kind == "something_new" else kind)

    @pytest.mark.parametrize("status", ["sent", "delivered", "read", "played", "failed"])
    def test_a_status_is_read(self, status: str) -> None:
        (item,) = PROVIDER.normalise(made("--kind", status, "--id", "wamid.X"), {})
        assert isinstance(item, ReceiptItem)
        assert (item.status, item.provider_message_id) == (status, "wamid.X")
        assert (item.error_code is not None) == (status == "failed")


class TestSign:
    def test_the_header_proves_the_bytes_of_the_pipe(self) -> None:
        body = made("--text", "Olá")
        assert genuine(signed("--secret", SECRET, body=body).stdout, body)

    def test_the_header_proves_the_bytes_of_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "body.json"
        file.write_bytes(b'{"a": "\xff"}\r\n')
        assert genuine(signed("--secret", SECRET, "-f", str(file)).stdout, file.read_bytes())

    def test_the_secret_comes_from_a_variable_or_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text(f"{SECRET}\n")
        by_file = signed("--secret-file", str(file), body=b"{}").stdout
        by_variable = signed("--secret-env", "APP_SECRET", body=b"{}", env={"APP_SECRET": SECRET}).stdout
        assert by_file == by_variable == signed("--secret", SECRET, body=b"{}").stdout
        assert SECRET not in by_file

    @pytest.mark.parametrize("arguments", [[], ["--secret", "a", "--secret-env", "B"]])
    def test_the_secret_is_given_exactly_once(self, arguments: list[str]) -> None:
        result = signed(*arguments, body=b"{}")
        assert result.exit_code == 2
        assert "one of --secret" in result.output

    def test_an_empty_secret_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="empty"):
            signed("--secret-env", "NOT_SET_ANYWHERE", body=b"{}")

    def test_the_curl_command_posts_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "it's a body.json"
        file.write_bytes(b"{}\n")
        command = signed("--secret", SECRET, "-f", str(file), "--curl", "--connector", "c-1", "--url", "http://edge:1/").stdout
        words = shlex.split(command)
        assert words[:4] == ["curl", "-sS", "-i", "http://edge:1/webhooks/c-1"]
        assert words[words.index("--data-binary") + 1] == f"@{file}"
        assert "Content-Type: application/json" in words
        assert genuine(next(word for word in words if word.startswith("X-Hub")), b"{}\n")

    def test_the_curl_command_carries_the_bytes_of_the_pipe(self) -> None:
        body = made("--text", 'it\'s "Olá" $HOME `id` \\n 😀')
        command = signed("--secret", SECRET, "--curl", "--connector", "c-1", body=body).stdout
        words = shlex.split(command)
        assert words[:2] == ["printf", "%s"]
        assert words[2].encode() == body
        assert words[words.index("|") + 1] == "curl"
        assert words[-2:] == ["--data-binary", "@-"]
        assert genuine(next(word for word in words if word.startswith("X-Hub")), body)
        assert json.loads(words[2])["object"] == "whatsapp_business_account"

    @pytest.mark.parametrize("body", [b"\xff", b"a\x00b"])
    def test_what_no_command_line_carries_needs_a_file(self, body: bytes) -> None:
        with pytest.raises(InvalidInput, match="by -f"):
            signed("--secret", SECRET, "--curl", "--connector", "c-1", body=body)

    def test_a_curl_command_needs_a_connector(self) -> None:
        result = signed("--secret", SECRET, "--curl", body=b"{}")
        assert result.exit_code == 2
        assert "--connector" in result.output
        assert "channels apply" in result.output

    def test_the_webhook_url_that_apply_prints_is_enough(self) -> None:
        url = "http://edge:1/webhooks/01900000-0000-7000-8000-000000000031"
        assert f" {url} " in signed("--secret", SECRET, "--curl", "--url", url, body=b"{}").stdout

    def test_help_shows_examples(self) -> None:
        for command in (sample, sign):
            assert "Examples:" in CliRunner().invoke(command, ["--help"]).output
