"""A webchat over real sockets, as a browser and its proxy speak: preflight, CORS on every answer, rates per client."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared.domain.enums import ConnectorType, SecretUse
from shared.providers.contract import ReceivingSecret
from shared.providers.webchat import samples
from tests.edge import Edge, Reply

KEY = b"example-session-key-of-forty-bytes-00001"
OTHER_ORIGIN = "https://evil.example"
SETTINGS = {"dialect": "browser", "widget_ids": [samples.WIDGET_ID], "origins": [samples.ORIGIN]}
CORS = {"access-control-allow-origin": samples.ORIGIN, "vary": "Origin"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture
def webchat(edge: Edge) -> Edge:
    secret = ReceivingSecret(id="", use=SecretUse.SIGN, value=KEY)
    webhook = edge.webhook((secret,))
    edge.publish(edge.connector(version=2, tipo=ConnectorType.WEBCHAT, config=json.dumps(SETTINGS), webhooks=(webhook,)))
    return edge


def headers(*, origin: str = samples.ORIGIN, session: str = samples.SESSION_ID, age_seconds: int = 30) -> dict[str, str]:
    said = samples.claims(session_id=session, issued_at=int(time.time()) - age_seconds)
    return samples.browser_headers(samples.session_token(said, KEY), origin)


def body(number: int, text: str = "Hello") -> bytes:
    return samples.encode(samples.text_message(message_id=f"m-{number}", text=text))


def cors_of(answer: Reply) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name in CORS}


@contextmanager
def kept_open(edge: Edge) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=15)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.req(90)
def test_a_browser_asks_posts_and_reads_every_answer(webchat: Edge) -> None:
    webchat.start()
    url = webchat.url()
    leave = webchat.call("OPTIONS", url, headers={"Origin": samples.ORIGIN, **PREFLIGHT})
    assert (leave.status, leave.body, cors_of(leave)) == (200, b"", CORS)
    assert leave.headers["access-control-allow-methods"] == "POST"
    assert leave.headers["access-control-allow-headers"] == "authorization, content-type"

    posted = webchat.call("POST", url, body(1), headers())
    assert (posted.status, posted.body, cors_of(posted)) == (200, b"", CORS)
    (stored,) = webchat.stored()
    assert stored.body == body(1)
    assert stored.record.headers == {"content-type": "application/json", "origin": samples.ORIGIN}

    forged = webchat.call("POST", url, body(2), headers(session="ses_2"))
    too_large = webchat.call("POST", url, body(3, "x" * 66_000), headers())
    wrong_method = webchat.call("PUT", url, b"", headers())
    assert [answer.status for answer in (forged, too_large, wrong_method)] == [401, 413, 405]
    assert [cors_of(answer) for answer in (forged, too_large, wrong_method)] == [CORS] * 3
    assert webchat.end_offset() == 1


def test_no_other_page_gets_leave_or_reads_an_answer(webchat: Edge) -> None:
    webchat.start()
    url, unreadable = webchat.url(), {"vary": "Origin"}
    for origin in (OTHER_ORIGIN, "null", samples.ORIGIN + ".evil.example", samples.ORIGIN.upper()):
        refused = webchat.call("OPTIONS", url, headers={"Origin": origin, **PREFLIGHT})
        assert (refused.status, cors_of(refused)) == (403, unreadable)
        posted = webchat.call("POST", url, body(1), headers(origin=origin))
        assert (posted.status, cors_of(posted)) == (401, unreadable)
    twice = webchat.call("OPTIONS", url, headers={"Origin": f"{samples.ORIGIN}, {OTHER_ORIGIN}", **PREFLIGHT})
    assert (twice.status, cors_of(twice)) == (403, unreadable)
    assert webchat.end_offset() == 0


def test_a_client_behind_the_proxy_has_a_rate_of_its_own(webchat: Edge) -> None:
    process = webchat.start(ingest_proxies="127.0.0.0/8")
    url, statuses = webchat.url(), list[int]()
    with kept_open(webchat) as connection:
        for number in range(120):  # made-up sessions; what the client itself wrote into the header stands first
            given = headers(session=f"ses_{number}") | {"X-Forwarded-For": f"192.0.2.{number}, 198.51.100.7"}
            connection.request("POST", url, body(number), given)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    limited = statuses.count(429)
    assert set(statuses) == {401, 429}
    assert statuses[:60] == [401] * 60
    assert limited >= 1
    assert process.metric('channels_ingest_requests_total{outcome="busy",reason="rate_limited"}') == limited
    other = webchat.call("POST", url, body(1), headers() | {"X-Forwarded-For": "198.51.100.8"})
    assert (other.status, cors_of(other)) == (200, CORS)
