"""`channels apply`: the documented example, idempotence, every fault at once, secrets from their sources and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.adapters.database import unit_of_work
from shared.adapters.receiving_secrets import open_segredo
from shared.domain.enums import ConnectorStatus, KeyPurpose
from shared.management.connectors import change_status
from shared.management.data_keys import wrapped_keys
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.manifests import EXAMPLE, SECRETS, Setup, setup_of


@pytest.fixture
def setup(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Setup]:
    with setup_of(database, tmp_path) as made:
        yield made


@pytest.fixture
def example() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return document


def connector_of(example: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = example["tenants"][0]["connectors"][0]
    return part


def test_the_documented_example_sets_everything_up(setup: Setup) -> None:
    report = setup.apply(EXAMPLE.read_text())
    (connector,) = report.connectors
    assert (connector.status, connector.webhook_url) == ("active", f"https://edge.example.org/webhooks/{connector.id}")
    assert [(account.identidade, account.status) for account in connector.accounts] == [
        ("5511900000001", "active"),
        ("5511900000002", "active"),
    ]
    assert setup.rows("SELECT count(*), count(DISTINCT evento), min(status::text) FROM channel_webhook") == [(5, 5, "active")]
    assert setup.rows("SELECT status, count(*) FROM channel_health_check GROUP BY 1") == [("passed", 1)]
    assert setup.rows("SELECT org_unit_id IS NULL, intake_flow_id IS NULL FROM channel_account ORDER BY identidade") == [
        (False, True),
        (True, False),
    ]
    ((webhook, tenant, segredo),) = setup.rows(
        "SELECT w.id::text, tenant_id::text, segredo"
        " FROM channel_webhook w JOIN channel_connector c ON c.id = connector_id LIMIT 1"
    )
    with unit_of_work(setup.engine, tenant_id=tenant) as session:
        ring = setup.vault.ring(KeyPurpose.INGEST, tenant, wrapped_keys(session, tenant, KeyPurpose.INGEST))
    assert [secret.value for secret in open_segredo(ring, tenant, webhook, segredo)] == [b"canary-app", b"canary-verify"]


def test_a_second_run_changes_nothing_and_says_so(setup: Setup) -> None:
    first = setup.apply(EXAMPLE.read_text())
    before = setup.everything()
    second = setup.apply(EXAMPLE.read_text())
    assert (len(first.changes) > 0, second.changes) == (True, ())
    assert setup.everything() == before
    assert second.connectors == first.connectors


def test_one_difference_is_one_change(setup: Setup, example: dict[str, Any]) -> None:
    setup.apply(example)
    account = connector_of(example)["accounts"][0]
    account["nome_exibicao"] = "Help desk"
    assert [change.action for change in setup.apply(example).changes] == ["account.updated"]
    example["tenants"][0]["flows"][0]["published"] = False
    assert [change.action for change in setup.apply(example).changes] == ["automation_flow.updated"]
    connector_of(example)["capabilities"] = [{"feature": "templates", "enabled": False}]
    assert [change.action for change in setup.apply(example).changes] == ["capability.set"]
    setup.public_url = "https://moved.example.org"
    assert {change.action for change in setup.apply(example).changes} == {"webhook.updated", "account.updated"}


@pytest.mark.req(31)
def test_a_new_secret_is_stored_and_the_old_token_stays(setup: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    rotated = setup.apply(
        EXAMPLE.read_text(), secrets={**SECRETS, "META_TOKEN": "canary-token-2", "META_APP_SECRET": "canary-app-2"}
    )
    assert sorted(change.action for change in rotated.changes) == ["token.added", *["webhook.secrets_set"] * 5]
    assert setup.rows("SELECT count(*) FROM channel_token") == [(2,)]
    # The first value is still there: giving it again stores no third row.
    assert not [change for change in setup.apply(EXAMPLE.read_text()).changes if change.action == "token.added"]


def test_ids_in_the_file_are_honoured(setup: Setup, example: dict[str, Any]) -> None:
    ids = [f"01900000-0000-7000-8000-00000000000{digit}" for digit in range(4)]
    example["tenants"][0]["id"] = ids[0]
    example["tenants"][0]["org_units"][0]["id"] = ids[1]
    connector_of(example)["id"] = ids[2]
    connector_of(example)["accounts"][0] |= {"id": ids[3], "org_unit": ids[1]}
    (connector,) = setup.apply(example).connectors
    assert (connector.tenant_id, connector.id, connector.accounts[0].id) == (ids[0], ids[2], ids[3])
    connector_of(example)["nome"] = "Renamed"
    assert [change.action for change in setup.apply(example).changes] == ["connector.updated"]


def test_secrets_come_from_files_beside_the_manifest(setup: Setup, example: dict[str, Any]) -> None:
    (setup.directory / "token.txt").write_text("canary-token\n")
    connector_of(example)["tokens"][0] = {"kind": "access_token", "file": "token.txt"}
    setup.apply(example)
    connector_of(example)["tokens"][0] = {"kind": "access_token", "value": "canary-token"}
    assert setup.apply(example).changes == ()  # the same secret, whatever its source


def test_every_fault_is_told_at_once_with_its_line(setup: Setup, example: dict[str, Any]) -> None:
    connector = connector_of(example)
    connector["config"] = {"waba_id": "x"}
    connector["tokens"][0]["env"] = "NOT_SET"
    connector["accounts"][0] |= {"identidade": "nobody", "org_unit": None}
    connector["accounts"][1]["config"] = {"phone_number_id": "1", "pin": "canary-pin"}
    connector["webhooks"].append({"events": ["message_in"], "secrets": [{"use": "sign", "file": "nowhere"}]})
    example["tenants"][0]["timezone"] = "Mars/Olympus"
    told = setup.faults(example)
    places = [re.sub(r"line \d+: (\S+):.*", r"\1", fault) for fault in told]
    base = "tenants[0].connectors[0]"
    assert sorted(places) == sorted(
        [
            "tenants[0].timezone",
            f"{base}.config.waba_id",
            f"{base}.tokens[0].env",
            f"{base}.accounts[0]",
            f"{base}.accounts[0].identidade",
            f"{base}.accounts[1].config.pin",
            f"{base}.webhooks[1]",
            f"{base}.webhooks[1].secrets[0].file",
        ]
    )
    lines = yaml.safe_dump(example, sort_keys=False).splitlines()
    (pin,) = [fault for fault in told if ".pin" in fault]
    assert "pin:" in lines[int(pin.split()[1].rstrip(":")) - 1]
    assert "canary" not in "".join(told)
    assert setup.rows("SELECT count(*) FROM tenant") == [(0,)]


def test_faults_that_only_the_database_knows_are_told_with_the_others(setup: Setup, example: dict[str, Any]) -> None:
    connector_of(example)["accounts"][0]["org_unit"] = "Nowhere"
    connector_of(example)["accounts"][1]["identidade"] = "nobody"
    told = setup.faults(example)
    assert [re.sub(r"line \d+: (\S+):.*", r"\1", fault) for fault in told] == [
        "tenants[0].connectors[0].accounts[0].org_unit",
        "tenants[0].connectors[0].accounts[1].identidade",
    ]
    assert setup.rows("SELECT count(*) FROM tenant") == [(0,)]


def test_a_connector_without_its_token_is_not_activated(setup: Setup, example: dict[str, Any]) -> None:
    connector_of(example)["tokens"] = []
    (fault,) = setup.faults(example)
    assert "needs a token of kind access_token" in fault
    connector_of(example)["status"] = "pending"
    report = setup.apply(example)
    assert report.connectors[0].status == "pending"
    assert [note.split()[1:4] for note in report.notes] == [
        ["5511900000001", "stays", "pending:"],
        ["5511900000002", "stays", "pending:"],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: the file is empty"),
        ("version: [", "line 1: not YAML"),
        ("version: 1\nversion: 1\n", "line 2: version: given twice"),
        ("version: 1\n2: 3\n", "line 2: a name must be text"),
        ("a: &a [*a]\n", "line 1: "),
        ("version: 2\ntenants: []\n", "line 1: version: Input should be 1"),
        ("version: 1\ntenants:\n- name: 12345\n", "line 3: tenants[0].name: must be text (put digits in quotes)"),
        ("version: 1\ntenants:\n- name: A\n  colour: red\n", "line 4: tenants[0].colour: is not a known name"),
        ("version: 1\ntenants:\n- timezone: UTC\n", "line 3: tenants[0].name: is missing"),
    ],
)
def test_a_broken_form_is_told_by_line(setup: Setup, text: str, expected: str) -> None:
    assert setup.faults(text)[0].startswith(expected)


@pytest.mark.parametrize("token", [{"value": "canary", "env": "X"}, {}, {"value": 12345}, {"value": ["canary"]}])
def test_a_secret_has_one_source_and_is_never_echoed(setup: Setup, example: dict[str, Any], token: dict[str, Any]) -> None:
    connector_of(example)["tokens"][0] = {"kind": "access_token", **token}
    told = "".join(setup.faults(example))
    assert "tokens[0]" in told
    assert not {"canary", "12345"} & set(re.findall(r"\w+", told))


def test_a_connector_in_error_is_left_to_its_checks(setup: Setup) -> None:
    (connector,) = setup.apply(EXAMPLE.read_text()).connectors
    with unit_of_work(setup.engine, tenant_id=connector.tenant_id) as session:
        change_status(session, connector.id, ConnectorStatus.ERROR, cause="token_rejected", actor="health")
        session.commit()
    report = setup.apply(EXAMPLE.read_text())
    assert (report.changes, report.connectors[0].status) == ((), "error")
    assert "is in error" in report.notes[0]


def test_an_archived_connector_makes_room_for_a_new_one(setup: Setup, example: dict[str, Any]) -> None:
    (first,) = setup.apply(example).connectors
    connector_of(example)["status"] = "archived"
    assert setup.apply(example).connectors[0].status == "archived"
    connector_of(example)["status"] = "active"
    (second,) = setup.apply(example).connectors
    assert (second.id != first.id, second.status) == (True, "active")
