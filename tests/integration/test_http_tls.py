"""The HTTP client over TLS, behind its blocking face, and as the settings make it."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client import CollectorRegistry

import shared.providers
from shared.adapters.blocking_http import BlockingHttpClient
from shared.adapters.egress import Egress
from shared.adapters.egress_target import read_target
from shared.adapters.http_client import Exchange, HttpClient
from shared.adapters.http_retries import Effort
from shared.domain.errors import ConfigError, InvalidInput, Unavailable
from shared.runtime.http import FIXED_HOSTS, http_parts, tls_context
from shared.runtime.settings import HttpSettings
from tests.certificate_authority import Authority, pem_of
from tests.http_peer import HOST, Asked, Peer, call, client_of, parts_of, peer, reply, saying
from tests.on_loop import on_loop

NAME = "evolution.example"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def server_context(authority: Authority, directory: Path, name: str = NAME, days: tuple[int, int] = (-1, 30)) -> ssl.SSLContext:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    chain, private = directory / "chain.pem", directory / "private.pem"
    chain.write_text(pem_of(authority.issued(name, key, days=days)))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    return context


class TestTls:
    async def asked(self, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, host: str = NAME) -> tuple[Exchange, Peer]:
        async with peer(saying(reply()), server_tls) as server:
            origin = server.url("", host=host, scheme="https")
            async with client_of(origin, tls=client_tls) as client:
                return await client.call(call(f"{origin}/", secret=True)), server

    @on_loop
    async def test_a_bundle_of_ones_own_is_trusted(self, authority, tmp_path):
        bundle = tmp_path / "bundle.pem"
        bundle.write_text(pem_of(authority.certificate))
        trust = tls_context(HttpSettings(http_ca_bundle=bundle))
        exchange, server = await self.asked(server_context(authority, tmp_path), trust)
        assert exchange.response().body == b"ok"
        assert server.asked[0].headers["host"] == f"{NAME}:{server.port}"

    @on_loop
    async def test_without_it_nobody_is(self, authority, tmp_path):
        exchange, server = await self.asked(server_context(authority, tmp_path), tls_context(HttpSettings()))
        assert (exchange.outcome, exchange.answer.may_have_left) == ("certificate_refused", False)
        assert exchange.answer.kind == "tls"
        assert server.asked == []

    @pytest.mark.parametrize(
        ("about", "host"),
        [({"name": "other.example"}, NAME), ({"days": (-30, -1)}, NAME), ({}, HOST)],
        ids=["name", "old", "number"],
    )
    @on_loop
    async def test_the_certificate_must_be_the_hosts(self, authority, tmp_path, about, host):
        exchange, server = await self.asked(server_context(authority, tmp_path, **about), authority.trust, host)
        assert exchange.outcome == "certificate_refused"
        assert server.asked == []

    @on_loop
    async def test_old_protocols_are_not_spoken(self, authority, tmp_path):
        old = server_context(authority, tmp_path)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version = ssl.TLSVersion.TLSv1
        exchange, server = await self.asked(old, authority.trust)
        assert exchange.outcome in ("tls_failed", "connect_failed")  # an alert, or a reset
        assert not exchange.answer.may_have_left
        assert server.asked == []

    @on_loop
    async def test_a_server_without_tls(self):
        async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(babble, HOST, 0)
        origin = f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
        async with server, client_of(origin) as client:
            exchange = await client.call(call(origin))
        assert (exchange.outcome, exchange.answer.may_have_left) == ("tls_failed", False)

    @on_loop
    async def test_an_address_that_is_bound_anew_is_not_asked(self, authority, tmp_path):
        """The first look-up is answered with an open address, the next with another one: one connection, one look-up."""
        answers = [[HOST], ["127.0.0.2"]]
        asked: list[str] = []

        async def lookup(name: str) -> Sequence[str]:
            asked.append(name)
            return answers.pop(0)

        async with peer(saying(reply()), server_context(authority, tmp_path)) as server:
            origin = server.url("", host=NAME, scheme="https")
            async with client_of(origin, tls=authority.trust, lookup=lookup) as client:
                for _ in range(3):
                    (await client.call(call(f"{origin}/"))).response()
        assert (asked, server.connections) == ([NAME], 1)


@contextmanager
def served(answering: object) -> Iterator[Peer]:
    """A peer on a loop of its own thread."""
    ready: list[Peer] = []
    begun, end = threading.Event(), threading.Event()

    async def run() -> None:
        async with peer(answering) as server:  # type: ignore[arg-type]
            ready.append(server)
            begun.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert begun.wait(10)
    try:
        yield ready[0]
    finally:
        end.set()
        thread.join(10)


class TestBlocking:
    def test_many_threads_share_one_client(self):
        async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
            writer.write(reply(200, asked.line.split()[1].encode()))

        with served(answer) as server, BlockingHttpClient(parts_of(server.url()[:-1])) as client:
            with ThreadPoolExecutor(8) as threads:
                found = threads.map(lambda number: client.call(call(server.url(f"/{number}"))).response().body, range(200))
                assert list(found) == [f"/{number}".encode() for number in range(200)]
        assert server.connections <= 8
        assert not [thread for thread in threading.enumerate() if thread.name == "http-client"]

    def test_faults_and_wrong_calls_come_through(self):
        with BlockingHttpClient(parts_of()) as client:
            assert client.call(call("https://127.0.0.1/"), effort=Effort(attempts=5, seconds=30)).outcome == "egress_refused"
            with pytest.raises(InvalidInput):
                client.call(call("https://public.example/", headers=(("host", "x"),)))

    def test_an_end_does_not_wait_for_what_hangs(self):
        arrived = threading.Event()

        async def hang(_: Asked, writer: asyncio.StreamWriter) -> None:
            arrived.set()
            await asyncio.sleep(600)

        with served(hang) as server, ThreadPoolExecutor(1) as thread:
            with BlockingHttpClient(parts_of(server.url()[:-1])) as client:
                hanging = thread.submit(client.call, call(server.url(), seconds=500))
                assert arrived.wait(10)
            with pytest.raises(Unavailable):
                hanging.result(10)


def test_hosts_in_the_providers_code_are_fixed():
    providers = Path(shared.providers.__file__).parent
    constant = re.compile(r'^[A-Z_]+_URL(?:: \w+)? = "(https://[^"]+)"', re.MULTILINE)
    found = {
        read_target(url.replace("{tenant}", "t")).host
        for file in providers.rglob("*.py")
        for url in constant.findall(file.read_text())
    }
    rules = Egress(only_hosts=FIXED_HOSTS)
    assert {host for host in found if not rules.is_fixed(host)} == set()
    assert {"graph.facebook.com", "api.telegram.org", "oauth2.googleapis.com", "login.microsoftonline.com"} <= found


class TestSettings:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
        monkeypatch.setenv("CHANNELS_HOME", str(tmp_path))
        monkeypatch.delenv("CHANNELS_ENVIRONMENT", raising=False)
        return monkeypatch

    @on_loop
    async def test_in_development_a_providers_host_can_be_played_elsewhere(self):
        async with peer(saying(reply())) as server:
            settings = HttpSettings(http_stand_ins=f"graph.facebook.com={server.url('/meta')}")
            async with HttpClient(http_parts(settings, CollectorRegistry())) as client:
                exchange = await client.call(call("https://graph.facebook.com/v25.0/me?fields=id", secret=True))
                elsewhere = await client.call(call(server.url("/meta")))
        assert exchange.response().body == b"ok"
        assert server.asked[0].line == "GET /meta/v25.0/me?fields=id HTTP/1.1"
        assert elsewhere.outcome == "egress_refused"  # what is played is not opened for tenants

    def test_in_production_nothing_is_played(self, environment):
        environment.setenv("CHANNELS_ENVIRONMENT", "production")
        with pytest.raises(ConfigError, match="STAND_INS"):
            http_parts(HttpSettings(http_stand_ins="graph.facebook.com=http://127.0.0.1:9000"), CollectorRegistry())

    @pytest.mark.parametrize("environment_name", ["production", "development"])
    def test_plain_http_is_for_development(self, environment, environment_name):
        environment.setenv("CHANNELS_ENVIRONMENT", environment_name)
        parts = http_parts(HttpSettings(), CollectorRegistry())
        assert parts.tenant.plain_http is (environment_name == "development")
        assert parts.fixed.plain_http is False

    def test_a_tenants_lists(self):
        settings = HttpSettings(http_allow=" evolution.internal, 10.1.0.0/16 ,http://waha:3000", http_ports="443, 9443")
        tenant = http_parts(settings, CollectorRegistry()).tenant
        assert tenant.allow.hosts == {"evolution.internal"}
        assert [str(network) for network in tenant.allow.networks] == ["10.1.0.0/16"]
        assert tenant.allow.origins == {("http", "waha", 3000)}
        assert tenant.ports == {443, 9443}

    @pytest.mark.parametrize(
        "given",
        [
            {"http_ports": "443,x"},
            {"http_ports": "0"},
            {"http_allow": "0.0.0.0/0"},
            {"http_allow": "user@host"},
            {"http_allow_fixed": "evil.example"},
            {"http_stand_ins": "graph.facebook.com"},
            {"http_ca_bundle": "/nowhere/bundle.pem"},
        ],
    )
    def test_a_wrong_setting_is_told_at_start(self, given):
        with pytest.raises(ConfigError, match="CHANNELS_HTTP_"):
            http_parts(HttpSettings(**given), CollectorRegistry())

    def test_a_bundle_without_certificates_is_told_at_start(self, tmp_path):
        bundle = tmp_path / "bundle.pem"
        bundle.write_text("nothing")
        with pytest.raises(ConfigError, match="CA_BUNDLE"):
            tls_context(HttpSettings(http_ca_bundle=bundle))
