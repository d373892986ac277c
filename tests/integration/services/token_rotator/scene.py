"""Rotators in this process, on a real PostgreSQL, with a clock that the test moves and a provider that counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from services.token_rotator.app import Rhythm, Rotator, RotatorParts
from services.token_rotator.calling import Caller
from services.token_rotator.decide import Policy
from services.token_rotator.schedule import Schedule, ScheduleParts
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.renewal_rows import Budget, moment
from shared.adapters.vault import Vault
from shared.domain.enums import ConnectorType, TokenKind
from shared.providers import provider_of
from shared.runtime.metrics import TokenRotatorMetrics
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of
from tests.integration.rows import connect
from tests.token_provider import CLIENT_SECRET, AtOnce, Grant, MovedClock, TokenProvider

META = {"waba_id": "100000000000000", "app_id": "300000000000001"}
_BUDGET, _POLICY = Budget(calls=1_000, window_seconds=60), Policy()
RHYTHM = Rhythm(plan=0, replan=600, tell=0, settle=0)


def oauth(service: str, one: int = 0) -> dict[str, Any]:
    return {
        "dialect": "imap",
        "imap_host": "imap.example.org",
        "auth": "xoauth2",
        "oauth_provider": service,
        "oauth_client_id": f"client-{one}",
    }


@dataclass
class RotatorScene:
    """`management` registers; `rotator()` makes one more worker."""

    database: DatabaseUnderTest
    management: Management
    clock: MovedClock
    provider: TokenProvider
    credential: Engine
    budget: Budget = _BUDGET
    policy: Policy = _POLICY
    registries: list[CollectorRegistry] = field(default_factory=list)

    def rotator(
        self,
        *,
        caller: Caller | None = None,
        executor: Executor | None = None,
        calls: int = 64,
        rhythm: Rhythm = RHYTHM,
        lease_seconds: float = 90,
        credential: Engine | None = None,
    ) -> Rotator:
        registry = CollectorRegistry()
        self.registries.append(registry)
        schedule = Schedule(
            ScheduleParts(
                credential=credential or self.credential,
                api=self.management.engine,
                vault=Vault(self.management.vault._provider),
                clock=self.clock,
                provider_of=provider_of,
                policy=self.policy,
                budget=self.budget,
                lease_seconds=lease_seconds,
            )
        )
        return Rotator(
            RotatorParts(
                schedule=schedule,
                caller=caller or self.provider,
                clock=self.clock,
                executor=executor or AtOnce(),
                metrics=TokenRotatorMetrics(registry),
                policy=self.policy,
                rhythm=rhythm,
                calls=calls,
            )
        )

    def meta(self, *, life_seconds: int = 5_184_000, owner: str = "shop") -> tuple[str, str]:
        """A connector of Meta's with a token of that life and the app's secret: (connector, token)."""
        connector = self.management.connector(config={**META, "app_secret": CLIENT_SECRET})
        grant = self.provider.grant(owner, "meta", life_seconds)
        return connector, self.token(connector, next(iter(grant.access)), life_seconds)

    def mailbox(
        self, service: str, *, life_seconds: int = 3_600, owner: str = "ana", one_time: bool = False, access: bool = True
    ) -> tuple[str, str, str]:
        """A connector with a mailbox's consent: (connector, access token or "", refresh token)."""
        connector = self.management.connector(tipo=ConnectorType.EMAIL, nome=owner, config=oauth(service))
        grant = self.provider.grant(owner, service, life_seconds, one_time=one_time)
        self.token(connector, CLIENT_SECRET, None, kind=TokenKind.SECRET, metadata={"name": "client_secret"})
        refresh = self.token(connector, grant.refresh[0], None, kind=TokenKind.REFRESH_TOKEN)
        token = self.token(connector, next(iter(grant.access)), life_seconds) if access else ""
        return connector, token, refresh

    def token(self, connector: str, value: str, life_seconds: int | None, **more: Any) -> str:
        now = self.clock.now_ms()
        ends = None if life_seconds is None else moment(now + life_seconds * 1000)
        return self.management.token(connector, value=value, expires_at=ends, created_at=moment(now), **more)

    def outage(self, *, away: bool) -> None:
        """The database takes nobody any more, and sends away who is there."""
        with connect(self.database.superuser_url) as rows:
            rows.execute(f'ALTER DATABASE "{self.database.name}" ALLOW_CONNECTIONS {not away}')
            if away:
                rows.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self.database.name,))

    def grant(self, owner: str) -> Grant:
        return self.provider.grants[owner]

    def sql(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows as the role that sees all of the schedule."""
        with unit_of_work(self.credential) as session:
            return [tuple(row) for row in session.execute(text(statement), values)]

    def rows(self, connector: str) -> list[tuple[Any, ...]]:
        """kind, task, state, cause of the connector's tokens, secrets first, then refresh and access tokens, oldest first."""
        return self.sql(
            "SELECT t.kind::text, r.task, r.state, r.cause FROM channel_token t LEFT JOIN token_renewal r ON r.token_id = t.id"
            " WHERE t.connector_id = :connector ORDER BY t.kind DESC, t.created_at, t.id",
            connector=connector,
        )

    def live(self, connector: str, kind: TokenKind = TokenKind.ACCESS_TOKEN) -> list[str]:
        return [row[1] for row in self.rows(connector) if row[0] == kind and row[1] not in ("retire", "none")]

    def notices(self) -> list[dict[str, Any]]:
        """Details of all `channel.token.expiring`, in order."""
        with unit_of_work(self.management.engine, tenant_id=self.management.tenant) as session:
            rows = session.execute(text("SELECT detail FROM outbox WHERE topic = 'channel.token.expiring' ORDER BY id"))
            return [row[0] for row in rows]

    def count(self, outcome: str, service: str) -> float:
        """Renewals with this outcome, of all workers."""
        name, labels = "channels_token_rotator_renewals_total", {"service": service, "outcome": outcome}
        return sum(registry.get_sample_value(name, labels) or 0 for registry in self.registries)


def until_idle(rotator: Rotator, rounds: int = 50) -> None:
    """Rounds until there is nothing to do."""
    for _ in range(rounds):
        if not rotator.turn():
            return
    raise AssertionError("it never comes to rest")


@contextmanager
def scene_on(database: DatabaseUnderTest, keys: Path, *, window_seconds: int = 60) -> Iterator[RotatorScene]:
    clock = MovedClock(time.time_ns() // 1_000_000)
    credential = create_engine_for(database.credential_url, pool_size=8)
    with management_of(database.api_url, keys) as management:
        yield RotatorScene(database, management, clock, TokenProvider(clock, window_seconds), credential)
    credential.dispose()
