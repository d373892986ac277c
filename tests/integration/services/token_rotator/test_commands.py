"""`channels tokens renewals` and `renew`, as a person types them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from services.cli.tokens import tokens
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


def test_another_tenants_tokens_are_not_there(scene: RotatorScene, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connector, token = scene.meta()
    until_idle(scene.rotator())
    monkeypatch.setenv("CHANNELS_TENANT", scene.management.another_tenant())
    assert run("renewals", "--connector", connector).exit_code == 1
    assert run("renew", token).exit_code == 1
