"""Subscriptions of SNS topics: confirmed out of the sealed record, for allowed topics and on their host alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from click.testing import CliRunner
from confluent_kafka import Producer

from services.cli import subscriptions
from shared.adapters.avro import Codec
from shared.adapters.certificate_source import CertificateSource
from shared.adapters.clock import SystemClock, new_uuid7
from shared.adapters.http_retries import ONCE, Effort
from shared.adapters.kafka import client_config, full_name
from shared.adapters.raw_body import body_aad
from shared.adapters.topics import apply_topics
from shared.domain.enums import ConnectorType, KeyPurpose, RecordSource
from shared.domain.errors import Conflict, InvalidInput, Unavailable
from shared.domain.records import WebhookReceived
from shared.domain.topics import Topic
from shared.management.subscriptions import call_confirmation, note_confirmed, requested_confirmation, waiting_records
from shared.providers.email.subscription import confirmation_in, confirmation_of
from tests.certificate_authority import HOST, TOPIC, Authority, https_server, sns_source
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, Management, management_of
from tests.socket_spy import spying

TOKEN = "2336412f37fb687f5d51e6e2425e8a2b"
TARGET = "/?" + urlencode({"Action": "ConfirmSubscription", "TopicArn": TOPIC, "Token": TOKEN})
URL = f"https://{HOST}{TARGET}"
RECORD = "01990000-0000-7000-8000-0000000000aa"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "management-keys") as management:
        yield management


def connector_of(management: Management, **config: object) -> str:
    settings = {"dialect": "ses", "topic_arns": [TOPIC], **config}
    return management.connector(tipo=ConnectorType.EMAIL, nome="SES", config=settings)


def confirmation(url: object = URL, topic: str = TOPIC, token: object = TOKEN) -> bytes:
    return json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": topic, "SubscribeURL": url, "Token": token}).encode()


@dataclass
class Sns:
    """Plays SNS's host: `answers` by path, `asked`: the paths that came."""

    source: CertificateSource
    answers: Asked
    asked: list[str] = field(default_factory=list)


@contextmanager
def sns(authority: Authority, directory: Path, status: int = 200, effort: Effort = ONCE, body: bytes = b"<ok/>") -> Iterator[Sns]:
    answers = Asked({TARGET: (status, body)})
    with https_server(authority, directory, answers) as port, sns_source(authority.trust, port, effort=effort) as source:
        yield Sns(source, answers, answers.asked)


class Asked(dict[str, tuple[int, bytes]]):
    """Answers that remember what was looked for; after the first, those of `then`."""

    def __init__(self, answers: dict[str, tuple[int, bytes]]) -> None:
        super().__init__(answers)
        self.asked: list[str] = []
        self.then: dict[str, tuple[int, bytes]] = {}

    def get(self, path: str, default: Any = None) -> Any:
        self.asked.append(path)
        found = super().get(path, default)
        self.update(self.then)
        return found


def confirmed(management: Management, connector: str, body: bytes, source: CertificateSource, record: str = RECORD) -> bool:
    """All that follows from one record; whether a call was made."""
    with management.work() as session:
        found = requested_confirmation(session, connector, record, body)
    if found is None:
        return False
    call_confirmation(source, found)
    management.run(lambda session: note_confirmed(session, connector, record, found.topic, actor=ACTOR))
    return True


