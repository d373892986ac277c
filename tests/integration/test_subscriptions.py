"""Subscriptions of SNS topics: confirmed out of the sealed record, for allowed topics and on their host alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from services.cli import subscriptions
from shared.adapters.avro import Codec
from shared.adapters.certificate_source import CertificateSource
from shared.adapters.clock import SystemClock, new_uuid7
from shared.adapters.kafka import client_config, full_name
from shared.adapters.raw_body import body_aad
from shared.adapters.topics import apply_topics
from shared.domain.enums import ConnectorType, KeyPurpose, RecordSource
from shared.domain.errors import Conflict, InvalidInput, Unavailable
from shared.domain.records import WebhookReceived
from shared.domain.topics import Topic
from shared.management.subscriptions import confirm_subscription, waiting_confirmations
from tests.certificate_authority import HOST, TOPIC, Authority, https_server
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, Management, management_of

TOKEN = "2336412f37fb687f5d51e6e2425e8a2b"
TARGET = "/?" + urlencode({"Action": "ConfirmSubscription", "TopicArn": TOPIC, "Token": TOKEN})
URL = f"https://{HOST}{TARGET}"
NOBODY = CertificateSource(dial=("127.0.0.1", 1))


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "management-keys") as management:
        yield management


def connector_of(management: Management, **config: object) -> str:
    settings = {"dialect": "ses", "topic_arns": [TOPIC], **config}
    return management.connector(tipo=ConnectorType.EMAIL, nome="SES", config=settings)


def confirmation(url: str = URL, topic: str = TOPIC) -> bytes:
    return json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": topic, "SubscribeURL": url, "Token": TOKEN}).encode()


@pytest.mark.req(13)
@pytest.mark.parametrize(
    "url",
    [
        URL.replace("https:", "http:"),
        URL.replace(HOST, "sns.us-east-1.amazonaws.com"),
        URL.replace(HOST, f"{HOST}.evil.example"),
        URL.replace(HOST, f"{HOST}@evil.example"),
        URL.replace(HOST, f"{HOST}:8443"),
        URL.replace("/?", "/x?"),
        URL.replace("ConfirmSubscription", "Unsubscribe"),
        URL.replace("mail-in", "somebody-else"),
        f"{URL}&Action=Unsubscribe",
        f"{URL}#x",
        URL.replace(TOKEN, "a%0d%0aHost:%20evil.example"),
        URL.replace("&Token", "&token"),
        f"https://127.0.0.1{TARGET}",
    ],
)
def test_no_other_call_is_made(management: Management, url: str) -> None:
    connector = connector_of(management)
    with pytest.raises(InvalidInput) as refused:
        management.run(lambda session: confirm_subscription(session, connector, url, NOBODY, actor=ACTOR))
    assert refused.value.reason == "subscribe_url"


@pytest.mark.req(13)
def test_only_connectors_of_that_dialect_confirm_and_a_refusal_is_told_without_the_token(management: Management) -> None:
    other = management.connector()
    with pytest.raises(Conflict):
        management.run(lambda session: confirm_subscription(session, other, URL, NOBODY, actor=ACTOR))
    connector = connector_of(management)
    with pytest.raises(Unavailable) as away:
        management.run(lambda session: confirm_subscription(session, connector, URL, NOBODY, actor=ACTOR))
    assert TOKEN not in str(away.value)
    assert management.read("SELECT 1 FROM audit_log WHERE action = 'subscription.confirmed'") == []


def test_the_newest_request_of_each_allowed_topic_waits_until_it_has_come_through() -> None:
    newer = URL.replace(TOKEN, TOKEN[::-1])
    assert waiting_confirmations([b"no json", b"[]", confirmation(), confirmation(newer)], [TOPIC]) == {TOPIC: newer}
    assert waiting_confirmations([confirmation(topic=f"{TOPIC}-other")], [TOPIC]) == {}
    through = json.dumps({"Type": "Notification", "TopicArn": TOPIC}).encode()
    assert waiting_confirmations([confirmation(), through], [TOPIC]) == {}
    assert waiting_confirmations([through, confirmation()], [TOPIC]) == {TOPIC: URL}


@pytest.mark.req(13)
def test_the_command_confirms_what_lies_sealed_in_the_topic(
    management: Management,
    database: DatabaseUnderTest,
    kafka_bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=(Topic.WEBHOOK_RECEIVED,))
    connector, authority = connector_of(management), Authority()
    monkeypatch.setenv("CHANNELS_DATABASE_API_URL", database.api_url)
    monkeypatch.setenv("CHANNELS_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("CHANNELS_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("CHANNELS_KEYS_DIR", str(tmp_path / "management-keys"))
    monkeypatch.setenv("CHANNELS_OBJECT_STORE_URL", tmp_path.as_uri())
    arguments = ["confirm", "--connector", connector]
    assert CliRunner().invoke(subscriptions.subscriptions, arguments).output == "none waits\n"
    _write(management, connector, kafka_bootstrap, topic_prefix)
    with https_server(authority, tmp_path, {TARGET: (200, b"<ConfirmSubscriptionResponse/>")}) as port:
        source = CertificateSource(tls=authority.trust, dial=("127.0.0.1", port))
        monkeypatch.setattr(subscriptions, "CertificateSource", lambda: source)
        told = CliRunner().invoke(subscriptions.subscriptions, arguments)
    assert (told.exit_code, told.output) == (0, f"confirmed {TOPIC}\n")
    logged = management.read("SELECT action, after::text FROM audit_log WHERE action = 'subscription.confirmed'")
    assert len(logged) == 1
    assert TOPIC in logged[0][1]
    assert TOKEN not in logged[0][1]


def _write(management: Management, connector: str, bootstrap: str, prefix: str) -> None:
    record_id = new_uuid7()
    ring = management.vault.ring(KeyPurpose.INGEST, management.tenant, management.keys(KeyPurpose.INGEST))
    body = confirmation()
    record = WebhookReceived(
        record_id=record_id,
        source=RecordSource.WEBHOOK,
        tenant_id=management.tenant,
        connector_id=connector,
        url_account_id=None,
        received_at_ms=SystemClock().now_ms(),
        headers={"x-amz-sns-message-type": "SubscriptionConfirmation"},
        secret_id=None,
        body_size_bytes=len(body),
        sealed_body=ring.seal_bytes(body, body_aad(management.tenant, record_id)),
        body_reference=None,
    )
    producer = Producer(client_config(bootstrap, "test"))
    value = Codec().encode(Topic.WEBHOOK_RECEIVED, record)
    producer.produce(full_name(prefix, Topic.WEBHOOK_RECEIVED), key=connector.encode(), value=value)
    assert producer.flush(10) == 0
