"""The command `channels apply` as a person runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.apply import apply
from shared.adapters.local_keys import LocalKeyFiles
from shared.domain.errors import ConfigError, Unavailable
from shared.management.manifest_text import ManifestFaults
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import connect

EXAMPLE = str(Path(__file__).parents[2] / "docs" / "examples" / "channels.yaml")


@pytest.fixture(autouse=True)
def environment(database: DatabaseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    LocalKeyFiles.create(tmp_path / "keys")
    for name, value in {
        "CHANNELS_STACK": "external",
        "CHANNELS_DATABASE_API_URL": database.api_url,
        "CHANNELS_KEYS_DIR": str(tmp_path / "keys"),
        "CHANNELS_PUBLIC_URL": "https://edge.example.org/",
        "META_TOKEN": "canary-token",
        "META_APP_SECRET": "canary-app",
        "META_VERIFY_TOKEN": "canary-verify",
    }.items():
        monkeypatch.setenv(name, value)
    return iter([None])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(apply, ["-f", EXAMPLE, *arguments])


def connectors(database: DatabaseUnderTest) -> int:
    with connect(database.owner_url) as connection:
        return len(connection.execute("SELECT 1 FROM channel_connector").fetchall())


def test_it_tells_what_it_does_and_never_a_secret(database: DatabaseUnderTest) -> None:
    tried = run("--dry-run")
    assert (tried.exit_code, connectors(database)) == (0, 0)
    assert "to be created, 0 unchanged  (dry run: nothing was written)" in tried.output
    done = run()
    assert (done.exit_code, connectors(database)) == (0, 1)
    assert '+ connector "WhatsApp Oficial - Meta"' in done.output
    assert "webhook  https://edge.example.org/webhooks/" in done.output
    again = run()
    assert again.output.startswith("nothing to change: everything is as the file says")
    assert "canary" not in tried.output + done.output + again.output


def test_its_json_names_ids_and_addresses() -> None:
    report = json.loads(run("--json").output)
    (connector,) = report["connectors"]
    assert connector["webhook_url"] == f"https://edge.example.org/webhooks/{connector['id']}"
    assert [account["status"] for account in connector["accounts"]] == ["active", "active"]


def test_what_stands_in_its_way_is_one_expected_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("META_TOKEN")
    assert isinstance(run().exception, ManifestFaults)
    monkeypatch.setenv("META_TOKEN", "x")
    monkeypatch.setenv("CHANNELS_DATABASE_API_URL", "postgresql://channels_api@/x?host=/nowhere")
    assert isinstance(run().exception, Unavailable)
    monkeypatch.delenv("CHANNELS_DATABASE_API_URL")
    assert isinstance(run().exception, ConfigError)
