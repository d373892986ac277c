"""The client that asks the edge: a connection for each question, our own edge and nobody else; what its answers are worth."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.sync.calls import HttpCaller, parts_for_edge
from services.sync.edge import EdgeParts, EdgeProbe
from shared.adapters.blocking_http import BlockingHttpClient
from shared.adapters.clock import SystemClock
from shared.domain import edge_probe
from shared.domain.errors import ConfigError
from shared.providers.calling import ProviderCall, TransportFault, placed
from tests.http_peer import HOST, Asked, Peer, parts_of, peer
from tests.on_loop import on_loop

CONNECTOR, SECRET, VERSION = "01900000-0000-7000-8000-000000000001", b"canary-secret", 7


def answer(asked: Asked, version: int = VERSION, secret: bytes = SECRET) -> bytes:
    """What an edge with this version and secret says."""
    at_ms, nonce, _ = asked.headers[edge_probe.HEADER].split(".")
    probe = edge_probe.Probe(connector_id=CONNECTOR, at_ms=int(at_ms), nonce=nonce)
    body = edge_probe.answer(probe, secret, version)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def asked_of(server: Peer, in_a_row: int = 12, seconds: float = 0.2) -> str | None:
    """What the probe comes to, asked from a thread as sync does."""

    def ask() -> str | None:
        parts = parts_for_edge(parts_of(server.url("")), server.url(""))
        with BlockingHttpClient(parts) as client:
            edge = EdgeParts(
                url=server.url(""), caller=HttpCaller(client), clock=SystemClock(), in_a_row=in_a_row, seconds=seconds
            )
            return EdgeProbe(edge, sleep=lambda _: None).knows(CONNECTOR, SECRET, VERSION)

    return await asyncio.to_thread(ask)


@on_loop
async def test_each_question_has_a_connection_of_its_own() -> None:
    async def edge(asked: Asked, writer: Any) -> None:
        writer.write(answer(asked))

    async with peer(edge) as server:
        assert await asked_of(server) is None
        assert (server.connections, len(server.asked)) == (12, 12)
        assert server.asked[0].line.startswith(f"GET /webhooks/{CONNECTOR}/probe ")
        assert SECRET.decode() not in repr(server.asked)


@on_loop
async def test_one_that_lags_behind_begins_the_count_anew() -> None:
    async def edges(asked: Asked, writer: Any) -> None:
        writer.write(answer(asked, VERSION - 1 if len(server.asked) == 8 else VERSION))

    async with peer(edges) as server:
        assert await asked_of(server, seconds=20) is None
        assert len(server.asked) == 20


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome", "edge_unproven"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "edge_behind"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n", "edge_unproven"),
    ],
)
def test_whatever_else_answers_there_proves_nothing(said: bytes, cause: str) -> None:
    @on_loop
    async def tried() -> None:
        async def other(_: Asked, writer: Any) -> None:
            writer.write(said)

        async with peer(other) as server:
            assert await asked_of(server) == cause

    tried()


@on_loop
async def test_an_edge_with_another_secret_or_an_older_snapshot_is_not_ours_yet() -> None:
    async def stranger(asked: Asked, writer: Any) -> None:
        writer.write(answer(asked, secret=b"another"))

    async def old(asked: Asked, writer: Any) -> None:
        writer.write(answer(asked, VERSION - 1))

    async with peer(stranger) as server:
        assert await asked_of(server) == "edge_unproven"
    async with peer(old) as server:
        assert await asked_of(server) == "edge_behind"


@on_loop
async def test_this_client_calls_the_edge_alone() -> None:
    async def anybody(_: Asked, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with peer(anybody) as server:
        elsewhere = f"http://{HOST}:{server.port}/"

        def ask() -> Any:
            with BlockingHttpClient(parts_for_edge(parts_of(server.url("")), "https://edge.example.org")) as client:
                return HttpCaller(client).call(placed(ProviderCall(step="x", method="GET", url=elsewhere), {}), "edge")

        told = await asyncio.to_thread(ask)
        assert isinstance(told, TransportFault)
        assert (told.kind, server.connections) == ("refused", 0)


def test_an_address_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="CHANNELS_SYNC_EDGE_URL"):
        parts_for_edge(parts_of("http://127.0.0.1:1"), "edge.example.org")
