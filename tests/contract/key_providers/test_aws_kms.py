"""AWS KMS when it refuses, stalls and comes back, and what is sent to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from shared.adapters.aws_kms import AwsKms, KmsLimits
from shared.adapters.vault import Aad
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ConfigError, KeyRefused, SealBroken, Unavailable
from shared.runtime.keys import key_provider, open_vault
from shared.runtime.settings import VaultSettings
from tests.kms_server import CREDENTIALS, KmsServer, kms_server
from tests.waiting import allowed

INGEST = KeyPurpose.INGEST
KEY_ID, KEY = "01900000-0000-7000-8000-0000000000a1", bytes(range(32))
PLACE = Aad("t1", "channel_webhook", "segredo", "w1")
ARN = "arn:aws:kms:sa-east-1:123456789012:key/01900000-0000-7000-8000-0000000000a1"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KmsServer]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with kms_server() as started:
        yield started


def provider(server: KmsServer, *arns: str, seconds: float = 2.0) -> AwsKms:
    return AwsKms({INGEST: arns}, limits=KmsLimits(seconds=seconds), endpoint_url=server.url)


def test_purpose_tenant_and_key_id_are_bound_as_encryption_context(server: KmsServer) -> None:
    arn = server.new_key()
    kms = provider(server, arn)
    kms.unwrap(INGEST, "t1", kms.wrap(INGEST, "t1", KEY, key_id=KEY_ID), key_id=KEY_ID)
    context = {"application": "channels", "purpose": "ingest", "tenant": "t1", "data_key": KEY_ID}
    assert [(name, call["KeyId"], call["EncryptionContext"]) for name, call in server.calls] == [
        ("Encrypt", arn, context),
        ("Decrypt", arn, context),
    ]


@pytest.mark.req(73)
def test_a_disabled_key_fails_closed_is_counted_and_told_and_works_again_when_enabled(server: KmsServer) -> None:
    arn, registry = server.new_key(), CollectorRegistry()
    settings = VaultSettings(key_provider="aws_kms", aws_kms_ingest_keys=arn, aws_kms_endpoint_url=server.url)
    first = open_vault(settings, {INGEST}, CollectorRegistry())
    key = first.new_data_key(INGEST, "t1")
    opened = first.ring(INGEST, "t1", [key])
    sealed = opened.seal_text(b"secret", PLACE)
    server.disable(arn)
    assert opened.open_text(sealed, PLACE) == b"secret"  # what was opened before drains
    vault = open_vault(settings, {INGEST}, registry)
    ring = vault.ring(INGEST, "t1", [key])
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(KeyRefused, match="DisabledException") as caught:
                ring.open_text(sealed, PLACE)
            assert (caught.value.reason, caught.value.retryable) == ("disabled", True)
        with pytest.raises(KeyRefused):
            vault.new_data_key(INGEST, "t1")
    assert [(line["event"], line["log_level"], line["tenant_id"], line["reason"]) for line in lines] == [
        ("key_refused", "error", "t1", "disabled")
    ]
    assert arn in lines[0]["error"]
    assert refused(registry) == 1
    calls = {"operation": "unwrap", "purpose": "ingest", "outcome": "refused"}
    assert registry.get_sample_value("channels_vault_key_calls_total", calls) == 3
    server.enable(arn)
    assert ring.open_text(sealed, PLACE) == b"secret"
    assert refused(registry) == 0


@pytest.mark.parametrize(
    ("status", "code", "expected", "calls"),
    [
        (400, "AccessDeniedException", KeyRefused, 1),
        (400, "KMSInvalidStateException", KeyRefused, 1),
        (400, "NotFoundException", KeyRefused, 1),
        (400, "UnrecognizedClientException", KeyRefused, 1),
        (400, "InvalidCiphertextException", SealBroken, 1),
        (400, "IncorrectKeyException", SealBroken, 1),
        (400, "ThrottlingException", Unavailable, 2),
        (500, "KMSInternalException", Unavailable, 2),
        (503, "DependencyTimeoutException", Unavailable, 2),
    ],
)
def test_each_answer_of_kms_has_its_meaning_and_retries_are_bounded(
    server: KmsServer, status: int, code: str, expected: type[Exception], calls: int
) -> None:
    arn = server.new_key()
    kms = AwsKms({INGEST: [arn]}, limits=KmsLimits(seconds=2, attempts=2), endpoint_url=server.url)
    wrapped = kms.wrap(INGEST, "t1", KEY, key_id=KEY_ID)
    server.fault = (status, code)
    server.calls.clear()
    with pytest.raises(expected) as caught:
        kms.unwrap(INGEST, "t1", wrapped, key_id=KEY_ID)
    assert type(caught.value) is expected
    assert len(server.calls) == calls
    server.fault = None
    assert kms.unwrap(INGEST, "t1", wrapped, key_id=KEY_ID) == KEY


def test_a_key_service_that_says_nothing_is_given_up_in_time(server: KmsServer) -> None:
    kms = AwsKms({INGEST: [server.new_key()]}, limits=KmsLimits(seconds=0.3, attempts=2), endpoint_url=server.url)
    server.flowing.clear()
    started = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        kms.wrap(INGEST, "t1", KEY, key_id=KEY_ID)
    assert time.monotonic() - started < allowed(5)


def test_without_credentials_the_key_is_refused(server: KmsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(KeyRefused, match="no credentials"):
        provider(server, ARN).wrap(INGEST, "t1", KEY, key_id=KEY_ID)


def test_a_key_that_is_not_configured_is_never_asked_for(server: KmsServer) -> None:
    ours, theirs = server.new_key(), server.new_key()
    wrapped = provider(server, theirs).wrap(INGEST, "t1", KEY, key_id=KEY_ID)
    server.calls.clear()
    with pytest.raises(KeyRefused):
        provider(server, ours).unwrap(INGEST, "t1", wrapped, key_id=KEY_ID)
    assert server.calls == []


@pytest.mark.parametrize("arn", ["", "alias/channels", ARN.replace(":key/", ":alias/"), ARN + "\n", ARN.replace("aws", "other")])
def test_what_is_no_arn_of_a_key_is_a_wrong_setting(arn: str) -> None:
    with pytest.raises(ConfigError, match="CHANNELS_AWS_KMS_INGEST_KEYS"):
        AwsKms({INGEST: [arn]})


@pytest.mark.parametrize("url", ["http://kms.example.com", "http://10.0.0.1:80", "ftp://127.0.0.1"])
def test_data_keys_do_not_travel_in_clear(url: str) -> None:
    with pytest.raises(ConfigError, match="https"):
        AwsKms({INGEST: [ARN]}, endpoint_url=url)
    AwsKms({INGEST: [ARN]}, endpoint_url="https://kms.example.com")


def test_the_settings_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="CHANNELS_AWS_KMS_CREDENTIAL_KEYS"):
        key_provider(VaultSettings(key_provider="aws_kms", aws_kms_ingest_keys=ARN), set(KeyPurpose))
    several = VaultSettings(key_provider="aws_kms", aws_kms_ingest_keys=f"{ARN}, {ARN[:-1]}2")
    assert repr(key_provider(several, {INGEST})) == f"AwsKms({ARN}, {ARN[:-1]}2)"
    monkeypatch.setenv("CHANNELS_ENVIRONMENT", "production")
    with pytest.raises(ConfigError, match="for development"):
        key_provider(VaultSettings(keys_dir=tmp_path), {INGEST})


def refused(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("channels_vault_refused_tenants", {"purpose": "ingest"})
