"""`channels connectors|accounts|capabilities|tokens|webhooks|fallbacks|audit` as a person runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from services.cli.__main__ import cli
from services.cli.reference import commands
from shared.adapters.clock import new_uuid7
from shared.domain.enums import Feature
from shared.domain.errors import Conflict, InvalidInput, NotFound
from shared.management.descriptions import apply_description
from shared.providers.describing import AccountDescription
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of
from tests.integration.rows import connect

NO_SUCH = "0198c0de-0000-7000-8000-000000000001"


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        for name, value in {
            "CHANNELS_STACK": "external",
            "CHANNELS_DATABASE_API_URL": database.api_url,
            "CHANNELS_DATABASE_WORKER_URL": database.worker_url,
            "CHANNELS_KEYS_DIR": str(tmp_path / "keys"),
            "CHANNELS_PUBLIC_URL": "https://edge.example.org",
            "CHANNELS_TENANT": made.tenant,
        }.items():
            monkeypatch.setenv(name, value)
        yield made


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=typed)


def done(*arguments: str, typed: str | None = None) -> str:
    result = run(*arguments, typed=typed)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def given(*arguments: str, typed: str | None = None) -> Any:
    return json.loads(done(*arguments, "--json", typed=typed))


def refused(*arguments: str, typed: str | None = None) -> str:
    error = run(*arguments, typed=typed).exception
    assert isinstance(error, InvalidInput | NotFound | Conflict), error
    return str(error)


@pytest.mark.req(16, 57)
def test_states_are_moved_and_shown(management: Management) -> None:
    connector = management.connector()
    account = management.account(connector)
    stopped = run("connectors", "status", connector, "active")
    assert isinstance(stopped.exception, Conflict)
    assert stopped.exception.reason == "token_missing"
    management.token(connector)
    management.check(connector)
    assert done("connectors", "status", "Meta", "active") == f"{connector} is active\n"
    assert done("accounts", "status", "+55 11 90000-0001", "active") == f"{account} is active\n"
    table = done("connectors", "list").splitlines()
    assert table[0].split() == ["id", "tipo", "nome", "status", "ultimo_heartbeat"]
    assert table[1].split() == [connector, "whatsapp_official", "Meta", "active", "-"]
    assert [row["id"] for row in given("accounts", "list", "--connector", connector, "--status", "active")] == [account]
    assert given("accounts", "show", account)["identidade"] == "5511900000001"
    assert f"identidade      {'5511900000001'}" in done("accounts", "show", account)
    assert [row["status"] for row in given("connectors", "checks", "Meta")] == ["passed"]
    assert (
        given("connectors", "usage", "Meta") == given("accounts", "usage", account) == given("accounts", "checks", account) == []
    )
    report = given("accounts", "report", account)
    assert (report["connectivity"]["account"], report["connectivity"]["last_check"]["status"]) == ("active", "passed")
    assert {row["feature"] for row in report["limits"]["capabilities"]} == {feature.value for feature in Feature}
    assert "account        5511900000001 (active)\nconnector      Meta (active)\n" in done("accounts", "report", account)
    assert done("connectors", "archive", "Meta") == f"{connector} is archived\n"


def test_a_connector_and_an_account_from_nothing(management: Management, tmp_path: Path) -> None:
    meta = ("connectors", "create", "--tipo", "whatsapp_official", "--nome", "日本 支店")
    made = given(*meta, "--config", "waba_id=100000000000000", "--projeto-referencia", "100000000000009")
    assert made["config"] == {"waba_id": "100000000000000"}
    config = tmp_path / "config.yaml"
    config.write_text("waba_id: '100000000000001'\napp_id: '100000000000009'\n")
    changed = given("connectors", "update", "日本 支店", "--config-file", str(config), "--config", "graph_version=v23.0")
    assert changed["config"] == {"waba_id": "100000000000001", "app_id": "100000000000009", "graph_version": "v23.0"}
    assert "app_id" not in given("connectors", "update", made["id"], "--unset", "app_id", "--nome", "Japan")["config"]
    number = ("accounts", "create", "--connector", "Japan", "--identidade", "+55 11 90000-0001")
    account = given(*number, "--unit", "Support", "--config", "phone_number_id=100000000000001", "--metadata", "team:={a: [1]}")
    assert (account["org_unit_id"], account["metadata"]) == (management.unit, {"team": {"a": [1]}})
    assert account["webhook_url"] == f"https://edge.example.org/webhooks/{made['id']}/{account['id']}"
    moved = given("accounts", "update", "5511900000001", "--flow", "Welcome", "--no-unit", "--nome-exibicao", "Help desk")
    assert (moved["org_unit_id"], moved["intake_flow_id"], moved["nome_exibicao"]) == (None, management.flow, "Help desk")
    assert [row["id"] for row in given("accounts", "list", "--flow", "Welcome")] == [account["id"]]
    assert given("accounts", "list", "--unit", "Support") == []
    assert "bot_id" in json.loads(done("connectors", "schema", "telegram"))["connector"]["properties"]
    assert run("accounts", "update", "5511900000001").exit_code == 2
    assert refused("accounts", "update", "5511900000001", "--no-flow") == "an account needs org_unit_id or intake_flow_id"


def test_a_name_that_does_not_exist_is_answered_with_those_that_do(management: Management) -> None:
    assert refused("connectors", "show", "Meta") == "no connector 'Meta'; the tenant has none"
    connector = management.connector()
    management.connector(nome="Second")
    management.account(connector)
    assert refused("connectors", "show", "Mata") == "no connector 'Mata'; did you mean 'Meta'? there are 'Meta', 'Second'"
    assert refused("connectors", "show", NO_SUCH) == f"no connector '{NO_SUCH}'; there are 'Meta', 'Second'"
    assert "did you mean '5511900000001'? there is '5511900000001'" in refused("accounts", "show", "5511900000002")
    assert "no unit 'Suport'; did you mean 'Support'?" in refused("accounts", "list", "--unit", "Suport")
    assert refused("tokens", "show", NO_SUCH) == f"no token {NO_SUCH}; `channels tokens list` shows them"
    assert refused("webhooks", "show", "x") == "'x' is no id of a webhook; `channels webhooks list` shows them"
    assert refused("connectors", "list", "--tenant", NO_SUCH) == f"there is no tenant {NO_SUCH}"
    assert "no tenant is named 'Nobody'" in refused("connectors", "list", "--tenant", "Nobody")
    assert len(given("connectors", "list", "--tenant", "Acme")) == 2
    management.connector()
    assert "several connectors are named 'Meta'" in refused("connectors", "show", "Meta")
    done("connectors", "archive", connector)
    assert given("connectors", "show", "Meta")["id"] != connector  # an archived one makes room


@pytest.mark.req(2, 31)
def test_a_credential_comes_in_by_every_way_and_goes_out_by_none(
    management: Management, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = management.connector()
    add = ("tokens", "add", "--connector", "Meta", "--kind", "access_token")
    path = tmp_path / "token"
    path.write_text("canary-file\n")
    monkeypatch.setenv("MINE", "canary-variable")
    first = given(*add, "--value-file", str(path), "--expires-at", "2031-01-31", "--metadata", "scopes:=[messages]")
    assert (first["expires_at"], first["metadata"]) == ("2031-01-31T00:00:00+00:00", {"scopes": ["messages"]})
    done(*add, "--value-env", "MINE")
    done(*add, typed="canary-000000\n")
    done(*add, "--value-file", "-", typed="canary-piped")
    monkeypatch.setenv("CHANNELS_NEW_TOKEN", "canary-usual")
    done(*add)
    assert refused(*add, "--value-env", "NOT_SET") == "environment variable NOT_SET is not set"
    assert len(given("tokens", "list", "--connector", connector)) == 5
    assert given("tokens", "update", first["id"], "--metadata", "owner=ops")["metadata"] == {"owner": "ops"}
    assert "canary" not in done("tokens", "list", "--connector", "Meta") + done("audit", "--json")
    assert done("tokens", "revoke", first["id"]) == f"revoked {first['id']}\n"
    assert len(given("tokens", "list", "--connector", connector, "--limit", "3")) == 3


@pytest.mark.req(36, 37, 65)
def test_webhooks_are_made_turned_off_and_on_and_told_to_the_provider(management: Management) -> None:
    connector = management.connector()
    management.account(connector)
    create = ("webhooks", "create", "--connector", "Meta")
    one = given(*create, "--evento", "message_in", "--disabled")
    assert [(row["evento"], row["status"], row["has_secret"]) for row in one] == [("message_in", "disabled", False)]
    assert "needs at least one secret" in refused("webhooks", "activate", one[0]["id"])
    rest = given(*create, typed="canary-secret\n")
    assert [row["evento"] for row in rest] == ["message_status", "delivery", "contact_update", "fallback"]
    assert run(*create).exit_code == 2  # every class has a row
    row = rest[0]["id"]
    assert done("webhooks", "deactivate", row).startswith(f"{row} (message_status) is disabled, at https://edge.example.org/")
    assert given("webhooks", "activate", row)["status"] == "active"
    assert given("webhooks", "update", row, "--url", "https://proxy.example.com/x")["url"] == "https://proxy.example.com/x"
    assert given("webhooks", "show", row)["has_secret"] is True
    told = given("webhooks", "url", "--connector", "Meta")
    assert told["url"] == f"https://edge.example.org/webhooks/{connector}"
    assert list(told["accounts"]) == ["5511900000001"]
    assert f"connector      {told['url']}" in done("webhooks", "url", "--connector", "Meta")
    assert "canary" not in done("webhooks", "list", "--connector", "Meta", "--json")
    (secret,) = given("webhooks", "secrets", "list", "--connector", "Meta")
    assert secret["webhooks"] == ["message_status", "delivery", "contact_update", "fallback"]
    assert done("webhooks", "delete", row) == f"deleted {row}\n"
    assert len(given("webhooks", "list", "--connector", "Meta")) == 4


@pytest.mark.req(28, 29, 30)
def test_capabilities_are_turned_off_and_limited(management: Management) -> None:
    management.connector()
    assert len(given("capabilities", "list", "--connector", "Meta")) == 6
    assert done("capabilities", "set", "--connector", "Meta", "templates", "--off") == "templates of Meta is off\n"
    limited = given("capabilities", "set", "--connector", "Meta", "messages", "--constraint", "rate_per_second:=20")
    assert (limited["enabled"], limited["constraints"]["rate_per_second"], limited["constraints"]["reply"]) == (True, 20, True)
    assert run("capabilities", "set", "--connector", "Meta", "typing").exit_code == 2
    assert "constraints.rate_per_second" in done("capabilities", "list", "--connector", "Meta")
    assert done("capabilities", "follow", "--connector", "Meta", "messages") == "messages of Meta follows the provider\n"
    (messages,) = [one for one in given("capabilities", "list", "--connector", "Meta") if one["feature"] == "messages"]
    assert (messages["manual"], messages["constraints"]["rate_per_second"]) == ([], 60)


@pytest.mark.req(20)
def test_a_name_is_given_back_to_the_provider(management: Management) -> None:
    account = management.account(management.connector(), nome_exibicao="Balcão")
    told = AccountDescription(display_name="Loja", tier="TIER_250")
    now = datetime.now(UTC)
    management.run(lambda session: apply_description(session, account, told, now=now, actor="sync"))
    assert given("accounts", "show", account)["nome_exibicao"] == "Balcão"
    assert given("accounts", "update", account, "--provider-name")["nome_exibicao"] == "Loja"
    assert re.search(r"^tier +TIER_250$", done("accounts", "report", account), re.MULTILINE)
    assert given("accounts", "report", account)["described"]["nome_exibicao_manual"] is False
    assert run("accounts", "update", account, "--provider-name", "--nome-exibicao", "x").exit_code == 2


@pytest.mark.req(18, 50, 54)
def test_fallbacks_and_deletions_keep_their_rules(management: Management) -> None:
    connector = management.connector()
    account = management.account(connector)
    assert "goes to a mail address" in refused("fallbacks", "add", "--account", account, "--tipo", "voicemail", "--destino", "x")
    added = given("fallbacks", "add", "--account", account, "--tipo", "voicemail", "--destino", "ops@example.com")
    fallback = added["id"]
    assert given("fallbacks", "update", fallback, "--off", "--destino", "night@example.com")["ativo"] is False
    assert given("fallbacks", "show", fallback)["destino"] == "night@example.com"
    done("fallbacks", "default", "--connector", "Meta", "--fallback", fallback)
    assert "it is a connector's default" in refused("fallbacks", "delete", fallback)
    assert "archive it" in refused("connectors", "delete", connector)
    assert done("fallbacks", "default", "--connector", connector) == f"default of {connector}: none\n"
    done("fallbacks", "delete", fallback)
    assert done("fallbacks", "list", "--account", "5511900000001") == "none\n"
    done("accounts", "delete", account)
    done("connectors", "delete", connector)
    assert given("connectors", "list") == []
    assert [row["action"] for row in given("audit", "--subject", connector, "--limit", "1")] == ["connector.deleted"]


@pytest.mark.req(47)
def test_mappings_are_found_by_either_side(management: Management) -> None:
    connector = management.connector()
    account, contact = management.account(connector), new_uuid7()
    key = "phone:5511900000009"
    with connect(str(management.engine.url.set(username="channels_worker").render_as_string(hide_password=False))) as worker:
        worker.execute(
            "INSERT INTO channel_mapping (id, connector_id, account_id, chave_externa, entidade_type, entidade_id)"
            " VALUES (%s, %s, %s, %s, 'contact', %s)",
            (new_uuid7(), connector, account, key, contact),
        )
    (found,) = given("mappings", "--key", key)
    assert (found["entidade_id"], found["account_id"]) == (contact, account)
    assert [found] == given("mappings", "--id", contact) == given("mappings", "--account", "5511900000001", "--type", "contact")
    assert given("mappings", "--connector", "Meta", "--type", "message") == []
    assert run("mappings").exit_code == 2
    assert "is no id" in refused("mappings", "--id", "x")


@pytest.mark.req(76)
def test_the_audit_log_is_read_page_by_page(management: Management) -> None:
    management.account(management.connector())
    whole = given("audit", "--limit", "1000")
    assert len(whole) > 9
    pages: list[dict[str, Any]] = []
    asked: tuple[str, ...] = ()
    for _ in whole:  # more pages than there can be
        result = run("audit", "--limit", "4", "--json", *asked)
        pages += json.loads(result.stdout)
        if not result.stderr:
            break
        assert f"--before {pages[-1]['id']}" in result.stderr
        asked = ("--before", str(pages[-1]["id"]))
    assert pages == whole
    assert {row["action"] for row in given("audit", "--action", "account.created")} == {"account.created"}
    assert given("audit", "--until", "2020-01-01") == []
    assert given("audit", "--who", "cli:nobody-of-this-name") == []
    assert "is no id" in refused("audit", "--subject", "Meta")


@pytest.mark.req(10)
def test_another_tenants_objects_do_not_exist(management: Management, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = management.connector()
    account = management.account(connector)
    token = management.token(connector)
    other = management.another_tenant()
    monkeypatch.setenv("CHANNELS_TENANT", other)
    assert given("connectors", "list") == []
    named = [
        *(("connectors", verb, name) for verb in ("show", "archive", "delete", "checks") for name in (connector, "Meta")),
        *(("accounts", verb, name) for verb in ("show", "delete") for name in (account, "5511900000001")),
        ("tokens", "list", "--connector", connector),
        ("tokens", "revoke", token),
        ("webhooks", "url", "--connector", connector),
        ("webhooks", "secrets", "list", "--connector", connector),
        ("certificates", "list", "--connector", connector),
        ("fallbacks", "list", "--account", account),
    ]
    for command in named:
        told = refused(*command)
        assert "Meta'" not in told.partition(";")[2], command  # what is the other's is suggested to nobody
    monkeypatch.delenv("CHANNELS_TENANT")
    assert done("webhooks", "secrets", "list", "--connector", connector) == "none\n"  # an operator who names no tenant
    assert "says nothing without --tenant" in refused("webhooks", "secrets", "list", "--connector", "Meta")


@pytest.mark.req(2)
def test_no_command_prints_a_secret(management: Management, database: DatabaseUnderTest, tmp_path: Path) -> None:
    connector = management.active_connector()
    account = management.account(connector)
    token = given("tokens", "add", "--connector", "Meta", "--kind", "secret", typed="canary-token\n")["id"]
    webhook = given("webhooks", "create", "--connector", "Meta", typed="canary-webhook\n")[0]["id"]
    fallback = given("fallbacks", "add", "--account", account, "--tipo", "voicemail", "--destino", "ops@example.com")["id"]
    arguments = {"connector": "Meta", "account": account, "token_id": token, "webhook_id": webhook, "fallback_id": fallback}
    reading = ("list", "show", "report", "checks", "usage", "url", "audit", "export")
    outputs = []
    for path, command in commands():
        words = path.split()[1:]
        if isinstance(command, click.Group) or words[-1] not in reading or words[0] in {"topics", "certificates", "dlq"}:
            continue
        given_arguments = [
            part
            for parameter in command.params
            if parameter.required and parameter.name in arguments
            for part in ([] if isinstance(parameter, click.Argument) else [parameter.opts[0]]) + [arguments[parameter.name or ""]]
        ]
        for form in ([], ["--json"]):
            outputs.append(done(*words, *given_arguments, *form))
    manifest = tmp_path / "own.yaml"
    manifest.write_text(done("export"))
    outputs += [done("apply", "-f", str(manifest), "--dry-run"), done("apply", "-f", str(manifest), "--json")]
    assert len(outputs) > 30
    everything = "".join(outputs)
    assert connector in everything
    with connect(database.owner_url) as owner:
        sealed = [row[0] for sql in _SEALED for row in owner.execute(sql).fetchall()]
    assert len(sealed) > 8
    assert "canary" not in everything
    assert not [one for one in sealed if one[-40:] in everything]


_SEALED = (
    "SELECT segredo FROM channel_webhook",
    "SELECT valor_encrypted FROM channel_token",
    "SELECT metadata->>'fingerprint' FROM channel_token",
    "SELECT wrapped FROM data_key",
)


def test_every_page_of_a_long_list_is_shown(management: Management) -> None:
    for number in range(3):
        management.connector(nome=f"Number {number}")
    assert [row["nome"] for row in given("connectors", "list", "--limit", "2")] == ["Number 0", "Number 1"]
    assert [row["nome"] for row in given("connectors", "list", "--nome", "Number 2")] == ["Number 2"]
    assert done("connectors", "list", "--tipo", "email") == "none\n"
