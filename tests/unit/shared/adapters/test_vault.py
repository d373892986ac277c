from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from shared.adapters.vault import Aad, LocalKeyFiles, Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ConfigError, KeyRefused, SealBroken
from shared.domain.snapshots import WrappedDataKey

INGEST, CREDENTIAL = KeyPurpose.INGEST, KeyPurpose.CREDENTIAL
PLACE = Aad("t1", "channel_webhook", "segredo", "w1")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    LocalKeyFiles.create(tmp_path / "keys")
    return tmp_path / "keys"


def vault_of(keys: Path, *purposes: KeyPurpose) -> Vault:
    return Vault(LocalKeyFiles(keys, frozenset(purposes)))


def test_key_files_are_made_once_and_for_their_owner_only(keys: Path) -> None:
    paths = [keys / "ingest.key", keys / "credential.key"]
    before = [path.read_bytes() for path in paths]
    assert before[0] != before[1]
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o600, 0o600]
    assert LocalKeyFiles.create(keys) == ()
    assert [path.read_bytes() for path in paths] == before
    paths[0].unlink()
    assert LocalKeyFiles.create(keys) == (paths[0],)
    assert sorted(path.name for path in keys.iterdir()) == ["credential.key", "ingest.key"]


def test_a_missing_key_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="channels keys create"):
        LocalKeyFiles(tmp_path, frozenset({INGEST}))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_file_that_others_can_read_is_refused(keys: Path, mode: int) -> None:
    (keys / "ingest.key").chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        LocalKeyFiles(keys, frozenset({INGEST}))


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 44, b"A" * 44])
def test_a_damaged_key_file_is_refused_without_quoting_it(keys: Path, content: bytes) -> None:
    (keys / "ingest.key").write_bytes(content)
    with pytest.raises(ConfigError, match="damaged") as caught:
        LocalKeyFiles(keys, frozenset({INGEST}))
    assert not content or content.decode("latin-1") not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_new_generation_wraps_and_running_processes_find_it(keys: Path) -> None:
    running = LocalKeyFiles(keys, frozenset({INGEST}))
    old = running.wrap(INGEST, "t1", b"k" * 32, key_id="k1")
    assert {path.name for path in LocalKeyFiles.add_generation(keys)} == {"ingest.key", "credential.key"}
    new = LocalKeyFiles(keys, frozenset({INGEST})).wrap(INGEST, "t1", b"k" * 32, key_id="k1")
    assert not running.is_newest(INGEST, new)
    assert [running.unwrap(INGEST, "t1", one, key_id="k1") for one in (new, old)] == [b"k" * 32] * 2
    assert running.is_newest(INGEST, new)
    assert [stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()] == [0o600, 0o600]
    assert len(LocalKeyFiles.drop_old_generations(keys)) == 2
    assert LocalKeyFiles.drop_old_generations(keys) == ()
    with pytest.raises(KeyRefused):
        LocalKeyFiles(keys, frozenset({INGEST})).unwrap(INGEST, "t1", old, key_id="k1")


def test_generations_of_a_damaged_or_missing_directory_are_refused(keys: Path, tmp_path: Path) -> None:
    before = (keys / "credential.key").read_bytes()
    (keys / "ingest.key").write_bytes(b"short")
    for directory in (keys, tmp_path / "none"):
        with pytest.raises(ConfigError):
            LocalKeyFiles.add_generation(directory)
    assert (keys / "credential.key").read_bytes() == before


def test_a_ring_opens_what_another_process_with_the_same_key_file_sealed(keys: Path) -> None:
    writer, reader = vault_of(keys, INGEST), vault_of(keys, INGEST)
    wrapped = writer.new_data_key(INGEST, "t1")
    sealed = writer.ring(INGEST, "t1", [wrapped]).seal_text(b"secret", PLACE)
    assert reader.ring(INGEST, "t1", [wrapped]).open_text(sealed, PLACE) == b"secret"


