"""Calls that a connector waits for: edge, router, relay and sync as processes, Amazon SNS played; no person does anything."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from confluent_kafka import Producer

from services.simulator.people import person
from services.simulator.utterances import Utterance
from shared.adapters.avro import Codec
from shared.adapters.clock import new_uuid7
from shared.adapters.kafka import client_config, event_headers, full_name
from shared.adapters.raw_body import body_aad
from shared.adapters.topics import apply_topics
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.enums import ConnectorType, KeyPurpose, RecordSource, SecretUse
from shared.domain.records import RawPosition, SyncRequired, WebhookReceived
from shared.domain.sync_causes import CERTIFICATE_MISSING, SUBSCRIPTION_PENDING, position_text
from shared.domain.topics import Topic
from shared.management.connectors import update_connector
from shared.management.webhooks import NewSecret
from tests.edge import free_port
from tests.integration.management import ACTOR
from tests.integration.services.sync.site import EDGE, RELAY, SYNC, Site

TOPIC = "arn:aws:sns:sa-east-1:000000000001:mail-in"
HOST = "sns.sa-east-1.amazonaws.com"
CREDENTIAL = "channels:a secret of the tests"
ROUTER = "services.router"


def stand_ins(site: Site) -> dict[str, str]:
    base = f"http://127.0.0.1:{site.played.port}"
    return {"http_stand_ins": f"{HOST}={base}/sns"}


def ses(site: Site, **about: Any) -> tuple[str, str, Any]:
    """A connector of one topic with one address, which SNS will post to: (connector, account, who plays it)."""
    management = site.management
    config = {"dialect": "ses", "topic_arns": [TOPIC]}
    connector = management.connector(tipo=ConnectorType.EMAIL, nome="SES", config=config)
    account = management.account(connector, "help@example.com", config={"takes_rest": True})
    site.webhook(connector, site.edge_url(connector), [NewSecret(use=SecretUse.SIGN, value=CREDENTIAL)])
    given = {"topic_arn": TOPIC, "basic": CREDENTIAL, "callback_url": site.edge_url(connector), **about}
    played = site.played.on_loop(lambda: site.played.simulator["sns"].create(id="help@example.com", **given))
    return connector, account, played


def asked(site: Site, operation: str) -> int:
    sns = site.played.simulator["sns"]
    return sum(sns.operation_of(call) == operation for call in list(sns.calls))


def knocked(site: Site, connector: str) -> int:
    """What the edge says to a stranger: 401 once it knows the connector."""
    edge = http.client.HTTPConnection("127.0.0.1", site.edge_port, timeout=5)
    try:
        edge.request("POST", f"/webhooks/{connector}", b"{}")
        return edge.getresponse().status
    except OSError:
        return 0
    finally:
        edge.close()


def confirmed(site: Site) -> list[Any]:
    rows = site.management.read("SELECT after FROM audit_log WHERE action = 'subscription.confirmed' ORDER BY id")
    return [after for (after,) in rows]


def errands(site: Site) -> list[tuple[Any, ...]]:
    return site.management.read("SELECT cause, detail FROM sync_errand ORDER BY 1, 2")


@pytest.fixture
def topics(site: Site) -> Site:
    everything = tuple(Topic)
    apply_topics(site.bootstrap, site.prefix, only=everything, partitions=dict.fromkeys(everything, 1))
    return site


@pytest.mark.req(2)
def test_a_new_subscription_confirms_itself_certificate_and_all(topics: Site) -> None:
    site = topics
    for module, more in ((RELAY, {}), (EDGE, {}), (ROUTER, {"router_operations_port": free_port()}), (SYNC, stand_ins(site))):
        site.start(module, **more)
    connector, _, played = ses(site)
    site.until(lambda: knocked(site, connector) == 401, "the edge knows the connector")
    site.played.on_loop(lambda: site.played.simulator["sns"].confirm(played.id))
    site.until(lambda: played.about["confirmed"], "confirmed by a call", seconds=120)
    site.until(lambda: confirmed(site), "noted")
    assert asked(site, "certificate") >= 1
    assert asked(site, "ConfirmSubscription") == 1
    [noted] = confirmed(site)
    assert noted["topic"] == TOPIC
    assert errands(site) == []
    token = played.about["token"]
    everything = site.management.read("SELECT t::text FROM audit_log t UNION ALL SELECT j::text FROM sync_job j")
    logs = "".join(process.log.read_text() for process in site.processes)
    assert token not in f"{everything}{logs}"
    what = Utterance(kind="text", text="Bom dia")
    site.played.on_loop(lambda: site.played.simulator["sns"].say(played.id, person(1), what))
    arrived = "SELECT count(*) FROM channel_mapping WHERE entidade_type = 'message'"
    site.until(lambda: site.management.read(arrived) == [(1,)], "the mail arrives", seconds=60)


class Asking:
    """Writes raw records and requests, as edge and router do."""

    def __init__(self, site: Site) -> None:
        self.site, self.codec = site, Codec()
        self.producer = Producer({**client_config(site.bootstrap, "test"), "enable.idempotence": True})
        self.raw = full_name(site.prefix, Topic.WEBHOOK_RECEIVED)
        self.epoch = topic_incarnation(site.bootstrap, self.raw)

    def record(self, connector: str, document: dict[str, Any], **about: Any) -> RawPosition:
        management, record_id = self.site.management, new_uuid7()
        body = json.dumps(document).encode()
        ring = management.vault.ring(KeyPurpose.INGEST, management.tenant, management.keys(KeyPurpose.INGEST))
        values: dict[str, Any] = {
            "record_id": record_id,
            "source": RecordSource.WEBHOOK,
            "tenant_id": management.tenant,
            "connector_id": connector,
            "url_account_id": None,
            "received_at_ms": 1_900_000_000_000,
            "headers": {"x-amz-sns-message-type": str(document.get("Type"))},
            "secret_id": None,
            "body_size_bytes": len(body),
            "sealed_body": ring.seal_bytes(body, body_aad(management.tenant, record_id)),
            "body_reference": None,
        }
        value = self.codec.encode(Topic.WEBHOOK_RECEIVED, WebhookReceived(**{**values, **about}))
        return RawPosition(epoch=self.epoch, partition=0, offset=self._produce(self.raw, connector, value))

    def ask(self, connector: str, cause: str, detail: str) -> None:
        tenant = self.site.management.tenant
        event = SyncRequired(
            tenant_id=tenant, connector_id=connector, account_id=None, cause=cause, detail=detail, requested_at_ms=1
        )
        value = self.codec.encode(Topic.SYNC_REQUIRED, event)
        self._produce(full_name(self.site.prefix, Topic.SYNC_REQUIRED), connector, value)

    def _produce(self, topic: str, key: str, value: bytes) -> int:
        offsets: list[int] = []
        headers = event_headers(event_id=new_uuid7(), event_type="test", source="/test", subject=key, time_ms=1)
        self.producer.produce(
            topic, value, key.encode(), 0, lambda _, message: offsets.append(message.offset() or 0), headers=headers
        )
        assert self.producer.flush(10) == 0
        return offsets[0]


def confirmation(played: Any, **changes: Any) -> dict[str, Any]:
    token = played.about["token"]
    url = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={token}"
    return {"Type": "SubscriptionConfirmation", "TopicArn": TOPIC, "Token": token, "SubscribeURL": url, **changes}


@pytest.mark.req(70)
def test_each_request_leads_to_one_call_and_faults_that_pass_are_got_over(topics: Site) -> None:
    site = topics
    connector, _, played = ses(site)
    asking = Asking(site)
    first, second = (asking.record(connector, confirmation(played)) for _ in range(2))
    sns = site.played.simulator["sns"]
    site.played.on_loop(lambda: sns.faults.add(operation="ConfirmSubscription", code="503", times=2))
    for _ in range(200):
        asking.ask(connector, SUBSCRIPTION_PENDING, position_text(first))
    sync = site.start(SYNC, **stand_ins(site))
    site.until(lambda: len(confirmed(site)) == 1, "confirmed after two faults", seconds=60)
    assert asked(site, "ConfirmSubscription") == 3
    asking.ask(connector, SUBSCRIPTION_PENDING, position_text(first))  # again: it was confirmed
    asking.ask(connector, SUBSCRIPTION_PENDING, position_text(second))  # another request
    site.until(lambda: len(confirmed(site)) == 2, "the second")
    site.until_at(connector, "idle", "synced")
    assert (asked(site, "ConfirmSubscription"), errands(site)) == (4, [])
    assert played.about["token"] not in sync.log.read_text()


@pytest.mark.req(70)
def test_a_killed_sync_leaves_the_errand_and_the_next_one_does_it(topics: Site) -> None:
    site = topics
    connector, _, played = ses(site)
    asking = Asking(site)
    position = asking.record(connector, confirmation(played))
    site.played.delay_seconds = 3.0
    asking.ask(connector, SUBSCRIPTION_PENDING, position_text(position))
    sync = site.start(SYNC, **stand_ins(site))
    site.until(lambda: (site.job(connector) or {}).get("state") == "running", "running")
    site.kill(sync)
    assert [cause for cause, _ in errands(site)] == [SUBSCRIPTION_PENDING]
    assert confirmed(site) == []
    site.played.delay_seconds = 0.0
    site.forget_leases()
    site.start(SYNC, **stand_ins(site))
    site.until(lambda: confirmed(site), "done by the next", seconds=60)
    assert errands(site) == []


def test_what_cannot_be_done_is_told_once_and_asked_of_nobody(topics: Site) -> None:
    site = topics
    connector, _, played = ses(site)
    other = site.management.connector(tipo=ConnectorType.EMAIL, nome="Other", config={"dialect": "ses", "topic_arns": [TOPIC]})
    asking = Asking(site)
    evil = confirmation(played)["SubscribeURL"].replace(HOST, f"{HOST}.evil.example")
    hostile = {
        "address": asking.record(connector, confirmation(played, SubscribeURL=evil)),
        "topic": asking.record(connector, confirmation(played, TopicArn=TOPIC + "-other")),
        "of another": asking.record(other, confirmation(played)),
        "not of sns": asking.record(connector, confirmation(played), headers={}),
        "gone": RawPosition(epoch=asking.epoch, partition=0, offset=999),
        "partition": RawPosition(epoch=asking.epoch, partition=77, offset=0),
        "other topic": RawPosition(epoch=new_uuid7(), partition=0, offset=0),
    }
    details = [*(position_text(one) for one in hostile.values()), "no place"]
    for detail in details:
        asking.ask(connector, SUBSCRIPTION_PENDING, detail)
    for url in ("https://evil.example/a.pem", f"http://{HOST}/a.pem", f"https://{HOST}.evil.example/a.pem", "x" * 600):
        asking.ask(connector, CERTIFICATE_MISSING, url)
    sync = site.start(SYNC, **stand_ins(site))
    job = site.until_at(connector, "stopped", "refused")
    assert job["action"] in ("request_confirmation", "fix_config")
    site.until(lambda: errands(site) == [], "nothing is left")
    assert site.played.simulator["sns"].calls == []
    told = [json.loads(line) for line in sync.log.read_text().splitlines() if '"errand"' in line]
    results = {one["detail"]: one["result"] for one in told}
    assert set(results.values()) == {"subscribe_url", "record_gone", "certificate_url"}
    assert len(results) == len(details) + 3
    good = asking.record(connector, confirmation(played))
    asking.ask(connector, SUBSCRIPTION_PENDING, position_text(good))  # what was refused does not hold up what comes
    site.until(lambda: confirmed(site), "the good one")
    site.until_at(connector, "idle", "synced")


def test_a_refused_token_is_dropped_and_a_person_is_told_what_to_do(topics: Site) -> None:
    site = topics
    connector, _, played = ses(site)
    asking = Asking(site)
    position = asking.record(connector, confirmation(played))
    site.played.on_loop(lambda: played.about.update(token="another"))
    asking.ask(connector, SUBSCRIPTION_PENDING, position_text(position))
    site.start(SYNC, **stand_ins(site))
    job = site.until_at(connector, "stopped", "refused")
    assert (job["cause"], job["action"]) == ("confirmation_refused", "request_confirmation")
    assert errands(site) == []
    assert asked(site, "ConfirmSubscription") == 1
    assert [(action, after["cause"]) for action, after in site.audit(connector)] == [("sync.failed", "confirmation_refused")]


def test_a_connector_that_listens_to_sns_no_more_confirms_nothing(topics: Site) -> None:
    site = topics
    connector, _, played = ses(site)
    asking = Asking(site)
    position = asking.record(connector, confirmation(played))
    management = site.management
    config = {"dialect": "mailgun"}
    management.run(lambda session: update_connector(session, management.vault, connector, {"config": config}, actor=ACTOR))
    asking.ask(connector, SUBSCRIPTION_PENDING, position_text(position))
    site.start(SYNC, **stand_ins(site))
    job = site.until_at(connector, "stopped", "refused")
    assert (job["cause"], job["action"]) == ("dialect", "fix_config")
    assert site.played.simulator["sns"].calls == []


@pytest.mark.req(70)
def test_a_certificate_that_is_not_there_is_not_looked_for_for_ever(topics: Site) -> None:
    site = topics
    connector, _, played = ses(site)
    asking = Asking(site)
    sns = site.played.simulator["sns"]
    site.played.on_loop(lambda: sns.faults.add(operation="certificate", code="404", times=-1))
    asking.ask(connector, CERTIFICATE_MISSING, f"https://{HOST}/named-by-a-stranger.pem")
    site.start(SYNC, **stand_ins(site))
    job = site.until_at(connector, "stopped", "refused")
    assert (job["cause"], errands(site), asked(site, "certificate")) == ("certificate_gone", [], 1)
    position = asking.record(connector, confirmation(played))
    asking.ask(connector, SUBSCRIPTION_PENDING, position_text(position))
    site.until(lambda: confirmed(site), "what comes then is done")
    site.until_at(connector, "idle", "synced")
