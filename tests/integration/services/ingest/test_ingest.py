"""A real ingest process, real sockets, a real Kafka."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.adapters.clock import new_uuid7
from shared.domain.enums import ConnectorStatus
from tests.edge import APP_SECRET, BODY, VERIFY_TOKEN, Edge, secrets, signature
from tests.waiting import allowed, eventually

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def connected(edge: Edge) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", edge.port), 10) as client:
        client.settimeout(15)
        yield client


def read_all(client: socket.socket) -> bytes:
    """All until the server closes its side."""
    found = b""
    while data := client.recv(65_536):
        found += data
    return found


def head(edge: Edge, *lines: str) -> bytes:
    return "\r\n".join([f"POST {edge.url()} HTTP/1.1", "Host: edge.example", *lines, "", ""]).encode()


@pytest.mark.req(80, 90)
def test_what_was_posted_lies_sealed_in_the_topic_and_a_forgery_does_not(edge: Edge) -> None:
    process = edge.start()
    body = os.urandom(2_000)
    answer = edge.call(
        "POST",
        edge.url(f"/{edge.tenant_id}"),
        body,
        {
            "X-Hub-Signature-256": signature(body),
            "Content-Type": "application/json",
            "Authorization": "Bearer x",
            "Traceparent": TRACE,
        },
    )
    assert (answer.status, answer.body) == (200, b"")
    (stored,) = edge.stored()
    assert hashlib.sha256(stored.body).digest() == hashlib.sha256(body).digest()
    assert stored.key == edge.connector_id
    assert stored.record.url_account_id == edge.tenant_id
    assert stored.record.secret_id == f"{edge.webhook_id}/0"
    assert stored.record.headers == {"content-type": "application/json"}
    assert stored.record.sealed_body is not None
    assert body not in stored.record.sealed_body
    assert stored.headers["ce_id"] == stored.record.record_id
    assert stored.headers["ce_type"] == "channels.webhook.received"
    assert stored.headers["traceparent"] == TRACE

    end = edge.end_offset()
    flipped = bytearray(body)
    flipped[1_000] ^= 1
    forged = edge.post(bytes(flipped), signed=body)
    assert (forged.status, forged.body) == (401, b"signature_wrong\n")
    assert edge.post(secret=b"a guess").status == 401
    assert edge.end_offset() == end
    assert process.metric('channels_ingest_requests_total{outcome="refused",reason="signature_wrong"}') == 2
    assert process.metric('channels_ingest_requests_total{outcome="accepted",reason="accepted"}') == 1
    (line, *_) = [line for line in process.lines() if line["event"] == "request_refused"]
    assert (line["reason"], line["status"], line["connector_id"]) == ("signature_wrong", 401, edge.connector_id)


def test_a_large_body_goes_through_the_object_store(edge: Edge) -> None:
    edge.start()
    body = os.urandom(3_000_000)
    assert edge.post(body).status == 200
    (stored,) = edge.stored()
    assert stored.record.sealed_body is None
    assert stored.body == body
    assert edge.post(bytes(4 * 1024 * 1024 + 1)).status == 413
    assert edge.post(body, signed=b"").status == 401
    assert edge.end_offset() == 1


def test_a_chunked_body_arrives_and_one_that_grows_too_large_does_not(edge: Edge) -> None:
    edge.start()
    with connected(edge) as client:
        client.sendall(head(edge, "Transfer-Encoding: chunked", f"X-Hub-Signature-256: {signature(BODY)}", "Connection: close"))
        for index in range(0, len(BODY), 7):
            part = BODY[index : index + 7]
            client.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        client.sendall(b"0\r\n\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 200 ")
    assert [stored.body for stored in edge.stored()] == [BODY]
    with connected(edge) as client:
        client.sendall(head(edge, "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
        try:
            for _ in range(100):
                client.sendall(chunk)
        except (ConnectionResetError, BrokenPipeError):
            pytest.fail("the connection must linger until its answer was read")
        assert read_all(client).startswith(b"HTTP/1.1 413 ")


def test_stalled_and_dripping_clients_are_closed_while_others_are_served(edge: Edge) -> None:
    edge.start(ingest_head_seconds=1, ingest_body_seconds=1)
    with connected(edge) as stalled_head, connected(edge) as stalled_body, connected(edge) as idle:
        stalled_head.sendall(b"POST /webhooks/")
        stalled_body.sendall(head(edge, "Content-Length: 1000") + b"x")
        start = time.monotonic()
        assert edge.post().status == 200
        assert read_all(stalled_head).startswith(b"HTTP/1.1 408 ")
        assert read_all(stalled_body).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - start < allowed(3)
        idle.sendall(head(edge, "Content-Length: 0"))
        assert idle.recv(1_000).startswith(b"HTTP/1.1 401 ")


def test_the_handshake(edge: Edge) -> None:
    edge.start()
    query = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    right = edge.call("GET", edge.url(query + VERIFY_TOKEN.decode().replace(" ", "%20")))
    assert (right.status, right.body, right.headers["content-type"]) == (200, b"1158201444", "text/plain; charset=utf-8")
    assert edge.call("GET", edge.url(query + APP_SECRET.decode().replace(" ", "%20"))).status == 403
    assert edge.end_offset() == 0


def test_connectors_come_change_and_go(edge: Edge) -> None:
    edge.start()
    assert edge.post(path=f"/webhooks/{new_uuid7()}").headers["retry-after"] == "2"  # it may be on its way
    old_id = "01990000-0000-7000-8000-000000000001"
    assert edge.post(path=f"/webhooks/{old_id}").status == 404
    assert edge.post(path="/webhooks/me").status == 404

    rotated = edge.webhook((*secrets(), *secrets(b"the next secret")))
    edge.publish(edge.connector(version=2, status=ConnectorStatus.ERROR, webhooks=(rotated,)))
    eventually(lambda: edge.post(secret=b"the next secret").status == 200)
    assert edge.post().status == 200, "both live secrets verify, in every state"
    past = edge.webhook((*secrets(not_after_ms=1), *secrets(b"the next secret")))
    edge.publish(edge.connector(version=3, webhooks=(past,)))
    eventually(lambda: edge.post().status == 401)
    assert edge.post(secret=b"the next secret").status == 200
    edge.publish(edge.connector(version=4, status=ConnectorStatus.ARCHIVED))
    eventually(lambda: edge.post().status == 404)
    edge.publish(edge.connector(version=5))
    eventually(lambda: edge.post().status == 200)
    edge.publish(None, edge.connector_id)
    eventually(lambda: edge.post().status != 200)


def test_several_processes_share_the_port(edge: Edge) -> None:
    processes = [edge.start(), edge.start()]
    assert [edge.post().status for _ in range(40)] == [200] * 40
    accepted = [process.metric('channels_ingest_requests_total{outcome="accepted",reason="accepted"}') for process in processes]
    assert sum(accepted) == 40
    assert all(accepted)
    processes[0].terminate()
    assert processes[0].wait() == 0
    assert [edge.post().status for _ in range(10)] == [200] * 10


def test_a_port_that_is_taken_is_named(edge: Edge) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", edge.port))
        taken.listen()
        process = edge.launch()
        assert process.wait() == 2
        assert f"127.0.0.1:{edge.port}" in process.log.read_text()
        assert "CHANNELS_INGEST_PORT" in process.log.read_text()


def test_a_missing_key_file_is_named(edge: Edge, tmp_path: Path) -> None:
    process = edge.launch(keys_dir=tmp_path / "elsewhere")
    assert process.wait() == 2
    assert "channels keys create" in process.log.read_text()


def test_no_secret_and_no_body_is_in_the_log_or_the_metrics(edge: Edge) -> None:
    process = edge.start(log_level="DEBUG")
    edge.post(b'{"text":"canary-in-the-body"}')
    edge.post(b'{"text":"canary-in-the-body"}', secret=b"x")
    edge.call("GET", edge.url(f"?hub.mode=subscribe&hub.challenge=1&hub.verify_token={VERIFY_TOKEN.hex()}"))
    told = process.log.read_text() + process.operations("/metrics")[1]
    for secret in (APP_SECRET.decode(), VERIFY_TOKEN.hex(), "canary-in-the-body", signature(b"x")[7:]):
        assert secret not in told
