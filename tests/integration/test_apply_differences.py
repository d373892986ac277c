"""What `channels apply` tells of its changes, what a dry run leaves behind (nothing), and what pruning takes out of force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.differences import as_data, told
from shared.management.manifest_diff import Action, Field
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.manifests import EXAMPLE, SECRETS, Setup, setup_of

PRUNED = {"prune": True}


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


def test_a_dry_run_writes_nothing(setup: Setup, example: dict[str, Any]) -> None:
    empty = setup.everything()
    tried = setup.apply(example, commit=False)
    assert tried.differences
    assert setup.everything() == empty
    setup.apply(example)
    before = setup.everything()
    connector_of(example)["accounts"][0]["nome_exibicao"] = "Help desk"
    rotated = {name: f"{value}-2" for name, value in SECRETS.items()}
    tried = setup.apply(example, secrets=rotated, prune=True, commit=False)
    assert {one.kind for one in tried.differences} == {"account", "token", "webhook"}
    assert setup.everything() == before


def test_changes_are_told_field_by_field(setup: Setup, example: dict[str, Any]) -> None:
    created = setup.apply(example)
    assert {one.action for one in created.differences} == {Action.CREATE}
    connector = connector_of(example)
    connector["accounts"][0]["nome_exibicao"] = "Help desk"
    connector["accounts"][0]["metadata"] = {"team": {"lead": "Ana"}}
    connector["config"]["graph_version"] = "v23.0"
    report = setup.apply(example)
    fields = {(one.kind, name): side for one in report.differences for name, side in one.fields.items()}
    assert fields == {
        ("connector", "config.graph_version"): Field(None, "v23.0"),
        ("account", "nome_exibicao"): Field("Support", "Help desk"),
        ("account", "metadata.team.lead"): Field(None, "Ana"),
    }
    assert (report.unchanged, report.unnamed) == (10, [])
    lines = told(report, dry_run=False)
    assert '    nome_exibicao: "Support" -> "Help desk"' in lines
    assert "2 changed, 10 unchanged" in lines


@pytest.mark.req(2)
def test_a_changed_secret_is_told_without_it(setup: Setup, example: dict[str, Any]) -> None:
    setup.apply(example)
    report = setup.apply(example, secrets={name: f"{value}-2" for name, value in SECRETS.items()})
    lines = told(report, dry_run=False) + str(as_data(report, dry_run=False))
    assert "segredo: *** -> ***" in lines
    assert "canary" not in lines
    sealed = [row[0] for row in setup.rows("SELECT segredo FROM channel_webhook")]
    assert not [one for one in sealed if one[:30] in lines]


def test_a_dry_run_tells_no_id_that_it_made_up(setup: Setup, example: dict[str, Any]) -> None:
    report = setup.apply(example, commit=False)
    lines = told(report, dry_run=True)
    assert not [made_up for made_up in report.invented if made_up in lines]
    assert '+ connector "WhatsApp Oficial - Meta"  (new)' in lines
    assert "(dry run: nothing was written)" in lines
    data = as_data(report, dry_run=True)
    assert not [made_up for made_up in report.invented if made_up in str(data)]
    assert data["connectors"][0]["id"] is None
    example["tenants"][0]["id"] = "0198c0de-0000-7000-8000-000000000001"
    known = setup.apply(example, commit=False)
    assert as_data(known, dry_run=True)["tenants"] == [{"id": "0198c0de-0000-7000-8000-000000000001", "name": "Acme"}]


def test_what_the_file_does_not_name_is_told_and_left_alone(setup: Setup, example: dict[str, Any]) -> None:
    smaller = _grown_then_smaller(setup, example)
    before = setup.everything()
    report = setup.apply(smaller)
    assert setup.everything() == before
    assert sorted((one.kind, one.name) for one in report.unnamed) == [
        ("account", "5511900000002"),
        ("connector", "Second"),
        ("fallback", "ops@example.com"),
        ("token", "api_key"),
    ]
    lines = told(report, dry_run=False)
    assert "in force and not in the file: 4, left as they are (`--prune` takes them out of force)" in lines
    assert '  account "5511900000002" of "WhatsApp Oficial - Meta"' in lines


def test_pruning_takes_it_out_of_force_and_deletes_nothing_with_a_history(setup: Setup, example: dict[str, Any]) -> None:
    smaller = _grown_then_smaller(setup, example)
    report = setup.apply(smaller, **PRUNED)
    assert {(one.action.value, one.kind, one.name) for one in report.differences} == {
        ("change", "connector", "Second"),
        ("change", "account", "5511900000002"),
        ("remove", "token", "api_key"),
        ("remove", "fallback", "ops@example.com"),
    }
    assert setup.rows("SELECT nome, status FROM channel_connector ORDER BY nome") == [
        ("Second", "archived"),
        ("WhatsApp Oficial - Meta", "active"),
    ]
    assert setup.rows("SELECT identidade, status FROM channel_account ORDER BY 1") == [
        ("5511900000001", "active"),
        ("5511900000002", "inactive"),
    ]
    assert setup.apply(smaller, **PRUNED).changes == ()
    assert setup.apply(smaller).unnamed == []  # it is not in force any more


def test_what_a_rule_keeps_in_force_is_a_fault_and_nothing_is_pruned(setup: Setup, example: dict[str, Any]) -> None:
    smaller = _grown_then_smaller(setup, example)
    connector_of(example)["accounts"][1]["fallbacks"][0]["default"] = True
    setup.apply(example)
    connector_of(smaller)["accounts"] = [dict(account) for account in connector_of(example)["accounts"]]
    connector_of(smaller)["accounts"][1]["fallbacks"] = []
    before = setup.everything()
    (fault,) = setup.faults(smaller, **PRUNED)
    assert "it is a connector's default" in fault
    assert setup.everything() == before


def _grown_then_smaller(setup: Setup, example: dict[str, Any]) -> dict[str, Any]:
    """Applies a file, and returns one that names less."""
    smaller: dict[str, Any] = yaml.safe_load(yaml.safe_dump(example))
    connector_of(smaller)["accounts"].pop()
    connector = connector_of(example)
    connector["accounts"][1]["fallbacks"] = [{"tipo": "voicemail", "destino": "ops@example.com"}]
    first = connector["accounts"][0]
    first["fallbacks"] = [{"tipo": "email_forward", "destino": "ops@example.com"}]
    connector["tokens"].append({"kind": "api_key", "value": "canary-key"})
    second = {
        "nome": "Second",
        "tipo": "webchat",
        "config": {"widget_ids": ["main-widget"], "origins": ["https://shop.example.com"]},
    }
    example["tenants"][0]["connectors"].append(second)
    setup.apply(example)
    return smaller
