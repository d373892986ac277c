"""Canary: what was opened shows in no repr, no error, no log line, whatever goes wrong around it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from shared.adapters.object_store import ObjectStore
from shared.adapters.receiving_secrets import open_segredo, seal_segredo
from shared.adapters.sealing import Aad, KeyRing
from shared.adapters.vault import LocalKeyFiles, Vault
from shared.domain.enums import KeyPurpose, SecretUse
from shared.domain.errors import ChannelsError, ConfigError
from shared.providers.contract import ReceivingSecret
from shared.runtime.logging import configure_logging
from shared.runtime.settings import LogSettings

CANARY = "canary-secret-5511900000001"
PLACE = Aad("t1", "channel_token", "valor_encrypted", "row-1")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    LocalKeyFiles.create(tmp_path)
    return tmp_path


@pytest.fixture
def vault(keys: Path) -> Vault:
    return Vault(LocalKeyFiles(keys, frozenset({KeyPurpose.INGEST})))


@pytest.fixture
def ring(vault: Vault) -> KeyRing:
    return vault.ring(KeyPurpose.INGEST, "t1", [vault.new_data_key(KeyPurpose.INGEST, "t1")])


def secrets_of(keys: Path) -> list[str]:
    return [CANARY, *((keys / name).read_text().strip() for name in ("ingest.key", "credential.key"))]


@pytest.mark.req(2)
def test_no_object_shows_what_it_holds(keys: Path, vault: Vault, ring: KeyRing) -> None:
    secret = ReceivingSecret(id="w1/0", use=SecretUse.SIGN, value=CANARY.encode())
    ring.warm()
    sealed = seal_segredo(ring, "t1", "w1", [secret])
    opened = open_segredo(ring, "t1", "w1", sealed)
    objects = [vault, ring, secret, opened, LocalKeyFiles(keys, frozenset(KeyPurpose)), ObjectStore("memory:///")]
    told = "".join(f"{each!r} {each!s}" for each in objects) + sealed
    assert [canary for canary in secrets_of(keys) if canary in told] == []


def _moved(ring: KeyRing) -> None:
    ring.open_text(ring.seal_text(CANARY.encode(), PLACE), Aad("t2", "channel_token", "valor_encrypted", "row-1"))


def _of_another_shape(ring: KeyRing) -> None:
    place = Aad("t1", "channel_webhook", "segredo", "w1")
    open_segredo(ring, "t1", "w1", ring.seal_text(f'[{{"use": "sign", "value": "{CANARY}!"}}]'.encode(), place))


def _unwrapped_by_mistake(ring: KeyRing) -> None:
    ring.open_text(CANARY, PLACE)


def _unwrapped_with_bars(ring: KeyRing) -> None:
    ring.open_text(f"{CANARY}|{CANARY}|{CANARY}|{CANARY}", PLACE)


@pytest.mark.req(2)
@pytest.mark.parametrize("go_wrong", [_moved, _of_another_shape, _unwrapped_by_mistake, _unwrapped_with_bars])
@pytest.mark.parametrize("log_format", ["json", "columns"])
def test_no_error_and_no_log_line_of_it_quotes_a_secret(
    go_wrong: Callable[[KeyRing], None], log_format: str, keys: Path, ring: KeyRing, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("test", LogSettings(log_format=log_format))
    opened = ring.open_text(ring.seal_text(CANARY.encode(), PLACE), PLACE)
    assert opened == CANARY.encode()  # a local variable, which a traceback must not show
    try:
        go_wrong(ring)
        raise AssertionError("it was to go wrong")
    except ChannelsError as error:
        structlog.get_logger().exception("it_went_wrong", error=str(error))
        told = f"{error} {error!r}"
    logged = capsys.readouterr().err
    assert "it_went_wrong" in logged
    assert [canary for canary in secrets_of(keys) if canary in told + logged] == []


def test_a_damaged_key_file_is_not_quoted(keys: Path) -> None:
    path = keys / "ingest.key"
    half = path.read_text()[:20]
    path.write_text(half)
    with pytest.raises(ConfigError) as caught:
        LocalKeyFiles(keys, frozenset({KeyPurpose.INGEST}))
    assert half not in "".join(traceback.format_exception(caught.value))
