"""What stands in the way of a registration: providers that refuse, limit, fail or hang, our own guard, an edge that lags."""

from __future__ import annotations

import json

import pytest

from shared.domain.enums import ConnectorType, SecretUse, TokenKind
from shared.management.accounts import NewAccount, create_account
from shared.management.connectors import archive_connector
from shared.management.webhooks import NewSecret
from tests.integration.management import ACTOR
from tests.integration.services.sync.site import EDGE, OLD, RELAY, SYNC, Site
from tests.integration.services.sync.test_registering import press


@pytest.mark.req(26)
def test_a_refused_credential_is_shown_once_and_again_after_a_new_one(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    first = site.synced_at(one.account)
    good, one.played.about["token"] = one.played.about["token"], f"{one.played.id}:AAsimulated-token-that-was-revoked1"
    press(site, one)
    job = site.until_at(one.subject, "stopped", "refused")
    assert (job["cause"], job["action"]) == ("auth", "replace_token")
    assert site.synced_at(one.account) == first
    [(action, facts)] = site.audit(one.connector)
    assert (action, facts["cause"]) == ("sync.failed", "auth")
    [line] = [line for process in site.processes for line in process.lines() if line.get("connector_id") == one.connector
              and line["event"] == "sync_failed"]  # fmt: skip
    assert (line["level"], line["action"], line["again"]) == ("warning", "replace_token", False)
    asked = sum(f"bot{good}" in call.path for call in site.played.simulator["telegram"].calls)
    site.management.token(one.connector, value=good)  # another row of the same value: something was done about it
    one.played.about["token"] = good
    site.until_at(one.subject, "idle", "synced")
    assert sum(f"bot{good}" in call.path for call in site.played.simulator["telegram"].calls) > asked
    assert [action for action, _ in site.audit(one.connector)] == ["sync.failed", "sync.recovered"]
    site.until(lambda: site.synced_at(one.account) > first, "dated")


@pytest.mark.req(26)
@pytest.mark.parametrize(("code", "outcome"), [("rate", "rate_limited"), ("internal", "transient"), ("bad_gateway", "transient")])
def test_what_passes_is_tried_again_until_it_has(shared_site: Site, code: str, outcome: str) -> None:
    site, faults = shared_site, shared_site.played.simulator["telegram"].faults
    seconds = {"retry_after_seconds": 1} if code == "rate" else {}
    faults.add(operation="setWebhook", code=code, times=2, **seconds)
    try:
        one = site.telegram()
        site.until_at(one.subject, "idle", "synced")
    finally:
        faults.clear()
    told = [action for action, facts in site.audit(one.connector) if facts["outcome"] in (outcome, "synced")]
    assert told == ["sync.failed", "sync.recovered"]  # the second failure is no news
    assert site.calls(one, "setWebhook") == 3


@pytest.mark.req(26, 36)
def test_an_answer_that_was_lost_is_asked_for_again(shared_site: Site) -> None:
    site, faults = shared_site, shared_site.played.simulator["evolution"].faults
    faults.add(operation="set", code="internal", lost=True)
    try:
        one = site.evolution()
        site.until_at(one.subject, "idle", "synced")
    finally:
        faults.clear()
    assert one.played.secret == OLD
    assert [facts["outcome"] for _, facts in site.audit(one.account)] == ["transient", "synced"]


@pytest.mark.req(26)
def test_a_server_that_hangs_ends_with_its_job_and_is_tried_again(shared_site: Site) -> None:
    site, one = shared_site, shared_site.evolution()
    site.until_at(one.subject, "idle", "synced")
    first = site.synced_at(one.account)
    site.played.delay_seconds = 30.0
    try:
        press(site, one)
        job = site.until_at(one.subject, "waiting", "transient")
        assert job["cause"] == "timeout"
    finally:
        site.played.delay_seconds = 0.0
    site.until_at(one.subject, "idle", "synced")
    assert site.synced_at(one.account) > first


@pytest.mark.req(26)
@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9", "http://10.11.12.13"])
def test_an_address_that_is_not_called_is_for_a_person(shared_site: Site, base_url: str) -> None:
    site, management = shared_site, shared_site.management
    config = {"dialect": "evolution", "base_url": base_url, "private_host": True}
    connector = management.connector(tipo=ConnectorType.WHATSAPP_UNOFFICIAL, config=config)
    management.token(connector, kind=TokenKind.API_KEY, value="a key of the tests")
    site.webhook(connector, site.edge_url(connector), [NewSecret(use=SecretUse.SIGN, value=OLD)])
    number = f"+55 11 90002-{base_url[-4:].replace('.', '0').replace(':', '0').zfill(4)}"
    new = NewAccount(identidade=number, org_unit_id=management.unit, config={"instance": "loja"})
    account = management.run(
        lambda session: create_account(session, connector, new, public_url="https://e.example", actor=ACTOR)
    ).id
    job = site.until_at(account, "stopped", "refused")
    assert (job["cause"], job["action"]) == ("egress_refused", "fix_config")
    assert site.synced_at(account) is None


@pytest.mark.req(26)
@pytest.mark.parametrize(
    ("change", "cause", "action"),
    [
        ("credential", "credential_missing", "add_credential"),
        ("url", "callback_url_invalid", "fix_config"),
    ],
)
def test_what_is_missing_on_our_side_is_named(shared_site: Site, change: str, cause: str, action: str) -> None:
    site, management = shared_site, shared_site.management
    if change == "url":
        one = site.telegram(url="http://plain.example.org/hook")
        subject = one.subject
    else:
        played = site.played.on_loop(lambda: site.played.simulator["telegram"].create(callback_url=""))
        subject = management.connector(tipo=ConnectorType.TELEGRAM, config={"bot_id": played.id})
        site.webhook(subject, f"https://edge.example.org/webhooks/{subject}", [NewSecret(use=SecretUse.SIGN, value=OLD)])
    job = site.until_at(subject, "stopped", "refused")
    assert (job["cause"], job["action"]) == (cause, action)


def test_without_a_webhook_row_there_is_nothing_to_register_and_nothing_to_warn_of(shared_site: Site) -> None:
    site, one = shared_site, shared_site.evolution(webhook=False)
    job = site.until_at(one.subject, "idle", "nothing")
    assert job["cause"] == "webhook_missing"
    assert (site.synced_at(one.account), site.audit(one.account)) == (None, [])
    site.management.run(lambda session: archive_connector(session, one.connector, actor=ACTOR))


@pytest.mark.req(36)
def test_nothing_is_registered_before_the_edge_has_the_snapshot(site: Site) -> None:
    """First no edge at all, then one that waits for a relay: not before that is there is the provider told our address."""
    one = site.telegram()
    as_published = site.management.read("SELECT detail FROM outbox WHERE topic = 'channel.account.sync_required' ORDER BY id")
    assert len(as_published) == 2
    relay = site.start(RELAY)
    site.start(SYNC, sync_edge_seconds=1)
    assert site.until_at(one.subject, "waiting", "edge_behind")["cause"] == "edge_unreachable"
    site.until(lambda: site.management.read("SELECT 1 FROM outbox") == [], "published")
    site.kill(relay)
    secrets = [NewSecret(use=SecretUse.SIGN, value="canary-newer-secret")]
    site.webhook_secrets(one.connector, secrets)
    site.start(EDGE)
    site.until(lambda: (site.job(one.subject) or {}).get("cause") == "edge_behind", "the edge answers, and does not know")
    assert (one.played.callback_url, one.played.secret) == ("", "none-yet")
    assert site.synced_at(one.account) is None
    site.start(RELAY)
    site.until_at(one.subject, "idle", "synced")
    assert one.played.secret == "canary-newer-secret"


def test_neither_logs_nor_metrics_nor_audit_hold_a_secret(shared_site: Site) -> None:
    site, one = shared_site, shared_site.meta()
    site.until_at(one.subject, "idle", "synced")
    pages = [process.log.read_text() + process.operations("/metrics")[1] for process in site.processes]
    pages.append(json.dumps(site.management.read("SELECT t::text FROM audit_log t")))
    pages.append(json.dumps(site.management.read("SELECT t::text FROM sync_job t")))
    secrets = [OLD, one.played.about["access_token"], one.played.secret]
    assert [secret for secret in secrets for page in pages if secret in page] == []