OTHER = "arn:aws:sns:sa-east-1:000000000001:somebody-else"
HOSTILE: dict[str, object] = {
    "plain": URL.replace("https:", "http:"),
    "file": f"file://{HOST}{TARGET}",
    "scheme-relative": f"//{HOST}{TARGET}",
    "no-scheme": f"{HOST}{TARGET}",
    "upper-scheme-and-host": URL.replace(HOST, HOST.upper()),
    "other-region": URL.replace(HOST, "sns.us-east-1.amazonaws.com"),
    "no-region": URL.replace(HOST, "sns.amazonaws.com"),
    "other-service": URL.replace(HOST, "sqs.sa-east-1.amazonaws.com"),
    "below": URL.replace(HOST, f"x.{HOST}"),
    "china-of-aws": URL.replace(HOST, f"{HOST}.cn"),
    "longer": URL.replace(HOST, f"{HOST}.evil.example"),
    "like": URL.replace(HOST, "sns-sa-east-1-amazonaws.com"),
    "dot-replaced": URL.replace(HOST, "sns.sa-east-1xamazonaws.com"),
    "user": URL.replace(HOST, f"{HOST}@evil.example"),
    "user-of-ours": URL.replace(HOST, f"evil.example@{HOST}"),
    "password": URL.replace(HOST, f"a:b@{HOST}"),
    "port": URL.replace(HOST, f"{HOST}:8443"),
    "usual-port": URL.replace(HOST, f"{HOST}:443"),
    "empty-port": URL.replace(HOST, f"{HOST}:"),
    "trailing-dot": URL.replace(HOST, f"{HOST}."),
    "loopback": f"https://127.0.0.1{TARGET}",
    "loopback-v6": f"https://[::1]{TARGET}",
    "half-a-bracket": f"https://[::1{TARGET}",
    "decimal": f"https://2130706433{TARGET}",
    "metadata": f"https://169.254.169.254{TARGET}",
    "localhost": f"https://localhost{TARGET}",
    "backslash": URL.replace(HOST, f"evil.example\\@{HOST}"),
    "backslash-path": URL.replace(f"{HOST}/", f"{HOST}\\"),
    "encoded-host": URL.replace(HOST, "sns%2esa-east-1%2eamazonaws%2ecom"),
    "unicode-dot": URL.replace(HOST, HOST.replace(".", "\u3002")),
    "cyrillic": URL.replace("sns.", "\u0455n\u0455."),
    "line-end": URL.replace(HOST, f"{HOST}\r\nHost: evil.example"),
    "tab": URL.replace("https://", "ht\ttps://"),
    "leading-space": f" {URL}",
    "trailing-line-end": f"{URL}\n",
    "nul": URL.replace(HOST, f"{HOST}\x00.evil.example"),
    "path": URL.replace("/?", "/x?"),
    "path-up": URL.replace("/?", "/../?"),
    "double-slash": URL.replace("/?", "//?"),
    "path-parameter": URL.replace("/?", "/;x?"),
    "fragment": f"{URL}#x",
    "other-action": URL.replace("ConfirmSubscription", "Unsubscribe"),
    "second-action": f"{URL}&Action=Unsubscribe",
    "more": f"{URL}&Endpoint=https://evil.example",
    "no-token": URL.replace(f"&Token={TOKEN}", ""),
    "token-of-another": URL.replace(TOKEN, TOKEN[::-1]),
    "token-with-line-end": URL.replace(TOKEN, "a%0d%0aHost:%20evil.example"),
    "lower-case-name": URL.replace("&Token", "&token"),
    "topic-of-another": URL.replace("mail-in", "somebody-else"),
    "topic-of-another-account": URL.replace("000000000001", "000000000002"),
    "topic-of-another-region": URL.replace("sns%3Asa-east-1", "sns%3Aus-east-1"),
    "no-topic": URL.replace("TopicArn", "Topic"),
    "redirector": f"https://{HOST}/?" + urlencode({"url": f"https://evil.example{TARGET}"}),
    "long": URL + "&x=" + "a" * 4_000,
    "empty": "",
    "null": None,
    "number": 7,
    "list": [URL],
}


def test_no_hostile_address_opens_a_socket_and_the_right_one_does(
    management: Management, authority: Authority, tmp_path: Path
) -> None:
    connector = connector_of(management)
    assert len(HOSTILE) >= 30
    with sns(authority, tmp_path) as played:
        with management.work() as session:  # the connection to the database is there
            requested_confirmation(session, connector, RECORD, b"{}")
            with spying() as spy:
                for name, url in HOSTILE.items():
                    with pytest.raises(InvalidInput) as refused:
                        requested_confirmation(session, connector, RECORD, confirmation(url))
                    assert refused.value.reason == "subscribe_url", name
                    assert TOKEN not in str(refused.value)
        assert spy.quiet, (spy.connected, spy.looked_up)
        assert played.asked == []
        with spying() as spy:  # the control: what the spy would have seen
            assert confirmed(management, connector, confirmation(), played.source)
        assert spy.made > 0
        assert played.asked == [TARGET]


def test_what_is_called_is_made_of_the_parts_that_were_checked() -> None:
    shuffled = f"https://{HOST}/?Token={TOKEN}&TopicArn={TOPIC}&Action=ConfirmSubscription"
    found = confirmation_in(shuffled)
    assert found is not None
    assert found == confirmation_in(URL)
    assert TOKEN not in repr(found)
    assert TOKEN not in repr(found.call())
    china = "arn:aws-cn:sns:cn-north-1:000000000001:mail-in"
    query = urlencode({"Action": "ConfirmSubscription", "TopicArn": china, "Token": TOKEN})
    abroad = confirmation_in(f"https://sns.cn-north-1.amazonaws.com.cn/?{query}")
    assert abroad is not None
    assert abroad.call().url.startswith("https://sns.cn-north-1.amazonaws.com.cn/?")


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"{}", b'{"Type":"Notification"}', b'{"Type":7}', b"[" * 10_000])
def test_what_asks_for_nothing_is_nothing(management: Management, body: bytes) -> None:
    assert confirmation_of(body) is None
    connector = connector_of(management)
    with management.work() as session:
        assert requested_confirmation(session, connector, RECORD, body) is None


@pytest.mark.req(2)
def test_one_request_leads_to_one_call_and_its_token_is_kept_nowhere(
    management: Management, authority: Authority, tmp_path: Path
) -> None:
    connector = connector_of(management)
    with structlog.testing.capture_logs() as logs, sns(authority, tmp_path) as played:
        assert confirmed(management, connector, confirmation(), played.source)
        assert not confirmed(management, connector, confirmation(), played.source)
        assert played.asked == [TARGET]
        assert confirmed(
            management, connector, confirmation(), played.source, "01990000-0000-7000-8000-0000000000bb"
        )  # asked anew
    assert len(played.asked) == 2
    assert [(line["event"], line["host"], line["outcome"]) for line in logs] == [("http_call", HOST, "answered_2xx")] * 2
    assert TOKEN not in str(logs)
    dump = management.read("SELECT t::text FROM audit_log t UNION ALL SELECT o::text FROM outbox o")
    assert TOKEN not in str(dump)
    noted = management.read("SELECT after FROM audit_log WHERE action = 'subscription.confirmed' ORDER BY id")
    assert noted[0][0] == {"topic": TOPIC, "record_id": RECORD}


