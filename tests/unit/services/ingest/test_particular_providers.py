"""What the edge does only for providers that ask for it: settings, rates, headers on every answer, dialects, OPTIONS."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from services.ingest.answers import Answer, render
from services.ingest.exchange import Exchange, Limits
from services.ingest.protocol import Connection
from services.ingest.server import Server
from shared.adapters.receiving_secrets import seal_segredo
from shared.domain.enums import ConnectorType, SecretUse, WebhookEvent, WebhookStatus
from shared.domain.snapshots import Certificate, WebhookSnapshot
from shared.providers.contract import ReceivingSecret
from shared.providers.webchat import samples
from tests.on_loop import on_loop
from tests.unit.services.ingest.test_app import CONNECTOR_ID, NOW_MS, TENANT, Scene
from tests.unit.services.ingest.wire import FakeTransport

KEY = b"example-session-key-of-forty-bytes-00001"
SETTINGS = {"dialect": "browser", "widget_ids": [samples.WIDGET_ID], "origins": [samples.ORIGIN]}
BODY = samples.encode(samples.text_message(message_id="m-1"))
ALLOWED = ("Access-Control-Allow-Origin", samples.ORIGIN)


class Webchat(Scene):
    """An edge with one webchat."""

    def __init__(self, directory: Path, **changed: object) -> None:
        super().__init__(directory)
        sealed = seal_segredo(self.ring, TENANT, "w0", (ReceivingSecret(id="", use=SecretUse.SIGN, value=KEY),))
        webhook = WebhookSnapshot(webhook_id="w0", evento=WebhookEvent.MESSAGE_IN, status=WebhookStatus.ACTIVE, segredo=sealed)
        known = self.memory.snapshots[CONNECTOR_ID]
        config = json.dumps({**SETTINGS, **changed})
        self.memory.snapshots[CONNECTOR_ID] = dataclasses.replace(
            known, tipo=ConnectorType.WEBCHAT, config=config, webhooks=(webhook,)
        )

    def post(
        self,
        session: str = samples.SESSION_ID,
        origin: str = samples.ORIGIN,
        body: bytes = BODY,
        issued_at: int = NOW_MS // 1000 - 60,
    ) -> Exchange:
        said = samples.claims(session_id=session, issued_at=issued_at)
        headers = {"authorization": f"Bearer {samples.session_token(said, KEY)}".encode(), "origin": origin.encode()}
        return self.send(body, headers=headers)

    def settle_all(self) -> None:
        for report in self.memory.reports:
            report(None)
        self.memory.reports.clear()


@on_loop
@pytest.mark.req(90)
async def test_a_session_is_proven_with_settings_and_clock_and_the_page_may_read_the_answer(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    await scene.warm()
    exchange = scene.post()
    scene.settle_all()
    answer = scene.answers[exchange]
    assert answer.status == 200
    assert ALLOWED in answer.headers
    rendered = render(answer, connection="", without_body=False, date=b"x")
    assert f"\r\n{ALLOWED[0]}: {ALLOWED[1]}\r\n".encode() in rendered
    record = scene.memory.records[0][2]
    assert record.headers == {"content-type": "application/json", "origin": samples.ORIGIN}


@on_loop
async def test_a_refusal_may_be_read_as_well_but_not_by_other_pages(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    await scene.warm()
    refused = scene.answers[scene.post(session="ses_2")]
    assert (refused.status, refused.reason) == (401, "body_of_another_session")
    assert ALLOWED in refused.headers
    stranger = scene.answers[scene.post(origin="https://evil.example")]
    assert (stranger.status, stranger.headers) == (401, (("Vary", "Origin"),))
    too_large = scene.answers[scene.post(body=b"x" * 70_000)]
    assert too_large.status == 413
    assert ALLOWED in too_large.headers
    assert scene.memory.records == []


@on_loop
async def test_a_preflight_is_answered_and_a_get_is_not(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    await scene.warm()
    headers = {"origin": samples.ORIGIN.encode(), "access-control-request-method": b"POST"}
    answer = scene.answers[scene.send(b"", method="OPTIONS", headers=headers)]
    assert (answer.status, answer.outcome.value) == (200, "handshake")
    assert {ALLOWED, ("Access-Control-Allow-Methods", "POST")} <= set(answer.headers)
    assert scene.answers[scene.send(b"", method="GET", headers=headers)].status == 405
    put = scene.answers[scene.send(b"", method="PUT", headers=headers)]
    assert (put.status, put.allow) == (405, "GET, OPTIONS, POST")


@on_loop
async def test_one_token_too_often_is_told_to_wait_and_costs_no_verification(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    await scene.warm()
    for _ in range(5):
        exchange = scene.post()
        scene.settle_all()
        assert scene.answers[exchange].status == 200
    limited: Answer = scene.answers[scene.post()]
    assert (limited.status, limited.reason, limited.retry_after_seconds) == (429, "rate_limited", 3)
    assert ALLOWED in limited.headers
    assert scene.count("busy", "rate_limited") == 1
    assert len(scene.memory.records) == 5
    other = scene.post(session="ses_2")  # another token has its own bucket; its body is refused later
    assert scene.answers[other].status == 401


@on_loop
async def test_a_rate_is_limited_before_the_connector_is_opened(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    scene.service.away = True
    exchanges = [scene.post() for _ in range(8)]
    limited = [scene.answers[one].status for one in exchanges if one in scene.answers]
    assert limited == [429, 429, 429]
    await scene.settle(lambda: len(scene.answers) == 8)


@on_loop
async def test_a_dialect_and_its_settings_hold_for_the_connectors_of_a_version(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    await scene.warm()
    assert scene.answers[scene.post(session="ses_2")].reason == "body_of_another_session"
    known = scene.memory.snapshots[CONNECTOR_ID]
    server = dataclasses.replace(known, version=2, config=json.dumps({**SETTINGS, "dialect": "server"}))
    scene.memory.snapshots[CONNECTOR_ID] = server
    await scene.warm()
    answer = scene.answers[scene.post()]
    assert (answer.reason, answer.headers) == ("signature_missing", ())


@on_loop
async def test_a_config_that_is_no_object_is_as_good_as_none(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    for version, config in enumerate(("", "[]", "{", "null"), start=2):
        known = scene.memory.snapshots[CONNECTOR_ID]
        scene.memory.snapshots[CONNECTOR_ID] = dataclasses.replace(known, version=version, config=config)
        await scene.warm()
        assert scene.answers[scene.post()].status == 401


@on_loop
async def test_the_certificates_of_the_snapshot_are_at_hand(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    known = scene.memory.snapshots[CONNECTOR_ID]
    certificate = Certificate(url="https://sns.sa-east-1.amazonaws.com/a.pem", pem="-----BEGIN CERTIFICATE-----")
    scene.memory.snapshots[CONNECTOR_ID] = dataclasses.replace(known, version=2, certificates=(certificate,))
    await scene.warm()
    exchange = scene.post()
    assert dict(exchange.caller.certificates) == {certificate.url: b"-----BEGIN CERTIFICATE-----"}


@on_loop
async def test_a_page_may_also_read_what_ends_its_connection(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    await scene.warm()
    now = 1_000.0
    server = Server(scene.edge, Limits(body_seconds=5), lambda: now, lambda error: pytest.fail(repr(error)))

    def begin(length: int) -> tuple[Connection, FakeTransport]:
        connection, transport = Connection(server), FakeTransport()
        connection.connection_made(transport)
        head = (f"POST /webhooks/{CONNECTOR_ID} HTTP/1.1", "Host: a", f"Origin: {samples.ORIGIN}", f"Content-Length: {length}")
        connection.data_received("\r\n".join((*head, "", "")).encode())
        return connection, transport

    _, too_large = begin(70_000)  # too much to read it only to keep the connection
    _, slow = begin(10)
    now += 6
    server.check_deadlines()
    for transport, status in ((too_large, b"413"), (slow, b"408")):
        assert transport.written.startswith(b"HTTP/1.1 " + status)
        assert f"\r\n{ALLOWED[0]}: {ALLOWED[1]}\r\n".encode() in transport.written


@on_loop
async def test_a_renewed_token_brings_no_new_bucket_to_its_visitor(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    await scene.warm()
    statuses = []
    for age in range(7):  # seven tokens of one visitor
        exchange = scene.post(issued_at=NOW_MS // 1000 - age)
        scene.settle_all()
        statuses.append(scene.answers[exchange].status)
    assert statuses == [200] * 5 + [429] * 2
    forged = scene.post(session="ses_2")
    assert scene.answers[forged].status == 401, "what is not proven takes nothing from the visitor, and learns nothing"


@on_loop
async def test_a_client_that_makes_up_tokens_meets_the_limit_of_its_address(tmp_path: Path) -> None:
    scene = Webchat(tmp_path)
    await scene.warm()

    def statuses(times: int) -> list[int]:
        return [scene.answers[scene.post(session=f"ses_{number}")].status for number in range(times)]

    assert statuses(70) == [401] * 60 + [429] * 10
    scene.peer = "198.51.100.8"
    assert statuses(1) == [401], "another client is not met"
    scene.peer = "127.0.0.1"  # a proxy that the settings do not name: nobody can be told apart
    assert statuses(70) == [401] * 70
