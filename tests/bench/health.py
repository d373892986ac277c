"""Part 8: accounts checked against a local stub by one process, against a transaction and a connection for each check."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from shared.adapters.clock import new_uuid7
from shared.adapters.topics import apply_topics
from shared.domain.enums import TokenKind
from shared.domain.topics import Topic
from shared.management.installation import prepare_database, role_urls
from shared.management.tokens import NewToken, add_token
from tests.bench.measurement import Part, Series, Values, interleave
from tests.bench.processes import Measured, free_port
from tests.bench.site import Site
from tests.integration.management import Management, management_of

CHECKS, CHECKS_CPU = "checks per second", "checks per CPU second"
UNITS = {CHECKS: "checks/s", CHECKS_CPU: "checks/CPU s"}
HEALTH, NAIVE, CONTROL = "health", "a transaction and a connection per check", "health again (control)"
PROMISE, PROMISED = "20,000 accounts every 5 minutes", 20_000 / 300
_PER_CONNECTOR = 20

_ACCOUNTS = """INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id, config)
SELECT gen_random_uuid(), %s, '5511' || %s || lpad(n::text, 4, '0'), 'active', %s,
    jsonb_build_object('phone_number_id', '1' || %s || lpad(n::text, 6, '0')) FROM generate_series(1, %s) AS n"""
_PLAN = """INSERT INTO health_state (subject_id, connector_id, account_id, due_at)
SELECT id, connector_id, id, now() FROM channel_account"""
_COUNT = "SELECT count(*) FROM channel_health_check WHERE account_id IS NOT NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Accounts, seconds that are measured, and rounds."""

    accounts: int = 20_000
    seconds: float = 15.0
    rounds: int = 3

    @classmethod
    def quick(cls) -> Sizes:
        """Only enough to see that all of it works."""
        return cls(accounts=1_000, seconds=4.0, rounds=1)


class Installation:
    """A database with the accounts, a stub, and topics of its own."""

    def __init__(self, site: Site, accounts: int) -> None:
        mark = new_uuid7()[-8:]
        self.site, self.stub_port, self.keys = site, free_port(), site.home / "installations" / f"health-{mark}" / "keys"
        self.name, self.prefix = f"bench_health_{mark}", f"benchhealth{mark}."
        self.keys.parent.mkdir(parents=True)
        prepare_database(site.addresses.superuser_url, self.name)
        self.urls = role_urls(site.addresses.superuser_url, self.name)
        apply_topics(site.addresses.kafka_bootstrap, self.prefix, only={Topic.AUDIT})
        with management_of(self.urls["database_api_url"], self.keys) as management:
            self._fill(management, accounts)

    def _fill(self, management: Management, accounts: int) -> None:
        url = self.urls["database_worker_url"].replace("+psycopg", "")
        for number in range(accounts // _PER_CONNECTOR):
            config = {"waba_id": f"1{number:08}", "graph_url": f"http://127.0.0.1:{self.stub_port}"}
            connector = management.connector(config=config)
            token = NewToken(kind=TokenKind.ACCESS_TOKEN, value="an invented token of the bench")
            with management.work() as session:
                add_token(session, management.vault, connector, token, actor="bench")
                session.connection().exec_driver_sql(
                    "INSERT INTO channel_health_check (id, connector_id, status, mensagem, executado_em)"
                    " VALUES (gen_random_uuid(), %s, 'passed', 'bench', now())",
                    (connector,),
                )
                session.connection().exec_driver_sql("UPDATE channel_connector SET status = 'active' WHERE id = %s", (connector,))
                marks = (connector, f"{number:05}", management.unit, f"{number:08}", _PER_CONNECTOR)
                session.connection().exec_driver_sql(_ACCOUNTS, marks)
                session.commit()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_PLAN)

    def environment(self) -> dict[str, str]:
        """Variables of a health process, by which everything is due all the time."""
        values = {
            "stack": "external",
            "home": self.keys.parent,
            "kafka_bootstrap": self.site.addresses.kafka_bootstrap,
            "topic_prefix": self.prefix,
            "keys_dir": self.keys,
            "database_api_url": self.urls["database_api_url"],
            "database_worker_url": self.urls["database_worker_url"],
            "database_credential_url": self.urls["database_credential_url"],
            "log_level": "WARNING",
            "http_allow": f"http://127.0.0.1:{self.stub_port}",
            "health_operations_port": 0,
            "health_every_seconds": 1,
        }
        return {f"CHANNELS_{name.upper()}": str(value) for name, value in values.items()}


