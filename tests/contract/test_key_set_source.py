"""A key set over real sockets: sources that redirect, refuse, drip, flood or hang up cost a bounded time and prove nothing."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from shared.adapters.key_set_source import MAX_BYTES, from_address, is_address
from shared.adapters.key_sets import KeySet
from shared.domain.errors import ConfigError, Unavailable
from tests.waiting import allowed

KEYS = b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer(self)
            except OSError:
                self.close_connection = True  # the client has hung up, as it should

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/keys?x=1"
        finally:
            server.shutdown()
            thread.join()


def reply(status: int, body: bytes, **headers: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def test_a_key_set_comes_over_http() -> None:
    asked = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        reply(200, KEYS)(request)

    with serving(answer) as url:
        found = KeySet(from_address(url)).find("k")
    assert found is not None
    assert (found.algorithm, asked) == ("EdDSA", ["/keys?x=1"])


@pytest.mark.parametrize(
    "answer",
    [
        reply(302, b"", Location="http://127.0.0.1:1/elsewhere"),
        reply(404, KEYS),
        reply(500, KEYS),
        reply(200, b"<html>"),
        reply(200, b""),
        reply(200, b" " * (MAX_BYTES + 1)),
    ],
)
def test_anything_but_a_key_set_is_unavailable(answer: Answer) -> None:
    with serving(answer) as url, pytest.raises(Unavailable):
        KeySet(from_address(url)).find("k")


def drip(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    for _ in range(1000):
        request.wfile.write(b" ")
        request.wfile.flush()
        time.sleep(0.02)


def drip_head(request: http.server.BaseHTTPRequestHandler) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
        request.wfile.write(bytes((byte,)))
        request.wfile.flush()
        time.sleep(0.02)


def hang(request: http.server.BaseHTTPRequestHandler) -> None:
    request.rfile.read(1)


@pytest.mark.parametrize("answer", [drip, drip_head, hang])
def test_a_slow_source_costs_a_bounded_time(answer: Answer) -> None:
    began = time.monotonic()
    with serving(answer) as url, pytest.raises(Unavailable, match="too slowly"):
        from_address(url, seconds=0.3)()
    assert time.monotonic() - began < allowed(3)


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be asked"):
        from_address("http://127.0.0.1:1/keys", seconds=1)()


@pytest.mark.parametrize("url", ["http://id.example.test/keys", "https://", "http://127.0.0.1.example.test/"])
def test_only_https_leaves_this_machine(url: str) -> None:
    assert is_address(url)
    with pytest.raises(ConfigError, match="https"):
        from_address(url)
