"""`channels connectors|accounts|tokens|fallbacks|audit` as a person runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.cli.__main__ import cli
from shared.domain.errors import Conflict, InvalidInput, NotFound
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        for name, value in {
            "CHANNELS_STACK": "external",
            "CHANNELS_DATABASE_API_URL": database.api_url,
            "CHANNELS_KEYS_DIR": str(tmp_path / "keys"),
            "CHANNELS_TENANT": made.tenant,
        }.items():
            monkeypatch.setenv(name, value)
        yield made


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=typed)


def listed(*arguments: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


@pytest.mark.req(16, 57)
def test_states_are_moved_and_shown(management: Management) -> None:
    connector = management.connector()
    account = management.account(connector)
    refused = run("connectors", "status", connector, "active")
    assert isinstance(refused.exception, Conflict)
    assert refused.exception.reason == "token_missing"
    management.token(connector)
    management.check(connector)
    assert run("connectors", "status", connector, "active").stdout == f"{connector} is active\n"
    assert run("accounts", "status", account, "active").stdout == f"{account} is active\n"
    table = run("connectors", "list").stdout.splitlines()
    assert table[0].split() == ["id", "tipo", "nome", "status", "ultimo_heartbeat"]
    assert table[1].split() == [connector, "whatsapp_official", "Meta", "active", "-"]
    assert [row["id"] for row in listed("accounts", "list", "--connector", connector, "--status", "active")] == [account]
    assert json.loads(run("accounts", "show", account, "--json").stdout)["identidade"] == "5511900000001"


@pytest.mark.req(2)
def test_a_credential_is_typed_and_never_printed(management: Management) -> None:
    connector = management.connector()
    added = run("tokens", "add", "--connector", connector, "--kind", "access_token", typed="canary-000000\n")
    assert added.exit_code == 0, added.output
    shown = run("tokens", "list", "--connector", connector, "--json").stdout + run("audit", "--json").stdout
    assert "canary" not in shown + added.stdout
    (token,) = listed("tokens", "list", "--connector", connector)
    assert run("tokens", "revoke", token["id"]).stdout == f"revoked {token['id']}\n"
    assert listed("tokens", "list", "--connector", connector) == []


@pytest.mark.req(18, 50, 54)
def test_fallbacks_and_deletions_keep_their_rules(management: Management) -> None:
    connector = management.connector()
    account = management.account(connector)
    wrong = run("fallbacks", "add", "--account", account, "--tipo", "voicemail", "--destino", "nowhere")
    assert isinstance(wrong.exception, InvalidInput)
    added = run("fallbacks", "add", "--account", account, "--tipo", "voicemail", "--destino", "ops@example.com")
    fallback = added.stdout.split()[-1]
    assert run("fallbacks", "default", "--connector", connector, "--fallback", fallback).exit_code == 0
    assert isinstance(run("fallbacks", "delete", fallback).exception, Conflict)
    assert isinstance(run("connectors", "delete", connector).exception, Conflict)
    assert run("fallbacks", "default", "--connector", connector).stdout == f"default of {connector}: none\n"
    assert run("fallbacks", "delete", fallback).exit_code == 0
    assert listed("fallbacks", "list", "--account", account) == []
    assert run("accounts", "delete", account).exit_code == 0
    assert run("connectors", "delete", connector).exit_code == 0
    assert listed("connectors", "list") == []
    assert [row["action"] for row in listed("audit", "--subject", connector, "--limit", "1")] == ["connector.deleted"]


@pytest.mark.req(10)
def test_another_tenants_objects_do_not_exist(management: Management, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = management.connector()
    other = management.another_tenant()
    monkeypatch.setenv("CHANNELS_TENANT", other)
    assert listed("connectors", "list") == []
    for command in (["show", connector], ["status", connector, "archived"], ["delete", connector]):
        assert isinstance(run("connectors", *command).exception, NotFound), command