@pytest.mark.parametrize(
    ("status", "raised", "reason"),
    [
        *((code, Unavailable, None) for code in (408, 429, 500, 502, 503, 504)),
        *((code, Conflict, "confirmation_refused") for code in (204, 301, 302, 307, 400, 403, 404)),
    ],
)
def test_what_may_pass_is_tried_again_and_a_refusal_is_not(
    management: Management, authority: Authority, tmp_path: Path, status: int, raised: type[Exception], reason: str | None
) -> None:
    connector, effort = connector_of(management), Effort(attempts=3, seconds=20.0, first_pause_seconds=0.01)
    body = f"https://evil.example{TARGET}".encode() if status in (301, 302) else b""
    with sns(authority, tmp_path, status, effort, body) as played, pytest.raises(raised) as refused:
        confirmed(management, connector, confirmation(), played.source)
    assert getattr(refused.value, "reason", None) == reason
    assert played.asked == [TARGET] * (1 if raised is Conflict else 3)  # no redirect was followed
    assert TOKEN not in str(refused.value)
    assert management.read("SELECT 1 FROM audit_log WHERE action = 'subscription.confirmed'") == []


def test_a_fault_that_passes_is_got_over_within_the_effort(management: Management, authority: Authority, tmp_path: Path) -> None:
    connector, effort = connector_of(management), Effort(attempts=3, seconds=20.0, first_pause_seconds=0.01)
    with sns(authority, tmp_path, 503, effort) as played:
        played.answers.then = {TARGET: (200, b"")}
        assert confirmed(management, connector, confirmation(), played.source)
    assert len(played.asked) == 2


def test_a_host_whose_certificate_is_anothers_hears_nothing(management: Management, authority: Authority, tmp_path: Path) -> None:
    connector = connector_of(management)
    answers = Asked({TARGET: (200, b"")})
    with (
        https_server(authority, tmp_path, answers, "evil.example") as port,
        sns_source(authority.trust, port) as source,
        pytest.raises(Unavailable, match="certificate_refused"),
    ):
        confirmed(management, connector, confirmation(), source)
    assert answers.asked == []


def test_only_connectors_of_that_dialect_confirm_and_only_topics_that_they_allow_now(management: Management) -> None:
    other = management.connector()
    elsewhere = connector_of(management, topic_arns=[OTHER])
    with management.work() as session:
        with pytest.raises(Conflict):
            requested_confirmation(session, other, RECORD, confirmation())
        with pytest.raises(InvalidInput):
            requested_confirmation(session, elsewhere, RECORD, confirmation())


def test_the_newest_request_of_each_allowed_topic_waits_until_it_has_come_through() -> None:
    through = json.dumps({"Type": "Notification", "TopicArn": TOPIC}).encode()
    asked, again = ("a", confirmation()), ("b", confirmation())
    assert waiting_records([("x", b"no json"), ("y", b"[]"), asked, again], [TOPIC]) == {TOPIC: "b"}
    assert waiting_records([("a", confirmation(topic=OTHER))], [TOPIC]) == {}
    assert waiting_records([asked, ("t", through)], [TOPIC]) == {}
    assert waiting_records([("t", through), asked], [TOPIC]) == {TOPIC: "a"}


def test_the_command_confirms_what_lies_sealed_in_the_topic(
    management: Management,
    database: DatabaseUnderTest,
    kafka_bootstrap: str,
    topic_prefix: str,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=(Topic.WEBHOOK_RECEIVED,))
    connector = connector_of(management)
    monkeypatch.setenv("CHANNELS_DATABASE_API_URL", database.api_url)
    monkeypatch.setenv("CHANNELS_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("CHANNELS_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("CHANNELS_KEYS_DIR", str(tmp_path / "management-keys"))
    monkeypatch.setenv("CHANNELS_OBJECT_STORE_URL", tmp_path.as_uri())
    arguments = ["confirm", "--connector", connector]
    assert CliRunner().invoke(subscriptions.subscriptions, arguments).output == "none waits\n"
    _write(management, connector, kafka_bootstrap, topic_prefix)
    with sns(authority, tmp_path) as played:

        @contextmanager
        def asking() -> Iterator[CertificateSource]:
            yield played.source

        monkeypatch.setattr(subscriptions, "asking_sns", asking)
        told = CliRunner().invoke(subscriptions.subscriptions, arguments)
        again = CliRunner().invoke(subscriptions.subscriptions, arguments)
    assert (told.exit_code, told.output.splitlines()[-1]) == (0, f"confirmed {TOPIC}")
    assert TOKEN not in told.output
    assert (again.exit_code, again.output, len(played.asked)) == (0, "none waits\n", 1)
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
