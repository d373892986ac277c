"""`:sync` asks through the outbox, once for each call; what sync knows is shown, and nothing of a secret but its id."""

from __future__ import annotations

import pytest

from shared.domain.identity import Permission
from tests.integration.rows import connect
from tests.integration.services.control.scene import Scene, code_of


@pytest.mark.req(70)
def test_the_button_leaves_one_request_and_says_when(scene: Scene) -> None:
    connector = scene.connector()
    account = scene.account(connector)
    management = scene.management
    asked = scene.call("POST", f"accounts/{account['id']}:sync")
    assert asked.status_code == 202
    assert (asked.json()["account_id"], asked.json()["connector_id"]) == (account["id"], connector["id"])
    assert management.sync_causes(account["id"]) == ["account_created", "requested"]
    assert scene.call("POST", f"connectors/{connector['id']}:sync").json()["account_id"] is None
    assert management.sync_causes(connector["id"]) == ["requested"]
    [detail] = [row[0] for row in management.read("SELECT detail FROM outbox WHERE detail ->> 'requested_at_ms' = :at",
                at=str(asked.json()["requested_at_ms"]))]  # fmt: skip
    assert detail["tenant_id"] == management.tenant
    assert management.audit(account["id"])[-1][0] == "account.sync_requested"


def test_who_only_reads_may_not_press_it_and_an_archived_connector_is_left_alone(scene: Scene) -> None:
    connector = scene.connector()
    account = scene.account(connector)
    reader = scene.tokens.issue(scene.management.tenant, Permission.READ)
    for path in (f"accounts/{account['id']}:sync", f"connectors/{connector['id']}:sync"):
        assert code_of(scene.call("POST", path, token=reader))[0] == 403
    assert scene.get(f"connectors/{connector['id']}/syncs", token=reader).json() == {"items": [], "next": None}
    scene.change(f"connectors/{connector['id']}", {"status": "archived"})
    for path in (f"accounts/{account['id']}:sync", f"connectors/{connector['id']}:sync"):
        assert code_of(scene.call("POST", path)) == (409, "connector_archived")


@pytest.mark.req(36)
def test_what_sync_knows_is_shown_of_the_connector_and_in_the_accounts_status(scene: Scene) -> None:
    connector = scene.connector()
    account = scene.account(connector)
    with connect(scene.management.engine.url.render_as_string(hide_password=False)) as rows:
        rows.execute("SELECT set_config('channels.tenant', %s, false)", (scene.management.tenant,))
        rows.execute(
            "INSERT INTO sync_job (subject_id, connector_id, state, asked, asked_since, causes, taken_causes, outcome, cause,"
            " action, missing, by_hand) VALUES (%s, %s, 'stopped', 1, '2026-01-02T03:04:05Z', '{unknown_account}', '{requested}',"
            " 'mismatch', 'subscription_mismatch', 'see_by_hand', '{callback_url}', '{Do it.}')",
            (connector["id"], connector["id"]),
        )
    [shown] = scene.get(f"connectors/{connector['id']}/syncs").json()["items"]
    assert (shown["state"], shown["outcome"], shown["missing"], shown["by_hand"]) == (
        "stopped",
        "mismatch",
        ["callback_url"],
        ["Do it."],
    )
    since = (shown["asked_since"], shown["causes"], shown["taken_causes"])
    assert since == ("2026-01-02T03:04:05Z", ["unknown_account"], ["requested"])
    assert scene.get(f"accounts/{account['id']}/status").json()["syncs"] == [shown]


@pytest.mark.req(70)
def test_what_a_provider_is_told_asks_for_a_sync_and_nothing_else_does(scene: Scene) -> None:
    connector = scene.connector()
    account = scene.account(connector)
    path, causes = f"accounts/{account['id']}", scene.management.sync_causes
    scene.change(path, {"nome_exibicao": "Loja", "metadata": {"x": 1}})
    assert causes(account["id"]) == ["account_created"]
    scene.change(path, {"webhook_url": "https://proxy.example.com/a"})
    scene.change(path, {"status": "inactive"})
    scene.change(path, {"status": "pending"})
    assert causes(account["id"]) == ["account_created", "account_changed", "account_activated"]
    whole = f"connectors/{connector['id']}"
    scene.change(whole, {"nome": "Another"})
    assert causes(connector["id"]) == []
    scene.change(whole, {"config": {"waba_id": "100000000000000", "app_id": "300000000000001"}})
    webhook = scene.made(
        f"{whole}/webhooks",
        {"evento": "message_in", "url": "https://edge.example.org/w", "secrets": [{"use": "sign", "value": "canary-1"}]},
    )
    scene.made(f"{whole}/webhooks", {"evento": "delivery", "url": "https://edge.example.org/w", "status": "disabled"})
    scene.change(f"webhooks/{webhook['id']}", {"url": "https://edge.example.org/v"})
    scene.made(f"webhooks/{webhook['id']}/secrets", {"use": "sign", "value": "canary-2"})
    assert causes(connector["id"]) == ["config_changed", "webhook_created", "webhook_changed", "secrets_changed"]