class Rounds:
    """One candidate in rounds."""

    def __init__(self, made: Installation, module: str, seconds: float) -> None:
        self._made, self._module, self._seconds = made, module, seconds

    def measure(self) -> Values:
        """A fresh process; counted from its first second of work on."""
        logs: Path = self._made.site.logs
        url = self._made.urls["database_worker_url"].replace("+psycopg", "")
        stub = Measured([sys.executable, "-m", "tests.bench.provider_stub", str(self._made.stub_port)], {}, logs / "stub.log")
        process = Measured([sys.executable, "-m", self._module], self._made.environment(), logs / "health.log")
        with psycopg.connect(url, autocommit=True) as connection, stub:
            connection.execute("UPDATE health_state SET due_at = now(), lease_until = NULL")
            connection.execute("DELETE FROM outbox")  # no relay runs here, and nobody reads what piles up
            began = self._count(connection)
            with process:
                deadline = time.monotonic() + 60
                while self._count(connection) == began:
                    process.check()
                    if time.monotonic() > deadline:
                        raise TimeoutError("no check was written within a minute")
                    time.sleep(0.05)
                time.sleep(1)
                first, at, cpu = self._count(connection), time.monotonic(), process.cpu_seconds()
                time.sleep(self._seconds)
                done, took, used = self._count(connection) - first, time.monotonic() - at, process.cpu_seconds() - cpu
        return {CHECKS: done / took, CHECKS_CPU: done / used}

    def _count(self, connection: psycopg.Connection[tuple[int]]) -> int:
        row = connection.execute(_COUNT).fetchone()  # type: ignore[arg-type]
        return int(row[0]) if row else 0


def run(site: Site, sizes: Sizes, say: Callable[[str], None]) -> Part:
    """The whole part. Blocks for about four minutes (quick: half a minute)."""
    part = Part(
        name="health",
        title="Health checks",
        settings={"accounts": sizes.accounts, "seconds per round": sizes.seconds, "rounds": sizes.rounds},
    )
    say(f"  making {sizes.accounts} accounts")
    made = Installation(site, sizes.accounts)
    health = Rounds(made, "services.health", sizes.seconds)
    naive = Rounds(made, "tests.bench.variants.naive_health", sizes.seconds)
    part.series = interleave({HEALTH: health.measure, NAIVE: naive.measure, CONTROL: health.measure}, sizes.rounds, UNITS, say)
    part.series.append(Series(candidate=PROMISE, measure=CHECKS, unit=UNITS[CHECKS], values=[PROMISED]))
    part.series.append(Series(candidate=PROMISE, measure=CHECKS_CPU, unit=UNITS[CHECKS_CPU], values=[PROMISED]))
    part.compare(CHECKS, HEALTH, PROMISE, target=1.0)
    part.compare(CHECKS_CPU, HEALTH, PROMISE, target=1.0)
    part.compare(CHECKS, HEALTH, NAIVE)
    part.compare(CHECKS_CPU, HEALTH, NAIVE)
    part.compare(CHECKS, CONTROL, HEALTH)
    part.notes = [
        "A check: an account that is due is taken, its call is built with an opened credential, asked over HTTP of a stub on this"
        " machine, graded, and its row, streak, next slot and event are committed. All accounts are due all the time, so this is"
        " the highest rate; connectors' own checks run beside it and are not counted. No relay runs.",
        "Per CPU second is what one process does with one core to itself; PostgreSQL's share is not in it.",
        "The rival runs the same code for one check at a time in 8 threads, each with new connections and a new HTTP client.",
    ]
    return part
