"""What every key provider keeps: the same cases over key files and over AWS KMS (moto's server, on this machine)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from shared.adapters.aws_kms import AwsKms, KmsLimits
from shared.adapters.local_keys import LocalKeyFiles
from shared.adapters.vault import Aad, KeyProvider, Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ConfigError, KeyRefused, SealBroken
from tests.kms_server import CREDENTIALS, KmsServer, kms_server

INGEST, CREDENTIAL = KeyPurpose.INGEST, KeyPurpose.CREDENTIAL
KEY_ID, OTHER_ID = "01900000-0000-7000-8000-0000000000a1", "01900000-0000-7000-8000-0000000000a2"
KEY = bytes(range(32))
PLACE = Aad("t1", "channel_webhook", "segredo", "w1")


@dataclass
class Kind:
    """`of`: a provider of these purposes, as in a new process; `rotate`: a new key-encryption key; `foreign`: of another site."""

    of: Callable[..., KeyProvider]
    rotate: Callable[[], None]
    foreign: Callable[[], KeyProvider]


@pytest.fixture(scope="module")
def server() -> Iterator[KmsServer]:
    with kms_server() as started:
        yield started


def files(directory: Path) -> Kind:
    LocalKeyFiles.create(directory / "keys")

    def foreign() -> KeyProvider:
        LocalKeyFiles.create(directory / "foreign")
        return LocalKeyFiles(directory / "foreign", frozenset(KeyPurpose))

    return Kind(
        of=lambda *purposes: LocalKeyFiles(directory / "keys", frozenset(purposes)),
        rotate=lambda: void(LocalKeyFiles.add_generation(directory / "keys")),
        foreign=foreign,
    )


def kms(server: KmsServer) -> Kind:
    arns = {purpose: [server.new_key()] for purpose in KeyPurpose}

    def rotate() -> None:
        for held in arns.values():
            held.insert(0, server.new_key())

    def of(*purposes: KeyPurpose) -> KeyProvider:
        return AwsKms({purpose: arns[purpose] for purpose in purposes}, limits=KmsLimits(), endpoint_url=server.url)

    return Kind(
        of=of,
        rotate=rotate,
        foreign=lambda: AwsKms({purpose: [server.new_key()] for purpose in KeyPurpose}, endpoint_url=server.url),
    )


def void(_: object) -> None:
    return None


@pytest.fixture(params=["files", "aws_kms"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return files(tmp_path) if request.param == "files" else kms(request.getfixturevalue("server"))


def test_what_is_wrapped_unwraps_in_another_process(kind: Kind) -> None:
    for purpose in KeyPurpose:
        wrapped = kind.of(*KeyPurpose).wrap(purpose, "t1", KEY, key_id=KEY_ID)
        assert kind.of(purpose).unwrap(purpose, "t1", wrapped, key_id=KEY_ID) == KEY
        assert KEY.hex() not in wrapped.encode().hex()


@pytest.mark.req(32, 73)
@pytest.mark.parametrize(
    ("purpose", "tenant", "key_id"), [(CREDENTIAL, "t1", KEY_ID), (INGEST, "t2", KEY_ID), (INGEST, "t1", OTHER_ID)]
)
def test_a_wrapped_key_opens_for_its_purpose_tenant_and_id_only(
    kind: Kind, purpose: KeyPurpose, tenant: str, key_id: str
) -> None:
    provider = kind.of(*KeyPurpose)
    wrapped = provider.wrap(INGEST, "t1", KEY, key_id=KEY_ID)
    with pytest.raises((SealBroken, KeyRefused)):
        provider.unwrap(purpose, tenant, wrapped, key_id=key_id)
    assert provider.unwrap(INGEST, "t1", wrapped, key_id=KEY_ID) == KEY


@pytest.mark.req(32)
def test_an_altered_key_is_broken_and_one_of_elsewhere_is_refused(kind: Kind) -> None:
    provider = kind.of(INGEST)
    wrapped = provider.wrap(INGEST, "t1", KEY, key_id=KEY_ID)
    for place in (-1, -20):
        swapped = "A" if wrapped[place] != "A" else "E"
        altered = wrapped[:place] + swapped + (wrapped[place + 1 :] if place != -1 else "")
        with pytest.raises(SealBroken):
            provider.unwrap(INGEST, "t1", altered, key_id=KEY_ID)
    for text in ("", "1|a|b", "1|||", "2" + wrapped[1:], wrapped + "|x"):
        with pytest.raises((SealBroken, KeyRefused)):
            provider.unwrap(INGEST, "t1", text, key_id=KEY_ID)
    with pytest.raises(KeyRefused) as caught:
        kind.foreign().unwrap(INGEST, "t1", wrapped, key_id=KEY_ID)
    assert caught.value.reason == "not_configured"
    assert caught.value.reason in KeyRefused.REASONS


def test_a_purpose_that_was_not_given_is_a_wrong_setting(kind: Kind) -> None:
    wrapped = kind.of(CREDENTIAL).wrap(CREDENTIAL, "t1", KEY, key_id=KEY_ID)
    edge = kind.of(INGEST)
    with pytest.raises(ConfigError):
        edge.unwrap(CREDENTIAL, "t1", wrapped, key_id=KEY_ID)
    with pytest.raises(ConfigError):
        edge.wrap(CREDENTIAL, "t1", KEY, key_id=KEY_ID)


def test_after_a_rotation_both_keys_open_and_the_new_one_wraps(kind: Kind) -> None:
    before = kind.of(INGEST)
    old = before.wrap(INGEST, "t1", KEY, key_id=KEY_ID)
    assert before.is_newest(INGEST, old)
    kind.rotate()
    after = kind.of(INGEST)
    new = after.wrap(INGEST, "t1", KEY, key_id=KEY_ID)
    assert (after.is_newest(INGEST, old), after.is_newest(INGEST, new)) == (False, True)
    assert [after.unwrap(INGEST, "t1", one, key_id=KEY_ID) for one in (old, new)] == [KEY, KEY]


def test_a_vault_rewraps_a_data_key_once_and_what_it_sealed_still_opens(kind: Kind) -> None:
    vault = Vault(kind.of(INGEST))
    key = vault.new_data_key(INGEST, "t1")
    sealed = vault.ring(INGEST, "t1", [key]).seal_text(b"secret", PLACE)
    assert vault.rewrap(INGEST, "t1", key) is None
    kind.rotate()
    vault = Vault(kind.of(INGEST))
    moved = vault.rewrap(INGEST, "t1", key)
    assert moved is not None
    assert (moved.key_id, moved.wrapped != key.wrapped) == (key.key_id, True)
    assert vault.rewrap(INGEST, "t1", moved) is None
    assert Vault(kind.of(INGEST)).ring(INGEST, "t1", [moved]).open_text(sealed, PLACE) == b"secret"


def test_an_opened_key_that_was_rewrapped_needs_no_provider(kind: Kind) -> None:
    vault = Vault(kind.of(INGEST))
    key = vault.new_data_key(INGEST, "t1")
    sealed = vault.ring(INGEST, "t1", [key]).seal_text(b"secret", PLACE)
    elsewhere = replace(key, wrapped="1|of-a-key-that-we-do-not-have|AAAA|AAAA")
    assert vault.ring(INGEST, "t1", [elsewhere]).open_text(sealed, PLACE) == b"secret"
    vault.ring(INGEST, "t1", [])  # the tenant was erased: nothing stays in memory
    with pytest.raises((SealBroken, KeyRefused)):
        vault.ring(INGEST, "t1", [elsewhere]).open_text(sealed, PLACE)


def test_nothing_tells_the_key(kind: Kind) -> None:
    provider = kind.of(INGEST)
    wrapped = provider.wrap(INGEST, "t1", KEY, key_id=KEY_ID)
    with pytest.raises(SealBroken) as caught:
        provider.unwrap(INGEST, "t1", wrapped[:-4] + "AAAA", key_id=KEY_ID)
    assert KEY.hex() not in (repr(provider) + str(caught.value) + repr(caught.value.__cause__)).encode().hex()
