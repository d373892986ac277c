"""The certificate of an SNS topic: asked for by the edge, fetched by the use case, carried to the edge by the snapshot."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from shared.adapters.certificate_source import MAX_BYTES, CertificateSource
from shared.adapters.configuration_rows import read_configuration
from shared.adapters.kafka import client_config, full_name
from shared.adapters.topics import apply_topics
from shared.domain.enums import ConnectorType, SecretUse
from shared.domain.errors import Conflict, InvalidInput, NotFound, Unavailable
from shared.domain.topics import Topic
from shared.management.certificates import MAX_CERTIFICATES, Fetched, certificates_of, fetch_certificate
from shared.providers.contract import ReceivingSecret
from tests.certificate_authority import HOST, TOPIC, URL, Authority, SnsSigner, https_server, pem_of, sns_source
from tests.database_fixtures import DatabaseUnderTest
from tests.edge import Edge, Reply
from tests.integration.management import ACTOR, Management, management_of
from tests.socket_spy import spying
from tests.waiting import eventually

CONFIG = {"dialect": "ses", "topic_arns": [TOPIC]}
PATH = URL.removeprefix(f"https://{HOST}")
CREDENTIAL = b"channels:a secret of the tests"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def signer(authority: Authority) -> SnsSigner:
    return SnsSigner(authority)


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "management-keys") as management:
        yield management


def fetched(management: Management, connector: str, source: CertificateSource, url: str = URL) -> Fetched:
    return management.run(lambda session: fetch_certificate(session, connector, url, source, now=datetime.now(UTC), actor=ACTOR))


def connector_of(management: Management, **config: object) -> str:
    return management.connector(tipo=ConnectorType.EMAIL, nome="SES", config={**CONFIG, **config})


def command(database: DatabaseUnderTest, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "certificates", *arguments],
        env=os.environ | {"CHANNELS_DATABASE_API_URL": database.api_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_certificate_is_fetched_stored_announced_and_kept(
    management: Management, database: DatabaseUnderTest, authority: Authority, signer: SnsSigner, tmp_path: Path
) -> None:
    connector, pem = connector_of(management), signer.pem()
    before = management.version(connector)
    with https_server(authority, tmp_path, {PATH: (200, pem.encode())}) as port, sns_source(authority.trust, port) as source:
        first, second = fetched(management, connector, source), fetched(management, connector, source)
    assert (first.changed, second.changed, first.chain_verified) == (True, False, True)
    assert management.version(connector) == before + 1
    assert [action for action, *_ in management.read("SELECT action FROM audit_log WHERE action LIKE 'certificate%'")] == [
        "certificate.fetched"
    ]
    with management.work() as session:
        row = read_configuration(session.connection(), [connector], []).connectors[connector]
    assert [(certificate.url, certificate.pem) for certificate in row.certificates] == [(URL, pem)]
    told = command(database, "list", "--connector", connector)
    assert (told.returncode, URL in told.stdout) == (0, True)
    refused = command(database, "fetch", "--connector", connector, "--url", "https://evil.example/a.pem")
    assert refused.returncode == 1
    assert refused.stderr.startswith("channels: url must be a .pem on the SNS host")
    nobody = command(database, "list", "--connector", "00000000-0000-7000-8000-000000000000")
    assert (nobody.returncode, "does not exist" in nobody.stderr) == (1, True)


def test_a_new_one_at_the_same_address_replaces_the_old_and_the_oldest_make_room(
    management: Management, authority: Authority, signer: SnsSigner, tmp_path: Path
) -> None:
    connector = connector_of(management)
    answers = {PATH: (200, signer.pem().encode())}
    with https_server(authority, tmp_path, answers) as port, sns_source(authority.trust, port) as source:
        fetched(management, connector, source)
        answers[PATH] = (200, signer.pem().encode())
        assert fetched(management, connector, source).changed
        assert len(management.run(lambda session: certificates_of(session, connector))) == 1
        for number in range(MAX_CERTIFICATES + 3):
            answers[f"/{number}.pem"] = (200, signer.pem().encode())
            fetched(management, connector, source, f"https://{HOST}/{number}.pem")
    assert len(management.run(lambda session: certificates_of(session, connector))) == MAX_CERTIFICATES


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.sa-east-1.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.sa-east-1.amazonaws.com.evil.example/a.pem",
        "https://sns.sa-east-1.amazonaws.com@evil.example/a.pem",
        "https://sns.sa-east-1.amazonaws.com:8443/a.pem",
        "https://evil.example/sns.sa-east-1.amazonaws.com/a.pem",
        "https://sns.sa-east-1.amazonaws.com/a.pem?x=y.pem",
        "https://sns.sa-east-1.amazonaws.com/../a.pem",
        "https://sns.sa-east-1.amazonaws.com/a.txt",
        "https://127.0.0.1/a.pem",
    ],
)
def test_no_other_address_is_asked(management: Management, url: str) -> None:
    connector = connector_of(management)
    with sns_source(ssl.create_default_context(), 1) as source, spying() as spy, pytest.raises(InvalidInput) as refused:
        management.run(lambda session: fetch_certificate(session, connector, url, source, now=datetime.now(UTC), actor=ACTOR))
    assert spy.looked_up == []
    assert refused.value.reason == "certificate_url"


def test_what_is_no_valid_certificate_of_sns_is_not_kept(
    management: Management, authority: Authority, signer: SnsSigner, tmp_path: Path
) -> None:
    connector = connector_of(management)
    stranger = Authority()
    bad = {
        "page": b"<html>",
        "old": signer.pem(days=(-30, -1)).encode(),
        "early": signer.pem(days=(1, 30)).encode(),
        "other": signer.pem("evil.example").encode(),
        "like": signer.pem("sns.amazonaws.com.evil.example").encode(),
        "chain": (signer.pem() + SnsSigner(stranger).pem()).encode(),
        "untrusted": (SnsSigner(stranger).pem() + pem_of(stranger.certificate)).encode(),
    }
    answers = {f"/{name}.pem": (200, body) for name, body in bad.items()}
    with https_server(authority, tmp_path, answers) as port, sns_source(authority.trust, port) as source:
        for name in bad:
            with pytest.raises(InvalidInput) as refused:
                fetched(management, connector, source, f"https://{HOST}/{name}.pem")
            assert refused.value.reason == "certificate_invalid", name
    assert management.run(lambda session: certificates_of(session, connector)) == []


def test_redirects_faults_sizes_and_strangers_are_unavailable(
    management: Management, authority: Authority, signer: SnsSigner, tmp_path: Path
) -> None:
    connector = connector_of(management)
    answers = {
        "/moved.pem": (302, URL.encode()),
        "/gone.pem": (404, b""),
        "/huge.pem": (200, b"x" * (MAX_BYTES + 1)),
    }
    with https_server(authority, tmp_path, answers) as port:
        with sns_source(authority.trust, port) as source:
            for path in answers:
                with pytest.raises(Conflict if path == "/gone.pem" else Unavailable):
                    fetched(management, connector, source, f"https://{HOST}{path}")
        with sns_source(ssl.create_default_context(), port) as source, pytest.raises(Unavailable, match="certificate_refused"):
            fetched(management, connector, source)  # the system's authorities do not know this one
    with (
        https_server(authority, tmp_path, {PATH: (200, signer.pem().encode())}, "evil.example") as port,
        sns_source(authority.trust, port) as source,
        pytest.raises(Unavailable, match="certificate_refused"),
    ):
        fetched(management, connector, source)
    with sns_source(authority.trust, 1) as source, pytest.raises(Unavailable):
        fetched(management, connector, source)


def test_only_connectors_of_that_dialect_have_any(management: Management) -> None:
    with sns_source(ssl.create_default_context(), 1) as source:
        with pytest.raises(Conflict):
            fetched(management, management.connector(), source)
        with pytest.raises(NotFound):
            fetched(management, "00000000-0000-7000-8000-000000000000", source)


def post(edge: Edge, body: bytes, *, credential: bytes | None = CREDENTIAL) -> Reply:
    headers = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}
    if credential is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(credential).decode()}"
    return edge.call("POST", edge.url(), body, headers)


def asked(edge: Edge) -> list[tuple[str, str]]:
    """Cause and detail of everything on `channel.account.sync_required`."""
    consumer = Consumer({**client_config(edge.bootstrap, "test"), "group.id": "none", "enable.auto.commit": False})
    place = TopicPartition(full_name(edge.prefix, Topic.SYNC_REQUIRED), 0, 0)
    try:
        end = consumer.get_watermark_offsets(place, timeout=10)[1]
        consumer.assign([place])
        found = []
        while len(found) < end:
            message = consumer.poll(10)
            assert message is not None
            event = edge.codec.decode(Topic.SYNC_REQUIRED, message.value() or b"")
            found.append((event.cause, event.detail))
        return found
    finally:
        consumer.close()


def test_the_whole_loop_503_then_fetched_then_200(
    management: Management,
    kafka_bootstrap: str,
    topic_prefix: str,
    authority: Authority,
    signer: SnsSigner,
    tmp_path: Path,
) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=(Topic.SYNC_REQUIRED,))
    connector = connector_of(management)
    edge = Edge.create(kafka_bootstrap, topic_prefix, tmp_path)
    secret = ReceivingSecret(id="", use=SecretUse.SIGN, value=CREDENTIAL)
    config = json.dumps(CONFIG)
    snapshot = edge.connector(tipo=ConnectorType.EMAIL, config=config, webhooks=(edge.webhook((secret,)),), version=2)
    edge.publish(snapshot)
    try:
        edge.start()
        body = signer.notification({"eventType": "Send", "mail": {"messageId": "x1"}, "send": {}}, "m-1")
        eventually(lambda: post(edge, body, credential=None).status == 401)
        assert post(edge, body, credential=None).headers["www-authenticate"].startswith("Basic ")
        for _ in range(5):
            reply = post(edge, body)
            assert (reply.status, reply.body) == (503, b"certificate_missing\n")
        foreign = body.replace(HOST.encode(), b"sns.sa-east-1.amazonaws.com.evil.example")
        assert post(edge, foreign).status == 401
        assert edge.end_offset() == 0
        eventually(lambda: asked(edge) == [("certificate_missing", URL)])

        answers = {PATH: (200, signer.pem().encode())}
        with https_server(authority, tmp_path, answers) as port, sns_source(authority.trust, port) as source:
            fetched(management, connector, source, asked(edge)[0][1])
        with management.work() as session:
            rows = read_configuration(session.connection(), [connector], [])
        certificates = rows.connectors[connector].certificates
        edge.publish(edge.connector(**{**_fields(snapshot), "certificates": certificates, "version": 3}))

        eventually(lambda: post(edge, body).status == 200)
        altered = body.replace(b"m-1", b"m-2")
        assert post(edge, altered).status == 401
        assert post(edge, signer.notification({"eventType": "Send"}, "m-3", version="1")).status == 200
        assert {stored.body for stored in edge.stored()} >= {body}
        assert all(stored.record.secret_id is not None for stored in edge.stored())
    finally:
        edge.stop()


def _fields(snapshot: object) -> dict[str, object]:
    names = ("tipo", "config", "webhooks")
    return {name: getattr(snapshot, name) for name in names}
