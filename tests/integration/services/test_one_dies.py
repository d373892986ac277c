"""Row 92: of token_rotator, health, sync and relay any one is killed; the others' work stays done, and it catches up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from services.simulator.stand_in import Account
from shared.adapters.avro import Codec
from shared.adapters.kafka import client_config, full_name
from shared.domain.enums import ConnectorType, TokenKind
from shared.domain.outcomes import ItemOutcome
from shared.domain.records import AuditCount, AuditRecorded
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.edge import EdgeProcess
from tests.integration.rows import connect
from tests.integration.services.relay.scene import read_committed
from tests.integration.services.sync.site import EDGE, RELAY, SYNC, Site, site_on
from tests.integration.services.sync.test_bursts_and_kills import tell
from tests.integration.services.sync.test_registering import press
from tests.integration.services.token_rotator.scene import oauth
from tests.token_provider import CLIENT_SECRET

ROTATOR, HEALTH = "services.token_rotator", "services.health"
SERVICES = (ROTATOR, HEALTH, SYNC, RELAY)
ROUNDS = 2
Moment = tuple[Any, int]


class Estate:
    """A bot at the simulator, and the four services. `work` gives each of them one more thing to do."""

    def __init__(self, site: Site) -> None:
        self.site, self.bot = site, site.telegram()
        self.processes: dict[str, EdgeProcess] = {}
        self.consents: list[Account] = []
        self.books = self.presses = 0
        self.producer = Producer({**client_config(site.bootstrap, "books"), "enable.idempotence": True})
        reading = {"group.id": "none", "enable.auto.commit": False, "enable.partition.eof": True}
        self.reader = Consumer({**client_config(site.bootstrap, "lag"), **reading, "isolation.level": "read_committed"})

    def start(self, service: str) -> None:
        base = f"http://127.0.0.1:{self.site.played.port}"
        hosts = {"api.telegram.org": "telegram", "login.microsoftonline.com": "microsoft"}
        settings = {
            "http_stand_ins": ",".join(f"{host}={base}/{name}" for host, name in hosts.items()),
            "health_every_seconds": 1,
            "token_rotator_lease_seconds": 2,
            "token_rotator_poll_seconds": 0.05,
            "token_rotator_plan_seconds": 0.2,
            "token_rotator_settle_seconds": 0.2,
        }
        self.processes[service] = self.site.start(service, **settings)

    def work(self) -> None:
        site = self.site
        self.consents.append(site.played.on_loop(self._consent))
        self._register(self.consents[-1])
        self.books += 1
        self._book()
        tell(site, self.bot, 1, "config_changed")  # past the relay: sync has something to do without it
        self.presses += 1
        press(site, self.bot)

    def _consent(self) -> Account:
        return self.site.played.simulator["microsoft"].create(secret=CLIENT_SECRET, one_time=True)

    def _register(self, account: Account) -> None:
        """A consent of which we have the refresh token alone: it is due at once."""
        management = self.site.management
        config = {**oauth("microsoft"), "oauth_client_id": account.about["client_id"]}
        connector = management.connector(tipo=ConnectorType.EMAIL, nome=account.id, config=config)
        management.token(connector, value=CLIENT_SECRET, kind=TokenKind.SECRET, metadata={"name": "client_secret"})
        management.token(connector, value=account.about["refresh_token"], kind=TokenKind.REFRESH_TOKEN)

    def _book(self) -> None:
        """One item of the bot's, as the router books it."""
        hour_ms = 3_600_000 * (self.now()[0] // 3_600_000)
        line = AuditCount(
            connector_id=self.bot.connector,
            account_id=self.bot.account,
            hour_ms=hour_ms,
            outcome=ItemOutcome.EMITTED,
            reason="",
            count=1,
        )
        record = AuditRecorded(epoch="e", partition=0, first_offset=self.books - 1, end_offset=self.books, counts=(line,))
        topic = full_name(self.site.prefix, Topic.AUDIT)
        self.producer.produce(topic, Codec().encode(Topic.AUDIT, record), key=b"0", partition=0)
        assert self.producer.flush(20) == 0

    def now(self) -> Moment:
        """The database's time, ms, and the newest notice."""
        sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, coalesce(max(id), 0) FROM outbox"
        return self.one(sql)

    def behind(self, service: str, since: Moment) -> int:
        """How much the service has not done of what there was to do at that moment."""
        at_ms, notice = since
        if service == ROTATOR:
            without = "SELECT FROM channel_token t WHERE t.connector_id = c.id AND t.kind = 'access_token'"
            return int(self.one(f"SELECT count(*) FROM channel_connector c WHERE tipo = 'email' AND NOT EXISTS ({without})")[0])
        if service == HEALTH:
            unchecked = self.one("SELECT count(*) FROM health_state WHERE due_at <= to_timestamp(%s / 1000.0)", at_ms)[0]
            return int(unchecked) + self._lag(Topic.AUDIT)
        if service == SYNC:
            lag = self._lag(Topic.SYNC_REQUIRED)  # first: what is no longer in it is in a job, which is due somewhat later
            return lag + int(self.one("SELECT count(*) FROM sync_job WHERE state <> 'idle'")[0])
        return int(self.one("SELECT count(*) FROM outbox WHERE id <= %s", notice)[0])

    def _lag(self, kind: Topic) -> int:
        """Records behind the offset that the service keeps. Counted, because markers of transactions have offsets, too."""
        topic = full_name(self.site.prefix, kind)
        (start,) = self.one("SELECT coalesce(max(next_offset), 0) FROM consumer_offset WHERE topic = %s", topic)
        self.reader.assign([TopicPartition(topic, 0, start)])
        count = 0
        while (message := self.reader.poll(10)) is not None and message.error() is None:
            count += 1
        assert message is not None
        assert message.error().code() == KafkaError._PARTITION_EOF
        return count

    def one(self, statement: str, *values: object) -> Any:
        with connect(self.site.database.owner_url) as rows:
            return rows.execute(statement, values).fetchone()

    def until_done(self, services: set[str], since: Moment) -> None:
        for service in sorted(services):  # what was done of that moment stays done
            self.site.until(lambda one=service: not self.behind(one, since), f"{service} is behind")  # type: ignore[misc]


@pytest.fixture
def estate(kafka_bootstrap: str, topic_prefix: str, database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Estate]:
    with site_on(kafka_bootstrap, topic_prefix, database, tmp_path) as site:
        made = Estate(site)
        site.start(EDGE)
        for service in SERVICES:
            made.start(service)
        for process in site.processes:
            site.until(lambda one=process: one.ready, "ready")  # type: ignore[misc]
        yield made
        made.reader.close()
        del made.producer  # it would look for its broker for ever


@pytest.mark.req(92)
def test_one_is_killed_the_others_lag_stays_flat_and_it_resumes_with_nothing_lost(estate: Estate) -> None:
    site = estate.site
    site.until_at(estate.bot.subject, "idle", "synced")
    for victim in SERVICES:
        others = set(SERVICES) - {victim}
        estate.until_done(set(SERVICES), estate.now())
        site.kill(estate.processes[victim])
        lags = []
        for _ in range(ROUNDS):
            estate.work()
            since = estate.now()
            estate.until_done(others, since)
            lags.append(estate.behind(victim, since))
        assert lags == sorted(set(lags)), f"what {victim} has to do grows"
        assert lags[0] > 0
        print(f"{victim}: {lags} to do while it was dead, the others 0 after each round")
        with connect(site.database.owner_url) as rows:  # as if the leases of the checks that died with it were over: 2 minutes
            rows.execute("UPDATE health_state SET lease_until = NULL")
        estate.start(victim)
        estate.until_done(set(SERVICES), estate.now())
    _nothing_is_lost_or_doubled(estate)


def _nothing_is_lost_or_doubled(estate: Estate) -> None:
    site = estate.site
    shown = [call.fields["refresh_token"] for call in site.played.simulator["microsoft"].calls]
    assert len(shown) == len(set(shown)) == len(estate.consents)
    assert estate.one("SELECT sum(h)::int FROM account_activity, unnest(hours) AS h") == (estate.books,)
    estate.processes[HEALTH].terminate()  # it would ask and tell for ever
    assert estate.processes[HEALTH].wait() == 0
    estate.until_done({SYNC, RELAY}, estate.now())
    asked = [Codec().decode(Topic.SYNC_REQUIRED, one.value() or b"") for one in _told(estate, Topic.SYNC_REQUIRED)]
    causes = Counter(one.cause for one in asked if one.connector_id == estate.bot.connector)
    assert (causes["requested"], causes["config_changed"]) == (estate.presses, len(estate.consents))
    job = site.until_at(estate.bot.subject, "idle", "synced")
    assert job["asked"] == job["taken"] == sum(causes.values())
    checks = [Codec().decode(Topic.HEALTH_CHECKED, one.value() or b"").check_id for one in _told(estate, Topic.HEALTH_CHECKED)]
    (written,) = estate.one("SELECT count(*) FROM channel_health_check WHERE mensagem <> 'for the test'")
    assert len(checks) == len(set(checks)) == written


def _told(estate: Estate, topic: Topic) -> list[Any]:
    return read_committed(estate.site.bootstrap, estate.site.prefix, topic)
