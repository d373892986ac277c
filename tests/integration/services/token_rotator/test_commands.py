"""`channels tokens renewals` and `renew`, as a person types them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from services.cli.tokens import tokens
from tests.integration.rows import connect
from tests.integration.services.token_rotator.scene import RotatorScene, until_idle

Run = Callable[..., Result]


@pytest.fixture
def run(scene: RotatorScene, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CHANNELS_DATABASE_API_URL", scene.database.api_url)
    monkeypatch.setenv("CHANNELS_TENANT", scene.management.tenant)
    return lambda *words: CliRunner().invoke(tokens, list(words))


def test_a_person_sees_what_is_planned_and_makes_it_due(scene: RotatorScene, run: Run) -> None:
    connector, token = scene.meta()
    assert run("renewals", "--connector", connector).stdout == "none\n"
    refused = run("renew", token)
    assert refused.exit_code == 1
    rotator = scene.rotator()
    until_idle(rotator)
    shown = json.loads(run("renewals", "--connector", connector, "--json").stdout)
    row = next(one for one in shown if one["token_id"] == token)
    assert (row["kind"], row["task"], row["state"], row["cause"]) == ("access_token", "renew", "planned", None)
    assert run("renew", token).stdout == f"{token} is due now\n"
    scene.clock.move(60)
    until_idle(rotator)
    assert scene.provider.renewals["shop"] == 1
    assert "retire" in run("renewals", "--connector", connector).stdout
    assert "token.renewal_ordered" in [row[0] for row in scene.management.audit(token)]


def test_the_list_and_one_token_show_what_is_planned(scene: RotatorScene, run: Run) -> None:
    connector, token = scene.meta()
    assert {one["renewal"] for one in json.loads(run("list", "--connector", connector, "--json").stdout)} == {None}
    until_idle(scene.rotator())
    shown = {one["id"]: one["renewal"] for one in json.loads(run("list", "--connector", connector, "--json").stdout)}
    assert (shown[token]["state"], shown[token]["cause"]) == ("planned", None)
    planned = json.loads(run("renewals", "--connector", connector, "--json").stdout)
    row = next(one for one in planned if one["token_id"] == token)
    assert dt.datetime.fromisoformat(shown[token]["due_at"]).replace(microsecond=0) == dt.datetime.fromisoformat(row["due_at"])
    assert json.loads(run("show", token, "--json").stdout)["renewal"] == shown[token]
    table = run("list", "--connector", connector).stdout
    assert "renewal" in table.splitlines()[0]
    assert any(token in line and "planned" in line for line in table.splitlines())
    with connect(scene.database.owner_url) as rows:
        rows.execute(
            "UPDATE token_renewal SET state = 'stopped', due_at = NULL, cause = 'consent_needed', action = 'renew_token'"
            " WHERE token_id = %s",
            (token,),
        )
    stopped = json.loads(run("show", token, "--json").stdout)["renewal"]
    assert stopped == {"state": "stopped", "due_at": None, "cause": "consent_needed", "action": "renew_token"}
    assert any(token in line and "consent_needed" in line for line in run("list", "--connector", connector).stdout.splitlines())


def test_another_tenants_tokens_are_not_there(scene: RotatorScene, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connector, token = scene.meta()
    until_idle(scene.rotator())
    monkeypatch.setenv("CHANNELS_TENANT", scene.management.another_tenant())
    assert run("renewals", "--connector", connector).exit_code == 1
    assert run("renew", token).exit_code == 1
