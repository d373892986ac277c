"""A whole small installation: relay, edges and sync as processes, PostgreSQL and Kafka as they are, providers played."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from services.simulator.app import Server
from services.simulator.people import person
from services.simulator.simulator import Simulator
from services.simulator.stand_in import Account
from services.simulator.utterances import Utterance
from shared.adapters.topics import apply_topics
from shared.domain.enums import ConnectorType, SecretUse, TokenKind, WebhookEvent
from shared.domain.topics import Topic
from shared.management.accounts import NewAccount, create_account
from shared.management.secret_rotation import list_secrets
from shared.management.webhooks import NewSecret, NewWebhook, create_webhook, receiving_url, set_webhook_secrets
from tests.database_fixtures import DatabaseUnderTest
from tests.edge import EdgeProcess, free_port
from tests.integration.management import ACTOR, Management, management_of
from tests.integration.rows import connect
from tests.waiting import allowed

SECONDS = 40.0
OLD, NEW = "canary-old_secret-00000001", "canary-new_secret-00000002"
SYNC, RELAY, EDGE = "services.sync", "services.relay", "services.ingest"
KILLED = "tests.integration.services.sync.killed_process"
TOPICS = (
    *(Topic.CONNECTOR_SNAPSHOT, Topic.ACCOUNT_SNAPSHOT, Topic.CONNECTOR_STATUS_CHANGED, Topic.SYNC_REQUIRED),
    *(Topic.ORG_UNIT_SNAPSHOT, Topic.FLOW_SNAPSHOT, Topic.WEBHOOK_RECEIVED),
    *(Topic.AUDIT, Topic.HEALTH_CHECKED, Topic.ROUTE_STATUS_CHANGED, Topic.TOKEN_EXPIRING),
)


class Played:
    """The simulator behind a port of its own, in a thread, at the machine's time. `delay_seconds`: before each API answer."""

    def __init__(self) -> None:
        self.simulator = Simulator(1, time.time_ns() // 1_000_000)
        self.port = free_port()
        self.delay_seconds = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def on_loop(self, act: Callable[[], Any]) -> Any:
        """Do it on the simulator's own loop, where nothing else touches it meanwhile."""

        async def acted() -> Any:
            return act()

        return asyncio.run_coroutine_threadsafe(acted(), self._loop).result(20)

    def _serve(self) -> None:
        app = Server(self.simulator, speed=1).application()

        @web.middleware
        async def late(request: web.Request, handler: Callable[..., Any]) -> Any:
            await asyncio.sleep(self.delay_seconds)
            return await handler(request)

        app.middlewares.append(late)
        runner = web.AppRunner(app)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", self.port).start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()


@dataclass
class Registered:
    """A connector with one account, and who plays it."""

    connector: str
    account: str
    played: Account
    stand_in: str

    @property
    def subject(self) -> str:
        """Whose job it is."""
        return self.connector if self.stand_in in ("telegram", "meta") else self.account


@dataclass
class Site:
    """`start` processes by their module; what a test registers is its own."""

    bootstrap: str
    prefix: str
    database: DatabaseUnderTest
    management: Management
    played: Played
    home: Path
    edge_port: int = field(default_factory=free_port)
    processes: list[EdgeProcess] = field(default_factory=list)

    # --- processes

    def start(self, module: str, *arguments: str, **settings: object) -> EdgeProcess:
        operations_port = free_port()
        base = f"http://127.0.0.1:{self.played.port}"
        given = {
            "stack": "external",
            "kafka_bootstrap": self.bootstrap,
            "topic_prefix": self.prefix,
            "database_api_url": self.database.api_url,
            "database_worker_url": self.database.worker_url,
            "database_credential_url": self.database.credential_url,
            "keys_dir": self.home / "keys",
            "object_store_url": (self.home / "objects").as_uri(),
            "log_format": "json",
            "http_allow": base,
            "http_stand_ins": f"api.telegram.org={base}/telegram,graph.facebook.com={base}/meta",
            "ingest_port": self.edge_port,
            "relay_operations_port": operations_port,
            "ingest_operations_port": operations_port,
            "sync_operations_port": operations_port,
            "health_operations_port": operations_port,
            "token_rotator_operations_port": operations_port,
            "sync_debounce_seconds": 0.3,
            "sync_first_backoff_seconds": 0.3,
            "sync_longest_backoff_seconds": 1,
            "sync_lease_seconds": 60,
            **settings,
        }
        log = self.home / f"{module.rpartition('.')[2]}-{operations_port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=os.environ | {f"CHANNELS_{name.upper()}": str(value) for name, value in given.items()},
                stdout=output,
                stderr=output,
            )
        self.processes.append(EdgeProcess(process, self.edge_port, operations_port, log))
        return self.processes[-1]

    def kill(self, process: EdgeProcess) -> None:
        process.process.kill()
        process.process.wait(10)

    def forget_leases(self) -> None:
        """As if the leases of a process that died were over."""
        with connect(self.database.worker_url) as rows:
            rows.execute("UPDATE sync_job SET lease_until = now() WHERE lease_until IS NOT NULL")

    def stop(self) -> None:
        for process in self.processes:
            self.kill(process)

    def until(self, done: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
        deadline = time.monotonic() + allowed(seconds)
        while not (found := done()):
            assert time.monotonic() < deadline, f"{what}\n" + "\n".join(
                f"--- {process.log.name}\n{process.log.read_text()[-2_500:]}" for process in self.processes
            )
            time.sleep(0.05)
        return found

    # --- who is registered where

    def edge_url(self, connector: str) -> str:
        return receiving_url(f"http://127.0.0.1:{self.edge_port}", connector)

    def evolution(self, *, secret: str = OLD, webhook: bool = True) -> Registered:
        """An instance: its account has a registration of its own, at an address that the simulator can post to."""
        return self.gateway("evolution", secret=secret, webhook=webhook)

    def gateway(self, dialect: str, *, secret: str = OLD, webhook: bool = True) -> Registered:
        """The same at any unofficial server."""
        played = self.played.on_loop(lambda: self.played.simulator[dialect].create(callback_url="", secret="none-yet"))
        config = {"dialect": dialect, "base_url": f"http://127.0.0.1:{self.played.port}/{dialect}", "private_host": True}
        management = self.management
        connector = management.connector(tipo=ConnectorType.WHATSAPP_UNOFFICIAL, config=config)
        management.token(connector, kind=TokenKind.API_KEY, value=played.about.get("token") or played.about["api_key"])
        if "client_token" in played.about:
            management.token(connector, kind=TokenKind.SECRET, value=played.about["client_token"])
        account = self.instance(connector, played)
        if webhook:
            self.webhook(connector, self.edge_url(connector), [NewSecret(use=SecretUse.SIGN, value=secret)])
        return Registered(connector, account, played, dialect)

    def instance(self, connector: str, played: Account) -> str:
        """An account of the connector for this instance."""
        number = f"+55 11 90001-{len(self.management.read('SELECT 1 FROM channel_account')):04}"
        new = NewAccount(identidade=number, org_unit_id=self.management.unit, config={"instance": played.id})
        edge = f"http://127.0.0.1:{self.edge_port}"
        return self.management.run(lambda session: create_account(session, connector, new, public_url=edge, actor=ACTOR)).id

    def telegram(self, *, secret: str = OLD, url: str = "") -> Registered:
        """A bot: its connector has one registration."""
        played = self.played.on_loop(lambda: self.played.simulator["telegram"].create(callback_url="", secret="none-yet"))
        management = self.management
        connector = management.connector(tipo=ConnectorType.TELEGRAM, config={"bot_id": played.id})
        management.token(connector, value=played.about["token"])
        account = management.account(connector, played.id, config={})
        secrets = [NewSecret(use=SecretUse.SIGN, value=secret)]
        self.webhook(connector, url or f"https://edge.example.org/webhooks/{connector}", secrets)
        return Registered(connector, account, played, "telegram")

    def meta(self) -> Registered:
        """A number of Meta's: its connector has one registration, with a verify token of ours."""
        played = self.played.on_loop(lambda: self.played.simulator["meta"].create(callback_url=""))
        management = self.management
        about = played.about
        connector = management.connector(config={"waba_id": about["waba_id"], "app_id": about["app_id"], "owns_app": True})
        management.token(connector, value=about["access_token"])
        management.token(connector, kind=TokenKind.SECRET, value=played.secret, metadata={"name": "app_secret"})
        account = management.account(connector, config={"phone_number_id": played.id})
        secrets = [NewSecret(use=SecretUse.SIGN, value=played.secret), NewSecret(use=SecretUse.HANDSHAKE, value=OLD)]
        self.webhook(connector, f"https://edge.example.org/webhooks/{connector}", secrets)
        return Registered(connector, account, played, "meta")

    def webhook(self, connector: str, url: str, secrets: list[NewSecret]) -> str:
        new = NewWebhook(evento=WebhookEvent.MESSAGE_IN, url=url, secrets=secrets)
        management = self.management
        return management.run(lambda session: create_webhook(session, management.vault, connector, new, actor=ACTOR)).id

    def webhook_secrets(self, connector: str, secrets: list[NewSecret]) -> None:
        """Replace the secrets of the connector's only webhook."""
        management = self.management
        [(webhook,)] = management.read("SELECT id::text FROM channel_webhook WHERE connector_id = :id", id=connector)
        management.run(lambda session: set_webhook_secrets(session, management.vault, webhook, secrets, actor=ACTOR))

    # --- what became of it

    def job(self, subject: str) -> dict[str, Any] | None:
        names = "state, outcome, cause, action, missing, by_hand, attempt, asked, taken, registered_url, registered_secret"
        rows = self.management.read(f"SELECT {names} FROM sync_job WHERE subject_id = :id", id=subject)
        return dict(zip(names.split(", "), rows[0], strict=True)) if rows else None

    def is_at(self, subject: str, state: str, outcome: str) -> bool:
        job = self.job(subject)
        return job is not None and (job["state"], job["outcome"]) == (state, outcome)

    def until_at(self, subject: str, state: str, outcome: str) -> dict[str, Any]:
        self.until(lambda: self.is_at(subject, state, outcome), f"{state} {outcome}, not {self.job(subject)}")
        found = self.job(subject)
        assert found is not None
        return found

    def synced_at(self, account: str) -> Any:
        return self.management.read("SELECT ultima_sync FROM channel_account WHERE id = :id", id=account)[0][0]

    def calls(self, one: Registered, operation: str) -> int:
        """How often the provider was asked for this; of this account only."""
        stand_in = self.played.simulator[one.stand_in]
        return sum(
            stand_in.operation_of(call) == operation and (one.played.about.get("token", "") in f"{call.path}{call.headers}")
            for call in list(stand_in.calls)
        )

    def audit(self, subject: str) -> list[tuple[str, Any]]:
        rows = self.management.audit(subject)
        return [(action, after) for action, _, after in rows if action.startswith("sync.")]

    def say(self, one: Registered, text: str) -> None:
        """A person says something to the account: the simulator posts it where, and under the secret, that is registered."""
        what = Utterance(kind="text", text=text)
        self.played.on_loop(lambda: self.played.simulator[one.stand_in].say(one.played.id, person(1), what))

    def secrets(self, connector: str) -> dict[str, tuple[str, int | None]]:
        """State and end of each secret, by its number."""
        management = self.management
        found = management.run(lambda session: list_secrets(session, management.vault, connector, actor=ACTOR))
        return {one.id.rpartition("/")[2]: (one.state, one.not_after_ms) for one in found}

    def sql(self, statement: str) -> None:
        with connect(self.database.owner_url) as rows:
            rows.execute(statement)


@contextmanager
def site_on(bootstrap: str, prefix: str, database: DatabaseUnderTest, home: Path) -> Iterator[Site]:
    apply_topics(bootstrap, prefix, only=TOPICS, partitions=dict.fromkeys(TOPICS, 1))
    (home / "objects").mkdir()
    played = Played()
    played.start()
    with management_of(database.api_url, home / "keys") as management:
        site = Site(bootstrap, prefix, database, management, played, home)
        try:
            yield site
        finally:
            site.stop()
            played.stop()