def test_the_holder_of_the_ingest_key_opens_no_credential_key(keys: Path) -> None:
    edge, full = vault_of(keys, INGEST), vault_of(keys, INGEST, CREDENTIAL)
    wrapped = full.new_data_key(CREDENTIAL, "t1")
    with pytest.raises(ConfigError, match=r"credential\.key"):
        edge.ring(CREDENTIAL, "t1", [wrapped]).warm()
    with pytest.raises(ConfigError, match=r"credential\.key"):
        edge.new_data_key(CREDENTIAL, "t1")
    with pytest.raises(KeyRefused):
        edge.ring(INGEST, "t1", [wrapped]).warm()


@pytest.mark.req(32)
def test_a_wrapped_key_moved_altered_or_of_another_key_file_is_refused(keys: Path, tmp_path: Path) -> None:
    vault = vault_of(keys, INGEST, CREDENTIAL)
    wrapped = vault.new_data_key(INGEST, "t1")
    vault.ring(INGEST, "t1", [wrapped]).warm()
    other_id = vault.new_data_key(INGEST, "t1").key_id
    for purpose, tenant, key, expected in (
        (INGEST, "t2", wrapped, SealBroken),
        (CREDENTIAL, "t1", wrapped, KeyRefused),
        (INGEST, "t1", replace(wrapped, key_id=other_id), SealBroken),
    ):
        with pytest.raises(expected):
            vault.ring(purpose, tenant, [key]).warm()
    LocalKeyFiles.create(tmp_path / "other")
    with pytest.raises(KeyRefused, match="key file"):  # a wrong setting of ours: nothing of the tenant's is broken
        vault_of(tmp_path / "other", INGEST).ring(INGEST, "t1", [wrapped]).warm()


@pytest.mark.req(32)
def test_every_flipped_bit_of_a_wrapped_key_is_refused(keys: Path) -> None:
    vault = vault_of(keys, INGEST)
    wrapped = vault.new_data_key(INGEST, "t1")
    text = wrapped.wrapped.encode()
    name = range(text.index(b"|") + 1, text.index(b"|", 2))  # which key file: another one, not a broken key
    for bit in range(len(text) * 8):
        altered = bytearray(text)
        altered[bit // 8] ^= 1 << (bit % 8)
        renamed = bit // 8 in name and altered[bit // 8] != ord("|")
        with pytest.raises(KeyRefused if renamed else SealBroken):
            vault.ring(INGEST, "t1", [replace(wrapped, wrapped=altered.decode("latin-1"))]).warm()
    for foreign in ("", "1|a|b", "1|||", "1|344e4602f30e9268||"):
        with pytest.raises(SealBroken):
            vault.ring(INGEST, "t1", [replace(wrapped, wrapped=foreign)]).warm()


class CountingProvider:
    """Hands out one fixed key, and counts how often it was asked."""

    def __init__(self) -> None:
        self.unwrapped = 0

    def wrap(self, purpose: KeyPurpose, tenant_id: str, key: bytes, *, key_id: str) -> str:
        return "wrapped"

    def unwrap(self, purpose: KeyPurpose, tenant_id: str, wrapped: str, *, key_id: str) -> bytes:
        self.unwrapped += 1
        return b"k" * 32


def test_opened_keys_are_shared_by_all_rings_until_they_are_forgotten() -> None:
    provider = CountingProvider()
    vault = Vault(provider)
    key = WrappedDataKey(key_id="00000000-0000-7000-8000-000000000001", wrapped="wrapped")
    for _ in range(3):
        vault.ring(INGEST, "t1", [key]).warm()
    assert provider.unwrapped == 1
    vault.ring(INGEST, "t2", [key]).warm()
    assert provider.unwrapped == 2
    held = vault.ring(INGEST, "t1", [key])
    vault.forget("t1")
    held.warm()
    vault.ring(INGEST, "t2", [key]).warm()
    assert provider.unwrapped == 2
    vault.ring(INGEST, "t1", [key]).warm()
    assert provider.unwrapped == 3


def test_building_a_ring_asks_the_provider_for_nothing() -> None:
    provider = CountingProvider()
    ring = Vault(provider).ring(INGEST, "t1", [WrappedDataKey(key_id="00000000-0000-7000-8000-000000000001", wrapped="w")])
    assert provider.unwrapped == 0
    assert not ring.ready
