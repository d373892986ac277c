"""Where a campaign takes place: the ground (Kafka and PostgreSQL, with proxies before them) and an installation on it."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy.engine import make_url

from deploy.local.fleet import Fleet, FleetService
from deploy.local.fleet_plan import FLEET_PORTS, plan_fleet
from deploy.local.home_lock import HomeLock
from deploy.local.installation import install
from deploy.local.ports import LOCALHOST, choose_port
from deploy.local.settings_file import keep_settings, kept_settings
from deploy.local.stack import LocalStack, StackAddresses
from tests.chaos.automation import PORT as AUTOMATION_PORT
from tests.chaos.ground_plan import CONNECTORS, SECRETS, manifest, number_id
from tests.chaos.provider import Route, Target
from tests.chaos.proxy import Proxy

SESSION_TIMEOUT_MS = 6_000
TRANSACTION_TIMEOUT_MS = 10_000
KNOWN_IN_A_ROW = 12  # fresh connections, spread over the edges by the kernel
_KNOWN_SECONDS = 30.0
_NOT_NEEDED = ("control", "sync")


def end_in_order() -> None:
    """Let SIGTERM and SIGINT unwind the stack of calls: what was started is stopped, also in the background of a shell."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _frame: sys.exit(128 + signum))


class Ground:
    """A stack of its own, with a proxy before each part; stop it when done."""

    def __init__(self, home: Path) -> None:
        self.stack = LocalStack(home)
        self.kafka_proxy = Proxy()
        self.postgres_proxy = Proxy()
        self.stack.kafka.options.advertised_port = self.kafka_proxy.port

    def start(self) -> StackAddresses:
        """Start stack and proxies."""
        addresses = self.stack.start()
        self.kafka_proxy.start(int(addresses.kafka_bootstrap.rpartition(":")[2]))
        self.postgres_proxy.start(self.stack.postgres.socket_folder / ".s.PGSQL.5432")
        return addresses

    def stop(self) -> None:
        """Stop all of it."""
        self.kafka_proxy.stop()
        self.postgres_proxy.stop()
        self.stack.stop()


class Site:
    """One installation with its fleet, in a home of its own. Several may share a ground by prefix and database."""

    def __init__(self, home: Path, addresses: StackAddresses, *, name: str = "", postgres_port: int | None = None) -> None:
        self.home = home
        self.name = name
        self._addresses = addresses
        self._postgres_port = postgres_port
        self._environment: dict[str, str] = {}
        self.fleet = Fleet(home, HomeLock(home))

    def bring_up(
        self,
        *,
        modules: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        relays: int = 1,
        routers: int = 2,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """Install, start two edges, the routers, the relays and the automation stand-in, apply the manifest, wait until every
        edge knows it.

        `modules`: service -> the module to start in place of `services.<service>`. `environment`: for all processes.
        """
        database = f"channels_{self.name}" if self.name else "channels"
        install(self._addresses, self.home, say=say, database=database, topic_prefix=f"{self.name}." if self.name else "")
        taken: set[int] = set()
        for port in FLEET_PORTS:  # not the usual ones: installations start side by side, and would race for them
            chosen = choose_port(given=None, before=None, purpose=port, variable="", taken=frozenset(taken))
            taken.add(chosen)
            keep_settings(self.home, {port: chosen})
        self._environment = {
            "CHANNELS_ROUTER_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "CHANNELS_ROUTER_TRANSACTION_TIMEOUT_MS": str(TRANSACTION_TIMEOUT_MS),
            **self._through_proxy(),
            **(environment or {}),
        }
        services = self._services(relays, routers, modules or {})
        for service in services:
            self.fleet.start(service)
        self.apply_manifest()
        for service in services:
            self.fleet.wait_ready(service.name, 60)
        self._wait_known()

    def targets(self) -> list[Target]:
        """Where the peers post."""
        port = int(kept_settings(self.home)["ingest_port"])
        secret = SECRETS["CHANNELS_CHAOS_APP_SECRET"]
        return [Target(port, one, number_id(one, route), secret, route) for one in CONNECTORS for route in Route]

    def setting(self, name: str) -> str:
        """One of the installation's settings (of the direct way, past the proxies)."""
        return str(kept_settings(self.home)[name])

    def apply_manifest(self) -> None:
        """Run `channels apply` as a person would."""
        path = self.home / "channels.yaml"
        path.write_text(manifest())
        command = [sys.executable, "-m", "services.cli", "apply", "-f", str(path)]
        environment = {**os.environ, **SECRETS, "CHANNELS_HOME": str(self.home)}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

    def _services(self, relays: int, routers: int, modules: Mapping[str, str]) -> list[FleetService]:
        planned = [*plan_fleet(self.home, self.fleet, ingests=2, routers=routers), _automation()]
        for number in range(1, relays):
            port = choose_port(given=None, before=None, purpose="relay", variable="")
            name = f"relay-{number}"
            environment = {"CHANNELS_RELAY_OPERATIONS_PORT": str(port)}
            planned.append(FleetService(name=name, module="services.relay", operations_port=port, environment=environment))
        return [
            replace(
                one,
                module=modules.get(one.name, modules.get(one.name.partition("-")[0], one.module)),
                environment={**one.environment, **self._environment},
            )
            for one in planned
            if one.name not in _NOT_NEEDED
        ]

    def _through_proxy(self) -> dict[str, str]:
        if self._postgres_port is None:
            return {}
        url = make_url(self.setting("database_worker_url")).set(host=LOCALHOST, port=self._postgres_port, query={})
        return {"CHANNELS_DATABASE_WORKER_URL": url.render_as_string(hide_password=False)}

    def _wait_known(self) -> None:
        """A connector is younger than its snapshot: until an edge has read it, it answers 404 or 503."""
        deadline = time.monotonic() + _KNOWN_SECONDS
        for target in self.targets():
            if target.route is not Route.UNIT:
                continue
            in_a_row = 0
            while in_a_row < KNOWN_IN_A_ROW:
                in_a_row = in_a_row + 1 if _handshake(target) == http.client.OK else 0
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the edges do not know {target.connector_id} after {_KNOWN_SECONDS} s")


def _automation() -> FleetService:
    port = choose_port(given=None, before=None, purpose="automation", variable="")
    environment = {AUTOMATION_PORT: str(port)}
    return FleetService(name="automation", module="tests.chaos.automation", operations_port=port, environment=environment)


def _handshake(target: Target) -> int:
    query = {"hub.mode": "subscribe", "hub.verify_token": SECRETS["CHANNELS_CHAOS_VERIFY_TOKEN"], "hub.challenge": "1"}
    connection = http.client.HTTPConnection(LOCALHOST, target.port, timeout=10)
    try:
        connection.request("GET", f"/webhooks/{target.connector_id}?{urlencode(query)}")
        return connection.getresponse().status
    except (http.client.HTTPException, OSError):
        return 0
    finally:
        connection.close()
