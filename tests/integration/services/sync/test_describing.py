"""What a provider tells of an account reaches its rows: edge, router, relay and sync as processes, Meta played."""

from __future__ import annotations

from typing import Any

import pytest

from shared.adapters.topics import apply_topics
from shared.domain.enums import Feature
from shared.domain.topics import Topic
from shared.management.accounts import update_account
from shared.management.capabilities import capability_of, set_capability
from shared.management.sync_requests import sync_connector
from shared.providers import provider_of
from tests.edge import free_port
from tests.integration.management import ACTOR
from tests.integration.services.sync.site import EDGE, OLD, RELAY, SYNC, Registered, Site

ROUTER = "services.router"


def name_of(site: Site, one: Registered) -> Any:
    return site.management.read("SELECT nome_exibicao FROM channel_account WHERE id = :id", id=one.account)[0][0]


def limits_of(site: Site, one: Registered, feature: Feature) -> dict[str, Any]:
    limits: dict[str, Any] = site.management.read(
        "SELECT constraints FROM channel_capability WHERE connector_id = :id AND feature = :feature",
        id=one.connector,
        feature=feature.value,
    )[0][0]
    return limits


def by_hand(site: Site, one: Registered, feature: Feature, **limits: Any) -> None:
    def use_case(session: Any) -> None:
        row = capability_of(session, one.connector, feature)
        wanted = {**(row.constraints or {}), **limits}
        set_capability(session, one.connector, feature, enabled=row.enabled, constraints=wanted, actor=ACTOR)

    site.management.run(use_case)


@pytest.fixture
def fleet(site: Site) -> Site:
    """With a router, to which the simulator's webhooks go through the edge."""
    for module in (RELAY, EDGE, SYNC):
        site.start(module)
    for process in site.processes:
        site.until(lambda process=process: process.ready, "ready")  # type: ignore[misc]
    return site


@pytest.mark.req(20, 60)
def test_a_new_account_is_described_and_a_manual_name_survives(fleet: Site) -> None:
    site, preset = fleet, {one.feature: dict(one.constraints) for one in provider_of("whatsapp_official").capabilities}
    one = site.meta()
    assert limits_of(site, one, Feature.TEMPLATES) == preset[Feature.TEMPLATES]
    site.until_at(one.subject, "idle", "synced")
    assert name_of(site, one) == "Loja"
    assert limits_of(site, one, Feature.TEMPLATES) == {"peers_per_day": 250}
    assert limits_of(site, one, Feature.MESSAGES) == preset[Feature.MESSAGES]
    site.management.run(lambda session: update_account(session, one.account, {"nome_exibicao": "Balcão"}, actor=ACTOR))
    site.played.on_loop(lambda: one.played.about.update(verified_name="Loja Nova", quality_rating="YELLOW"))
    before = site.synced_at(one.account)
    ask(site, one)
    site.until(lambda: site.synced_at(one.account) != before, "synced again")
    assert name_of(site, one) == "Balcão"
    assert site.management.read("SELECT quality, display_name FROM account_description") == [("YELLOW", "Loja Nova")]


@pytest.mark.req(60, 70)
def test_a_changed_tier_reaches_the_rows_through_webhook_router_and_sync_and_a_manual_limit_survives(fleet: Site) -> None:
    site = fleet
    everything = tuple(Topic)
    apply_topics(site.bootstrap, site.prefix, only=everything, partitions=dict.fromkeys(everything, 1))
    site.start(ROUTER, router_operations_port=free_port())
    one = site.meta()
    site.until_at(one.subject, "idle", "synced")
    by_hand(site, one, Feature.MESSAGES, rate_per_second=20)
    # the simulator posts where the edge of this test is, signed with the app's secret
    site.played.on_loop(lambda: setattr(one.played, "callback_url", site.edge_url(one.connector)))
    meta = site.played.simulator["meta"]
    site.played.on_loop(lambda: meta.tier(one.played.id, "TIER_100K", "HIGH"))  # type: ignore[attr-defined]
    site.until(lambda: limits_of(site, one, Feature.TEMPLATES) == {"peers_per_day": 100_000}, "the tier in the row")
    assert limits_of(site, one, Feature.MESSAGES)["rate_per_second"] == 20
    tiers = site.management.read("SELECT tier, throughput FROM account_description")
    assert tiers == [("TIER_100K", "HIGH")]


@pytest.mark.req(20, 26)
def test_a_provider_that_describes_nothing_leaves_everything_and_is_told(fleet: Site) -> None:
    site = fleet
    one = site.meta()
    site.until_at(one.subject, "idle", "synced")
    before, rows = site.synced_at(one.account), site.management.read("SELECT t::text FROM account_description t")
    meta = site.played.simulator["meta"]
    site.played.on_loop(lambda: meta.faults.add(operation="app", code="190/463"))
    ask(site, one)
    job = site.until_at(one.subject, "stopped", "refused")
    assert (job["cause"], job["action"]) == ("auth", "renew_token")
    assert site.synced_at(one.account) == before
    assert site.management.read("SELECT t::text FROM account_description t") == rows


@pytest.mark.req(20)
def test_a_bot_and_an_instance_are_called_as_people_see_them(fleet: Site) -> None:
    site = fleet
    bot, instance = site.telegram(), site.evolution()
    for one, name in ((bot, "Loja"), (instance, "Loja")):
        site.until_at(one.subject, "idle", "synced")
        assert name_of(site, one) == name
    assert {OLD} == {bot.played.secret, instance.played.secret}
    site.management.run(lambda session: update_account(session, bot.account, {"nome_exibicao": None}, actor=ACTOR))
    assert name_of(site, bot) == "Loja"


def ask(site: Site, one: Registered) -> None:
    """The button."""
    site.management.run(lambda session: sync_connector(session, one.connector, actor=ACTOR))
