"""The HTTP client against servers on the loopback that stall, drip, lie, bomb and hang up."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from shared.adapters import guarded_dial
from shared.adapters.guarded_dial import SystemLookup
from shared.adapters.http_client import Exchange
from shared.adapters.http_faults import AnswerTooLarge, CallTimedOut
from shared.adapters.http_pool import HttpLimits
from shared.adapters.http_retries import Effort
from shared.providers.calling import Part, ProviderResponse, TransportFault
from shared.runtime.metrics import HttpMetrics
from tests.http_peer import (
    FOREVER,
    HOST,
    SECRET,
    Answering,
    Asked,
    HandClock,
    HandTimer,
    Peer,
    call,
    client_of,
    peer,
    reply,
    saying,
)
from tests.on_loop import on_loop

SHORT = 0.3
LIMITS = HttpLimits(max_answer_bytes=100_000, max_header_bytes=20_000, connect_seconds=2.0)


async def asked_once(answering: Answering, **about: object) -> tuple[Exchange, Peer]:
    async with peer(answering) as server, client_of(server.url()[:-1], limits=LIMITS) as client:
        return await client.call(call(server.url(), **about)), server


def fault(exchange: Exchange) -> tuple[str, bool]:
    assert isinstance(exchange.answer, TransportFault)
    assert exchange.fault is not None
    assert exchange.answer.may_have_left is exchange.fault.may_have_left
    return exchange.outcome, exchange.fault.may_have_left


class TestAnswers:
    @on_loop
    async def test_status_headers_body_and_times(self):
        answer = reply(201, b'{"a":1}', "Content-Type: application/json", "X-Told: 1", "X-Told: 2")
        async with peer(saying(answer)) as server, client_of(server.url()[:-1], clock=HandClock(1234)) as client:
            made = call(
                server.url("/v1/a%2Fb?c=%20d"), method="POST", body=b"{}", headers=(("content-type", "application/json"),)
            )
            exchange = await client.call(made)
        answered = exchange.response()
        assert (answered.status, answered.body, answered.received_at_ms) == (201, b'{"a":1}', 1234)
        assert answered.headers == {"content-type": "application/json", "x-told": "1, 2"}
        assert (exchange.outcome, exchange.attempts) == ("answered_2xx", 1)
        assert 0 <= exchange.duration_ms < 5_000
        asked = server.asked[0]
        assert asked.line == "POST /v1/a%2Fb?c=%20d HTTP/1.1"  # as it was given, not quoted anew
        assert asked.headers == {
            "host": f"{HOST}:{server.port}",
            "content-type": "application/json",
            "content-length": "2",
            "user-agent": "channels",
            "accept": "*/*",
            "accept-encoding": "gzip, deflate",
        }
        assert asked.body == b"{}"

    @on_loop
    async def test_a_large_upload_and_a_large_answer(self):
        content = bytes(range(256)) * 20_000
        part = Part(name="file", content=content, filename="a.bin", mime_type="application/octet-stream")
        async with peer(saying(reply(200, content))) as server, client_of(server.url()[:-1]) as client:
            exchange = await client.call(call(server.url(), method="POST", body=(part,)), max_answer_bytes=len(content))
        assert exchange.response().body == content
        assert content in server.asked[0].body
        assert server.asked[0].headers["content-length"] == str(len(server.asked[0].body))

    @pytest.mark.parametrize("framing", ["length", "chunks", "close"])
    @on_loop
    async def test_packed_answers_in_every_framing(self, framing):
        packed = gzip.compress(b"hello" * 1_000)
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"

        async def answer(_: Asked, writer: asyncio.StreamWriter) -> bool:
            match framing:
                case "length":
                    writer.write(head + f"Content-Length: {len(packed)}\r\n\r\n".encode() + packed)
                case "chunks":
                    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in packed)
                    writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
                case _:
                    writer.write(head + b"Connection: close\r\n\r\n" + packed)
            return framing != "close"

        exchange, _ = await asked_once(answer)
        assert exchange.response().body == b"hello" * 1_000
        assert "content-encoding" not in exchange.response().headers

    @on_loop
    async def test_head_and_empty_answers(self):
        heads = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Encoding: gzip\r\n\r\n"
        exchange, _ = await asked_once(saying(heads), method="HEAD")
        assert exchange.response().body == b""
        exchange, _ = await asked_once(saying(b"HTTP/1.1 204 No Content\r\n\r\n"), method="DELETE")
        assert exchange.response().status == 204

    @on_loop
    async def test_connections_are_kept_and_used_again(self):
        async with peer(saying(reply())) as server, client_of(server.url()[:-1]) as client:
            for _ in range(5):
                (await client.call(call(server.url()))).response()
        assert (server.connections, len(server.asked)) == (1, 5)

    @on_loop
    async def test_cookies_are_not_kept(self):
        async with peer(saying(reply(200, b"", "Set-Cookie: a=b"))) as server, client_of(server.url()[:-1]) as client:
            await client.call(call(server.url()))
            await client.call(call(server.url()))
        assert "cookie" not in server.asked[1].headers


class TestDeadlines:
    @on_loop
    async def test_a_name_service_that_does_not_answer(self):
        async def nobody(_: str) -> Sequence[str]:
            await asyncio.sleep(FOREVER)
            return []

        limits = HttpLimits(connect_seconds=SHORT)
        async with client_of("http://peer:9", limits=limits, lookup=nobody) as client:
            exchange = await client.call(call("http://peer:9/", seconds=FOREVER))
        assert fault(exchange) == ("call_timed_out", False)
        assert exchange.duration_ms < 30_000

    @on_loop
    async def test_a_server_that_does_not_take_the_connection(self):
        with socket.create_server((HOST, 0), backlog=0) as full:
            port = full.getsockname()[1]
            waiting = [socket.socket() for _ in range(3)]
            try:
                for one in waiting:  # the queue holds one or two; the system lets the others wait
                    one.setblocking(False)
                    one.connect_ex((HOST, port))
                async with client_of(f"http://{HOST}:{port}", limits=HttpLimits(connect_seconds=SHORT)) as client:
                    exchange = await client.call(call(f"http://{HOST}:{port}/", seconds=FOREVER))
            finally:
                for one in waiting:
                    one.close()
        assert fault(exchange) == ("call_timed_out", False)
        assert exchange.duration_ms < 30_000

    @on_loop
    async def test_a_server_that_begins_no_tls(self):
        with socket.create_server((HOST, 0)) as silent:
            origin = f"https://{HOST}:{silent.getsockname()[1]}"
            async with client_of(origin, limits=HttpLimits(connect_seconds=SHORT)) as client:
                exchange = await client.call(call(origin, seconds=FOREVER))
        assert fault(exchange) == ("call_timed_out", False)
        assert exchange.duration_ms < 30_000

    @on_loop
    async def test_a_server_that_reads_and_says_nothing(self):
        async def answer(_: Asked, __: asyncio.StreamWriter) -> None:
            await asyncio.sleep(FOREVER)

        exchange, _ = await asked_once(answer, seconds=SHORT)
        assert fault(exchange) == ("call_timed_out", True)
        assert isinstance(exchange.fault, CallTimedOut)
        assert exchange.answer.kind == "timeout"

    @pytest.mark.parametrize(
        "begin",
        [
            b"",  # drips the headers
            b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        ],
    )
    @on_loop
    async def test_a_server_that_drips(self, begin):
        drops = {b"": b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 10_000}.get(begin, b"1\r\na\r\n" * 10_000)

        async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
            writer.write(begin)
            for drop in drops:
                writer.write(bytes([drop]))
                await writer.drain()
                await asyncio.sleep(0.01)

        began = time.monotonic()
        exchange, _ = await asked_once(answer, seconds=SHORT)
        assert fault(exchange) == ("call_timed_out", True)
        assert time.monotonic() - began < 30

    @on_loop
    async def test_a_server_that_only_promises(self):
        async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
            while True:
                writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.001)

        exchange, _ = await asked_once(answer, seconds=SHORT)
        assert fault(exchange) == ("call_timed_out", True)

    @on_loop
    async def test_a_server_that_does_not_read(self):
        async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(FOREVER)

        enough = 4 * SHORT  # for some of it to leave, also on a busy machine
        async with peer(answer, reads=False) as server, client_of(server.url()[:-1]) as client:
            exchange = await client.call(call(server.url(), method="POST", body=bytes(50_000_000), seconds=enough))
        assert server.connections == 1
        assert fault(exchange) == ("call_timed_out", True)

    @on_loop
    async def test_a_connection_after_a_timeout_is_not_used_again(self):
        async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
            if "slow" in asked.line:
                await asyncio.sleep(SHORT * 2)
            writer.write(reply(200, asked.line.encode()))

        async with peer(answer) as server, client_of(server.url()[:-1]) as client:
            assert fault(await client.call(call(server.url("/slow"), seconds=SHORT))) == ("call_timed_out", True)
            for number in range(3):
                assert f"/{number} ".encode() in (await client.call(call(server.url(f"/{number}")))).response().body


class TestSizes:
    @pytest.mark.parametrize(
        "answer",
        [
            reply(200, b"a" * 100_001),
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"10000\r\n"
            + b"a" * 65_536
            + b"\r\n10000\r\n"
            + b"a" * 65_536,
            reply(200, gzip.compress(bytes(200_000_000)), "Content-Encoding: gzip"),
            reply(200, gzip.compress(bytes(100_001)), "Content-Encoding: gzip"),
            reply(200, b"", *(f"X-{number}: {'a' * 1_000}" for number in range(30))),
        ],
        ids=["length", "announced", "chunks", "bomb", "little bomb", "headers"],
    )
    @on_loop
    async def test_what_is_too_large_is_not_taken(self, answer):
        exchange, _ = await asked_once(saying(answer))
        assert fault(exchange) == ("answer_too_large", True)
        assert isinstance(exchange.fault, AnswerTooLarge)
        assert exchange.answer.kind == "unreadable"

    @on_loop
    async def test_what_just_fits_is_taken(self):
        exchange, _ = await asked_once(saying(reply(200, b"a" * 100_000)))
        assert len(exchange.response().body) == 100_000

    @pytest.mark.parametrize(
        "answer",
        [
            reply(200, b"", "X-Long: " + "a" * 10_000),
            reply(200, b"", *(f"X-{number}: a" for number in range(1_000))),
            b"HTTP/1.1 200 " + b"a" * 20_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"a" * 2_000_000,
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"-ERR unknown command\r\n",
            b"HTTP/1.1 2OO OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            reply(200, b"not packed", "Content-Encoding: gzip"),
            reply(200, b"abc", "Content-Encoding: br"),
        ],
    )
    @on_loop
    async def test_what_is_no_answer_is_no_answer(self, answer):
        exchange, _ = await asked_once(saying(answer), seconds=2)
        outcome, left = fault(exchange)
        assert outcome in ("answer_unreadable", "connection_lost")
        assert left


class TestHangingUp:
    @pytest.mark.parametrize(
        "said",
        [
            b"",
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        ],
    )
    @pytest.mark.parametrize("abruptly", [False, True])
    @on_loop
    async def test_in_the_middle_of_an_answer(self, said, abruptly):
        async def answer(_: Asked, writer: asyncio.StreamWriter) -> bool:
            writer.write(said)
            await writer.drain()
            if abruptly:
                writer.transport.abort()
            return False

        exchange, server = await asked_once(answer)
        assert fault(exchange)[1]
        assert exchange.outcome in ("connection_lost", "answer_unreadable")
        # aiohttp would have asked a second time, because it is a GET
        assert len(server.asked) == 1

    @on_loop
    async def test_nobody_listens(self):
        with socket.create_server((HOST, 0)) as once:
            origin = f"http://{HOST}:{once.getsockname()[1]}"
        async with client_of(origin) as client:
            exchange = await client.call(call(origin))
        assert fault(exchange) == ("connect_failed", False)

    @on_loop
    async def test_a_name_that_nobody_has(self):
        async def unknown(_: str) -> Sequence[str]:
            raise socket.gaierror(socket.EAI_NONAME, "no")

        async with client_of("http://peer:9", lookup=unknown) as client:
            assert fault(await client.call(call("http://peer:9/"))) == ("name_unresolved", False)

    @on_loop
    async def test_what_follows_an_answer_is_nobodys_answer(self):
        answers = iter([reply(200, b"first") + reply(200, b"poison")])

        async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
            writer.write(next(answers, reply(200, b"own")))

        async with peer(answer) as server, client_of(server.url()[:-1]) as client:
            found = [(await client.call(call(server.url(f"/{number}")))) for number in range(4)]
        bodies = [exchange.answer.body if isinstance(exchange.answer, ProviderResponse) else b"" for exchange in found]
        assert bodies[0] == b"first"
        assert b"poison" not in bodies


PATIENT = Effort(attempts=4, seconds=100.0, first_pause_seconds=1.0, longest_pause_seconds=8.0)


class TestRepeating:
    @pytest.mark.parametrize(
        ("told", "pause"),
        [
            ("Retry-After: 17", 17.0),
            (f"Retry-After: {email.utils.formatdate(1_800_000_023, usegmt=True)}", 23.0),
            ("Retry-After: Thu, 01 Jan 1970 00:00:00 GMT", 0.5),
            ("Retry-After: tomorrow", 0.5),
            ("X-Nothing: 1", 0.5),
        ],
    )
    @on_loop
    async def test_it_waits_as_long_as_it_was_told(self, told, pause):
        timer = HandTimer()
        answers = saying(reply(429, b"", told), reply(200, b"done"))
        async with peer(answers) as server, client_of(server.url()[:-1], timer=timer, clock=HandClock()) as client:
            exchange = await client.call(call(server.url(), idempotent=True), effort=PATIENT)
        assert timer.slept == [pause]
        assert (exchange.response().body, exchange.attempts) == (b"done", 2)
        assert exchange.duration_ms == round(pause * 1_000)

    @on_loop
    async def test_it_is_told_more_than_it_has(self):
        timer = HandTimer()
        answers = saying(reply(429, b"", "Retry-After: 100"), reply(200, b"done"))
        async with peer(answers) as server, client_of(server.url()[:-1], timer=timer) as client:
            exchange = await client.call(call(server.url(), idempotent=True), effort=PATIENT)
        assert timer.slept == []
        assert (exchange.outcome, exchange.attempts) == ("rate_limited", 1)
        assert exchange.response().headers["retry-after"] == "100"

    @on_loop
    async def test_count_and_pauses_are_bounded(self):
        timer = HandTimer()
        async with peer(saying(reply(503))) as server, client_of(server.url()[:-1], timer=timer) as client:
            exchange = await client.call(call(server.url(), idempotent=True), effort=PATIENT)
        assert timer.slept == [0.5, 1.0, 2.0]
        assert (exchange.outcome, exchange.attempts, len(server.asked)) == ("answered_5xx", 4, 4)

    @pytest.mark.parametrize(("idempotent", "attempts"), [(True, 4), (False, 1)])
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
    @on_loop
    async def test_what_may_have_arrived_is_repeated_only_if_declared_so(self, idempotent, attempts, method):
        async def hang_up(_: Asked, __: asyncio.StreamWriter) -> bool:
            return False

        async with peer(hang_up) as server, client_of(server.url()[:-1], timer=HandTimer()) as client:
            exchange = await client.call(call(server.url(), method=method, idempotent=idempotent), effort=PATIENT)
        assert fault(exchange) == ("connection_lost", True)
        assert (exchange.attempts, len(server.asked)) == (attempts, attempts)

    @on_loop
    async def test_what_never_left_is_repeated_always(self):
        with socket.create_server((HOST, 0)) as once:
            origin = f"http://{HOST}:{once.getsockname()[1]}"
        timer = HandTimer()
        async with client_of(origin, timer=timer) as client:
            exchange = await client.call(call(origin, method="POST", body=b"{}"), effort=PATIENT)
        assert fault(exchange) == ("connect_failed", False)
        assert (exchange.attempts, timer.slept) == (4, [0.5, 1.0, 2.0])

    @on_loop
    async def test_without_effort_nothing_is_repeated(self):
        async with peer(saying(reply(503, b"", "Retry-After: 1"))) as server, client_of(server.url()[:-1]) as client:
            exchange = await client.call(call(server.url(), idempotent=True))
        assert (exchange.outcome, len(server.asked)) == ("answered_5xx", 1)

    @on_loop
    async def test_the_body_is_whole_in_every_attempt(self):
        content = bytes(range(256)) * 8_000
        async with peer(saying(reply(503), reply(503), reply(200))) as server:
            async with client_of(server.url()[:-1], timer=HandTimer()) as client:
                made = call(server.url(), method="PUT", body=content, idempotent=True)
                (await client.call(made, effort=PATIENT)).response()
        assert [asked.body == content for asked in server.asked] == [True] * 3


class TestConnections:
    @on_loop
    async def test_a_slow_host_has_its_own_share_and_takes_no_other(self):
        gate = asyncio.Event()

        async def slow(_: Asked, writer: asyncio.StreamWriter) -> None:
            await gate.wait()
            writer.write(reply(200, b"slow"))

        limits = HttpLimits(connections=6, connections_per_host=3)
        async with peer(slow) as laggard, peer(saying(reply())) as neighbour:
            async with client_of(laggard.url()[:-1], neighbour.url()[:-1], limits=limits) as client:
                held = [asyncio.create_task(client.call(call(laggard.url(), seconds=60))) for _ in range(30)]
                await laggard.until_busy(3)
                for _ in range(20):
                    assert (await client.call(call(neighbour.url()))).outcome == "answered_2xx"
                late = await client.call(call(laggard.url(), seconds=SHORT))
                assert fault(late) == ("call_timed_out", False)  # it waited for a connection
                gate.set()
                ended = await asyncio.gather(*held)
        assert {exchange.outcome for exchange in ended} == {"answered_2xx"}
        assert (laggard.most, len(laggard.asked)) == (3, 30)
        assert neighbour.most == 1

    @on_loop
    async def test_a_name_that_is_never_answered_keeps_one_thread(self, monkeypatch):
        end, asked = threading.Event(), []

        def system(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
            asked.append(name)
            if name == "dead.example.":
                assert end.wait(30)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, 0))]

        monkeypatch.setattr(guarded_dial.socket, "getaddrinfo", system)
        lookup = SystemLookup(2)
        try:
            for _ in range(10):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await lookup("dead.example.")
            assert await lookup("good.example.") == [HOST]
            assert asked == ["dead.example.", "good.example."]
        finally:
            end.set()
            lookup.close()

    @on_loop
    async def test_the_systems_own_names(self):
        async with peer(saying(reply())) as server:
            async with client_of(server.url(host="localhost")[:-1], lookup=None) as client:
                assert (await client.call(call(server.url(host="localhost")))).response().body == b"ok"

    @on_loop
    async def test_who_gives_up_gives_the_place_back(self):
        async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
            if "slow" in asked.line:
                await asyncio.sleep(FOREVER)
            writer.write(reply())

        async with peer(slow) as server, client_of(server.url()[:-1], limits=HttpLimits(connections_per_host=2)) as client:
            calls = [client.call(call(server.url("/slow"), seconds=SHORT)) for _ in range(6)]
            assert {exchange.outcome for exchange in await asyncio.gather(*calls)} == {"call_timed_out"}
            cancelled = asyncio.create_task(client.call(call(server.url("/slow"), seconds=60)))
            await asyncio.sleep(0.05)
            cancelled.cancel()
            for _ in range(5):
                assert (await client.call(call(server.url("/quick")))).outcome == "answered_2xx"


class TestRedirects:
    @on_loop
    async def test_by_default_a_redirect_is_the_answer(self):
        async with peer(saying(reply(302, b"", "Location: /other"))) as server, client_of(server.url()[:-1]) as client:
            exchange = await client.call(call(server.url()))
        assert (exchange.response().status, exchange.response().headers["location"]) == (302, "/other")
        assert len(server.asked) == 1

    @on_loop
    async def test_within_the_host_credentials_go_along(self):
        answers = saying(reply(302, b"", "Location: /other?x"), reply(200, b"there"))
        async with peer(answers) as server, client_of(server.url()[:-1]) as client:
            exchange = await client.call(call(server.url(), secret=True), redirects=2)
        assert exchange.response().body == b"there"
        assert server.asked[1].line == "GET /other?x HTTP/1.1"
        assert server.asked[1].headers["authorization"] == f"Bearer {SECRET}"

    @on_loop
    async def test_to_another_host_they_never_go(self):
        async with peer(saying(reply())) as other, peer(saying(reply(302, b"", f"Location: {other.url('/x')}"))) as server:
            async with client_of(server.url()[:-1], other.url()[:-1]) as client:
                with_secret = await client.call(call(server.url(), secret=True), redirects=2)
                without = await client.call(call(server.url()), redirects=2)
        assert fault(with_secret) == ("redirect_refused", True)
        assert without.response().body == b"ok"
        assert [asked.headers.get("authorization") for asked in other.asked] == [None]

    @on_loop
    async def test_the_guard_judges_where_it_leads(self):
        for place in ("http://127.0.0.1:1/", "http://169.254.169.254/", "https://localhost/"):
            async with peer(saying(reply(302, b"", f"Location: {place}"))) as server, client_of(server.url()[:-1]) as client:
                exchange = await client.call(call(server.url()), redirects=3)
            assert fault(exchange) == ("egress_refused", True)  # the first host has had the request

    @on_loop
    async def test_loops_end(self):
        async with peer(saying(reply(302, b"", "Location: /again"))) as server, client_of(server.url()[:-1]) as client:
            exchange = await client.call(call(server.url()), redirects=3)
        assert fault(exchange) == ("redirect_refused", True)
        assert len(server.asked) == 4

    @on_loop
    async def test_all_hops_share_one_deadline(self):
        async def slow(_: Asked, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(SHORT / 2)
            writer.write(reply(302, b"", "Location: /again"))

        async with peer(slow) as server, client_of(server.url()[:-1]) as client:
            exchange = await client.call(call(server.url(), seconds=SHORT), redirects=50)
        assert fault(exchange) == ("call_timed_out", True)
        assert len(server.asked) < 5


class TestTelling:
    @pytest.fixture(autouse=True)
    def logged(self) -> Iterator[list[dict[str, object]]]:
        with structlog.testing.capture_logs() as lines:
            yield lines

    @pytest.mark.req(2)
    def test_nothing_secret_is_told(self, logged: list[dict[str, object]]):
        registry = CollectorRegistry()
        told: list[str] = []

        async def run() -> None:
            async def answer(asked: Asked, writer: asyncio.StreamWriter) -> bool:
                if "lost" in asked.line:
                    return False
                writer.write(reply(500 if "bad" in asked.line else 200, SECRET.encode(), f"X-Echo: {SECRET}"))
                return True

            async with peer(answer) as server, client_of(server.url()[:-1], watch=HttpMetrics(registry)) as client:
                for name in ("good", "bad", "lost"):
                    made = call(
                        server.url(f"/bot{SECRET}/{name}?key={SECRET}"),
                        method="POST",
                        body=SECRET.encode(),
                        headers=(("x-api-key", SECRET),),
                        secret=True,
                    )
                    exchange = await client.call(made, provider="telegram")
                    told.extend((repr(exchange), repr(exchange.fault), repr(exchange.answer), str(exchange.fault)))
                refused = await client.call(call(f"https://127.0.0.1/{SECRET}", secret=True), provider="telegram")
                told.extend((repr(refused), refused.answer.detail))
                # a library's error quotes the URL: it must not hang on ours
                for fault_ in (exchange.fault, refused.fault):
                    assert fault_.__cause__ is None
                    assert fault_.__context__ is None

        asyncio.run(run())
        metrics = generate_latest(registry).decode()
        assert SECRET not in "".join(told) + repr(logged) + metrics
        assert [(line["event"], line["outcome"]) for line in logged] == [
            ("http_call", "answered_2xx"),
            ("http_call", "answered_5xx"),
            ("http_call", "connection_lost"),
            ("http_call", "egress_refused"),
        ]
        assert logged[3]["reason"] == "loopback"
        assert 'channels_http_calls_total{outcome="answered_2xx",provider="telegram"} 1.0' in metrics
        assert 'channels_http_call_seconds_count{provider="telegram"} 4.0' in metrics

    def test_repetitions_are_counted(self):
        registry = CollectorRegistry()

        async def run() -> None:
            async with peer(saying(reply(503))) as server:
                async with client_of(server.url()[:-1], timer=HandTimer(), watch=HttpMetrics(registry)) as client:
                    await client.call(call(server.url(), idempotent=True), effort=PATIENT)

        asyncio.run(run())
        assert registry.get_sample_value("channels_http_repeats_total", {"provider": "other"}) == 3
        assert registry.get_sample_value("channels_http_calls_total", {"provider": "other", "outcome": "answered_5xx"}) == 1
