"""Whole checks against the simulator over HTTP: asked, graded, written, with the real client and opened credentials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from services.health.activity import Activity
from services.health.calls import HttpCaller
from services.health.checks import CheckParts, Checks
from services.health.credentials import Credentials
from services.health.decide import Policy
from services.health.policies import Policies
from services.health.writing import CheckWriter
from services.simulator.app import Server
from services.simulator.simulator import Simulator
from services.simulator.stand_in import Account
from shared.adapters.database import create_engine_for
from shared.adapters.egress import Egress, read_allow_list
from shared.adapters.egress_target import read_target
from shared.adapters.http_client import HttpClient
from shared.domain.enums import ConnectorType, TokenKind
from tests.http_peer import HOST, parts_of
from tests.integration.services.health.scene import HealthScene
from tests.on_loop import on_loop


class Site:
    """A simulator, and health that asks it. `round` is one round of checks of everything."""

    def __init__(self, scene: HealthScene, simulator: Simulator, origin: str, client: HttpClient) -> None:
        self.scene, self.simulator, self.origin = scene, simulator, origin
        self.delay_seconds = 0.0
        self.credential = create_engine_for(scene.database.credential_url)
        self.credentials = Credentials(self.credential, scene.management.vault, keep_ms=900_000)
        self.checks = Checks(
            CheckParts(
                credentials=self.credentials,
                activity=Activity(scene.worker),
                policies=Policies(Policy(threshold=3, unreachable_after=3), {}),
                caller=HttpCaller(client),
                clock=self,
            )
        )
        self.writer = CheckWriter(scene.worker, scene.management.engine)

    def now_ms(self) -> int:
        return self.scene.now_ms

    async def round(self) -> None:
        taken = list(self.scene.take().values())
        outcomes = [await self.checks.run(ready) for ready in self.checks.prepare(taken)]
        self.writer.write(outcomes)

    def meta(self, **changes: Any) -> tuple[str, str, Account]:
        """An active connector and account of a number at the simulator: (connector, account, number)."""
        number = self.simulator["meta"].create()
        config = {"waba_id": number.about["waba_id"], "graph_url": f"{self.origin}/meta", "app_id": number.about["app_id"]}
        given = {key: value for key, value in changes.items() if key in ("projeto_referencia",)}
        connector = self.scene.management.connector(config={**config, **changes.get("config", {})}, **given)
        number.callback_url = f"https://edge.invalid/webhooks/{connector}"
        self.scene.management.token(connector, value=number.about["access_token"])
        self.scene.management.token(connector, kind=TokenKind.SECRET, value=number.secret, metadata={"name": "app_secret"})
        self.scene.management.check(connector)
        self.scene.management.run(lambda session: _activate(session, connector))
        account = self.scene.account(connector, config={"phone_number_id": number.id, **changes.get("account", {})})
        return connector, account, number

    def last(self, subject: str) -> tuple[str, str]:
        return self.scene.checks(subject)[-1]


def _activate(session: Any, connector: str) -> None:
    from shared.domain.enums import ConnectorStatus
    from shared.management.connectors import change_status

    change_status(session, connector, ConnectorStatus.ACTIVE, cause="by hand", actor="test")


@asynccontextmanager
async def site_on(scene: HealthScene) -> AsyncIterator[Site]:
    simulator = Simulator(1, scene.now_ms)
    app = Server(simulator, speed=0).application()
    made: list[Site] = []

    @web.middleware
    async def late(request: web.Request, handler: Callable[..., Any]) -> Any:
        await asyncio.sleep(made[0].delay_seconds)
        return await handler(request)

    app.middlewares.append(late)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    origin = f"http://{HOST}:{runner.addresses[0][1]}"
    host = "api.telegram.org"
    fixed = Egress(only_hosts=frozenset({host}), allow=read_allow_list([origin], "tests"))
    parts = parts_of(origin, fixed=fixed, stand_ins={host: read_target(f"{origin}/telegram")})
    async with HttpClient(parts) as client:
        made.append(Site(scene, simulator, origin, client))
        yield made[0]
        made[0].credential.dispose()
    await runner.cleanup()


@pytest.mark.req(40, 41)
@on_loop
async def test_ok_red_refused_and_a_server_that_fails(scene: HealthScene) -> None:
    async with site_on(scene) as site:
        connector, account, number = site.meta()
        await site.round()
        assert site.last(account) == ("passed", "number: connected.")
        assert site.last(connector) == ("passed", "subscription: subscribed.")
        number.about["quality_rating"] = "RED"
        await site.round()
        assert site.last(account)[0] == "warning"
        assert "rated low (red)" in site.last(account)[1]
        assert "Send less" in site.last(account)[1]
        site.simulator["meta"].faults.add(operation="node", code="http:503", times=-1)
        for kept in (1, 2):
            await site.round()
            assert site.last(account)[0] == "warning"
            assert f"The grade stays warning ({kept} of 3)." in site.last(account)[1]
        await site.round()
        assert site.last(account)[0] == "failed"
        assert "cannot be reached" in site.last(account)[1]
        site.simulator["meta"].faults.clear()
        number.about["access_token"] = "EAAG-simulated-another"
        await site.round()
        status, told = site.last(account)
        assert status == "failed"
        assert "refuses our credential [190" in told
        assert "Make a new token" in told
        everything = " ".join(message for subject in (account, connector) for _, message in scene.checks(subject))
        assert "EAAG" not in everything
        assert "simulated-app-secret" not in everything


@pytest.mark.req(41)
@on_loop
async def test_the_duration_is_that_of_the_answer(scene: HealthScene) -> None:
    async with site_on(scene) as site:
        connector, account, _ = site.meta()
        await site.round()  # opens connections
        site.delay_seconds = 0.3
        await site.round()
        took = dict(
            scene.management.read(
                "SELECT DISTINCT ON (1) coalesce(account_id, connector_id)::text, duracao_ms FROM channel_health_check"
                " WHERE duracao_ms IS NOT NULL ORDER BY 1, executado_em DESC"
            )
        )
        assert 300 <= took[account] <= 400
        assert took[connector] >= 300


@pytest.mark.req(13, 34, 36)
@on_loop
async def test_what_is_amiss_with_the_credential_or_the_subscription_is_named(scene: HealthScene) -> None:
    async with site_on(scene) as site:
        connector, _, number = site.meta(projeto_referencia="300000000000099")
        await site.round()
        assert site.last(connector)[0] == "warning"
        assert "another app than projeto_referencia" in site.last(connector)[1]
        number.callback_url = "https://elsewhere.invalid/webhooks/other"
        await site.round()
        assert site.last(connector)[0] == "failed"
        assert "points elsewhere" in site.last(connector)[1]
        number.about["subscribed"] = False
        await site.round()
        assert "nobody is subscribed" in site.last(connector)[1]


@pytest.mark.req(63)
@on_loop
async def test_thresholds_of_account_and_connector_come_from_their_configs(scene: HealthScene) -> None:
    async with site_on(scene) as site:
        _, quick, first = site.meta(config={"health": {"threshold": 5}}, account={"health": {"threshold": 1}})
        _, slow, second = site.meta(config={"health": {"threshold": 2}})
        first.about["status"] = second.about["status"] = "BANNED"
        await site.round()
        assert (scene.route(quick), scene.route(slow)[0]) == (("paused", "health_status_banned"), "open")
        await site.round()
        assert scene.route(slow) == ("paused", "health_status_banned")


@on_loop
async def test_credentials_are_opened_once_and_missing_or_ended_ones_are_named(scene: HealthScene) -> None:
    async with site_on(scene) as site:
        connector, account, _ = site.meta()
        await site.round()
        await site.round()
        opened = scene.management.read("SELECT count(*) FROM audit_log WHERE action = 'token.opened' AND actor = 'health'")
        assert opened == [(2,)]  # the token and the app's secret
        lone = scene.management.connector(config={"waba_id": "100000000000077"})
        orphan = scene.management.account(lone, "+55 11 90000-0077", config={"phone_number_id": "100000000000077"})
        await site.round()
        assert "a credential is missing [access_token]. Add the credential" in site.last(orphan)[1]
        assert site.last(account)[0] == "passed"
        assert connector


@on_loop
async def test_a_telegram_bot_is_checked_as_a_connector(scene: HealthScene) -> None:
    async with site_on(scene) as site:
        bot = site.simulator["telegram"].create()
        config = {"bot_id": bot.id}
        connector = scene.management.connector(tipo=ConnectorType.TELEGRAM, config=config)
        scene.management.token(connector, value=bot.about["token"])
        account = scene.management.account(connector, bot.id, config={})
        await site.round()
        assert site.last(connector)[0] in ("warning", "failed")  # nobody has set up its webhook here
        assert site.last(account) == ("passed", "none: there is nothing to ask the provider.")


@pytest.mark.req(36, 70)
@on_loop
async def test_a_webhook_that_was_altered_is_a_mismatch_at_the_next_check_and_asks_for_one_sync(scene: HealthScene) -> None:
    async with site_on(scene) as site:
        connector, _, number = site.meta()
        first = len(scene.management.sync_causes(connector))
        ours, elsewhere = number.callback_url, "https://elsewhere.invalid/webhooks/other"
        await site.round()
        assert len(scene.management.sync_causes(connector)) == first
        for times in (1, 2):
            number.callback_url = elsewhere
            for _ in range(2):
                await site.round()
                assert site.last(connector)[0] == "failed"
                assert scene.management.sync_causes(connector)[first:] == ["subscription_mismatch"] * times
            number.callback_url = ours
            await site.round()
            assert site.last(connector)[0] == "passed"


@pytest.mark.req(36, 70)
@on_loop
async def test_a_check_that_opens_a_breaker_asks_for_a_sync_too(scene: HealthScene) -> None:
    async with site_on(scene) as site:
        instance = site.simulator["evolution"].create(callback_url="https://elsewhere.invalid/hook")
        config = {"dialect": "evolution", "base_url": f"{site.origin}/evolution", "private_host": True}
        connector = scene.management.connector(tipo=ConnectorType.WHATSAPP_UNOFFICIAL, config=config)
        scene.management.token(connector, kind=TokenKind.API_KEY, value=instance.about["token"])
        number = f"+{instance.about['wuid'].partition('@')[0]}"
        account = scene.management.account(connector, number, config={"instance": instance.id, "health": {"threshold": 1}})
        first = len(scene.management.sync_causes(account))
        await site.round()
        assert site.last(account)[0] == "failed"
        assert "points elsewhere" in site.last(account)[1]
        assert scene.route(account) == ("paused", "health_subscription_mismatch")
        await site.round()
        assert scene.management.sync_causes(account)[first:] == ["subscription_mismatch"]
