"""Rows 25, 26, 36, 70: webhooks are registered where the edge knows them, read back, mended; what fails warns and says why."""

from __future__ import annotations

import pytest

from shared.domain.enums import AccountStatus, SecretUse
from shared.management.accounts import change_account_status
from shared.management.sync_requests import sync_account, sync_connector
from shared.management.webhooks import NewSecret, set_webhook_secrets, update_webhook
from tests.integration.management import ACTOR
from tests.integration.services.sync.site import NEW, OLD, Registered, Site


def press(site: Site, one: Registered) -> None:
    """A person asks for a sync of the account."""
    site.management.run(lambda session: sync_account(session, one.account, actor=ACTOR))


@pytest.mark.req(26, 36)
def test_each_kind_of_registration_is_made_read_back_and_dated(shared_site: Site) -> None:
    site = shared_site
    for one in (site.evolution(), site.telegram(), site.meta()):
        job = site.until_at(one.subject, "idle", "synced")
        url = job["registered_url"]
        assert one.played.callback_url == url
        assert f"/webhooks/{one.connector}" in url
        assert job["registered_secret"].rpartition("/")[2] == ("1" if one.stand_in == "meta" else "0")
        assert (one.played.secret == OLD) is (one.stand_in != "meta")
        assert site.synced_at(one.account) is not None
        assert site.audit(one.subject) == []
    assert one.played.about["verify_token"] == OLD


@pytest.mark.req(36)
@pytest.mark.parametrize("dialect", ["waha", "zapi"])
def test_the_other_servers_get_the_secret_in_their_own_way(shared_site: Site, dialect: str) -> None:
    site, one = shared_site, shared_site.gateway(dialect)
    job = site.until_at(one.account, "idle", "synced")
    assert job["registered_url"] == f"{site.edge_url(one.connector)}/{one.account}"
    if dialect == "waha":
        assert (one.played.callback_url, one.played.secret) == (job["registered_url"], OLD)
    else:
        assert one.played.callback_url == f"{job['registered_url']}?secret={OLD}"
        assert len(job["by_hand"]) == 2  # nobody can read back what Z-API has
    assert site.synced_at(one.account) is not None


@pytest.mark.req(25)
def test_an_account_with_a_registration_of_its_own_gets_its_own_address(shared_site: Site) -> None:
    one = shared_site.evolution()
    shared_site.until_at(one.account, "idle", "synced")
    assert one.played.callback_url == f"{shared_site.edge_url(one.connector)}/{one.account}"
    assert shared_site.job(one.connector) is None


@pytest.mark.req(36, 70)
def test_a_webhook_that_was_altered_at_the_provider_is_mended_at_the_next_sync(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    first = site.synced_at(one.account)
    one.played.callback_url = "https://elsewhere.example.com/hook"
    site.management.run(lambda session: sync_connector(session, one.connector, actor=ACTOR))
    site.until(lambda: one.played.callback_url.endswith(one.connector), "mended")
    site.until(lambda: site.synced_at(one.account) > first, "dated")


@pytest.mark.req(70)
def test_what_is_as_it_was_left_is_not_registered_again_unless_a_person_asks(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    registered = site.calls(one, "setWebhook")
    change = lambda session: change_account_status(session, one.account, AccountStatus.INACTIVE, actor=ACTOR)  # noqa: E731
    site.management.run(change)
    back = lambda session: change_account_status(session, one.account, AccountStatus.PENDING, actor=ACTOR)  # noqa: E731
    site.management.run(back)
    asked = site.job(one.subject)["asked"]  # type: ignore[index]
    site.until(lambda: site.job(one.subject)["taken"] > asked or site.job(one.subject)["taken"] >= 4, "one more")  # type: ignore[index]
    site.until_at(one.subject, "idle", "synced")
    assert site.calls(one, "setWebhook") == registered
    press(site, one)
    site.until(lambda: site.calls(one, "setWebhook") == registered + 1, "registered again")


@pytest.mark.req(36)
def test_another_address_and_another_secret_of_ours_are_registered(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    management = site.management
    [(webhook,)] = management.read("SELECT id::text FROM channel_webhook WHERE connector_id = :id", id=one.connector)
    url = f"https://new.example.org/webhooks/{one.connector}"
    management.run(lambda session: update_webhook(session, webhook, url=url, actor=ACTOR))
    site.until(lambda: one.played.callback_url == url, "the new address")
    secrets = [NewSecret(use=SecretUse.SIGN, value=NEW)]
    management.run(lambda session: set_webhook_secrets(session, management.vault, webhook, secrets, actor=ACTOR))
    site.until(lambda: one.played.secret == NEW, "the new secret")
    site.until_at(one.subject, "idle", "synced")


@pytest.mark.req(36)
def test_what_registering_does_not_mend_is_told_with_what_is_missing(shared_site: Site) -> None:
    site, one = shared_site, shared_site.meta()
    site.until_at(one.subject, "idle", "synced")
    first = site.synced_at(one.account)
    stand_in = site.played.simulator["meta"]
    usual = stand_in._subscribed_apps  # type: ignore[attr-defined]

    def deaf(waba: str, call: object) -> object:
        """Answers that all went well, and keeps another address."""
        done = usual(waba, call)
        one.played.callback_url = "https://elsewhere.example.com/hook"
        return done if getattr(call, "method", "") == "POST" else usual(waba, call)

    stand_in._subscribed_apps = deaf  # type: ignore[attr-defined]
    try:
        press(site, one)
        job = site.until_at(one.subject, "stopped", "mismatch")
    finally:
        del stand_in._subscribed_apps  # type: ignore[attr-defined]
    assert (job["cause"], job["missing"]) == ("subscription_mismatch", ["callback_url"])
    assert site.synced_at(one.account) == first
    [(action, facts)] = site.audit(one.connector)
    assert (action, facts["missing"]) == ("sync.failed", ["callback_url"])
    press(site, one)
    site.until_at(one.subject, "idle", "synced")
    assert [action for action, _ in site.audit(one.connector)] == ["sync.failed", "sync.recovered"]
