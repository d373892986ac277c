"""The command `channels apply` as a person runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.__main__ import cli
from services.cli.apply import apply
from shared.adapters.local_keys import LocalKeyFiles
from shared.domain.errors import ConfigError, InvalidInput, NotFound, Unavailable
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


def test_exit_codes_tell_whether_there_is_something_to_change() -> None:
    assert run("--dry-run", "--exit-code").exit_code == 3
    assert run("--dry-run").exit_code == 0
    assert run("--exit-code").exit_code == 2  # without a dry run it would say what was, not what is
    assert run().exit_code == 0
    assert run("--dry-run", "--exit-code").exit_code == 0


def test_an_export_goes_through_a_pipe_and_changes_nothing(
    database: DatabaseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    for name in ("META_TOKEN", "META_APP_SECRET", "META_VERIFY_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CHANNELS_DATABASE_WORKER_URL", database.worker_url)
    exported = invoke("export", "--tenant", "Acme")
    assert exported.exit_code == 0, exported.output
    assert exported.stdout == invoke("export", "--all").stdout
    back = invoke("apply", "-f", "-", "--dry-run", "--exit-code", typed=exported.stdout)
    assert (back.exit_code, back.stdout.splitlines()[0]) == (0, "nothing to change: everything is as the file says (12 objects)")
    data = json.loads(invoke("export", "--all", "--json").stdout)
    assert [source["env"].rpartition("META_")[2] for source in data["secrets"]] == [
        "ACCESS_TOKEN",
        "SIGNING_SECRET",
        "HANDSHAKE_SECRET",
    ]
    assert invoke("apply", "-f", "-", "--exit-code", "--dry-run", typed=json.dumps(data["manifest"])).exit_code == 0
    path = tmp_path / "acme.yaml"
    path.write_text("old")
    written = invoke("export", "--tenant", "Acme", "-o", str(path))
    assert written.stdout.startswith(f"wrote {path}: 1 tenant(s); 3 secrets")
    assert path.read_text() == exported.stdout
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_an_export_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CHANNELS_TENANT", raising=False)
    assert invoke("export").exit_code == 2
    assert isinstance(invoke("export", "--tenant", "Nobody").exception, NotFound)
    run()
    assert isinstance(invoke("export", "--tenant", "Acme", "-o", str(tmp_path / "no" / "x.yaml")).exception, InvalidInput)
    assert isinstance(invoke("apply", "-f", "-", typed="\0").exception, ManifestFaults)


def invoke(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=typed)
