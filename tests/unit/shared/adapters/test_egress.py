from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.addresses import address_kind, embedded_ipv4
from shared.adapters.egress import AllowList, Egress, read_allow_list
from shared.adapters.egress_target import Target, read_target
from shared.adapters.http_client import Exchange, HttpClient, HttpParts
from shared.adapters.http_faults import EgressRefused
from shared.domain.errors import ConfigError
from shared.providers.calling import PlacedCall, ProviderCall, TransportFault, placed
from shared.runtime.http import FIXED_HOSTS
from tests.on_loop import on_loop
from tests.socket_spy import SocketSpy, spying
from tests.unit.shared.adapters.hostile_urls import BY_ADDRESS, BY_TEXT

PUBLIC = "93.184.216.34"
PRODUCTION = Egress()
HOSTILE = [(url, reason) for reason, urls in BY_TEXT.items() for url in urls]
RESOLVED = {"public.example": (PUBLIC,), "public6.example": ("2606:2800:220:1::1",), "graph.facebook.com": (PUBLIC,)}


class Names:
    """A name service: each name's answers in turn, the last for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name: list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        turns = self.answers.get(name.removesuffix("."))
        if not turns:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return turns.pop(0) if len(turns) > 1 else turns[0]


def get(url: str) -> PlacedCall:
    return placed(ProviderCall(step="look", method="GET", url=url, timeout_seconds=5), {})


def parts(names: Names, tenant: Egress = PRODUCTION, **more: object) -> HttpParts:
    fixed = Egress(only_hosts=FIXED_HOSTS, ports=frozenset({443}))
    return HttpParts(**{"fixed": fixed, "tenant": tenant, "tls": ssl.create_default_context(), "lookup": names, **more})


async def called(url: str, names: Names, tenant: Egress = PRODUCTION) -> tuple[Exchange, SocketSpy]:
    async with HttpClient(parts(names, tenant)) as client:
        with spying(barred=True) as spy:
            return await client.call(get(url)), spy


def test_there_are_enough_hostile_urls():
    assert len({url for url, _ in HOSTILE}) == len(HOSTILE)
    assert len(HOSTILE) + len(BY_ADDRESS) >= 150


@on_loop
async def test_hostile_urls_open_no_socket_and_ask_no_name():
    names = Names(**{name: [answer] for name, answer in RESOLVED.items()})
    wrong: list[tuple[str, object]] = []
    async with HttpClient(parts(names)) as client:
        with spying(barred=True) as spy:
            for url, reason in HOSTILE:
                exchange = await client.call(get(url))
                told = getattr(exchange.fault, "reason", exchange.outcome)
                if told != reason or exchange.attempts != 1:
                    wrong.append((url, told))
                assert isinstance(exchange.answer, TransportFault)
                assert not exchange.answer.may_have_left
    assert wrong == []
    assert spy.quiet
    assert names.asked == []


@pytest.mark.parametrize("url", BY_ADDRESS, ids=lambda url: url.encode("ascii", "backslashreplace").decode())
@on_loop
async def test_names_with_a_hostile_address_open_no_socket(url):
    reason, addresses = BY_ADDRESS[url]
    host = read_target(url).host
    names = Names(**{host: [addresses]})
    exchange, spy = await called(url, names)
    assert (exchange.outcome, exchange.fault.reason) == ("egress_refused", reason)
    assert names.asked == [f"{host}."]  # the whole name: no search domain completes it
    assert spy.quiet


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://public.example/", (PUBLIC, 443)),
        ("https://public.example:8443/a?b=c", (PUBLIC, 8443)),
        ("https://93.184.216.34/", (PUBLIC, 443)),
        ("https://[2606:2800:220:1::1]/", ("2606:2800:220:1::1", 443, 0, 0)),
        ("https://public6.example/", ("2606:2800:220:1::1", 443, 0, 0)),
        ("https://graph.facebook.com/v25.0/me", (PUBLIC, 443)),
    ],
)
@on_loop
async def test_the_spy_sees_the_calls_that_are_allowed(url, where):
    exchange, spy = await called(url, Names(**{name: [answer] for name, answer in RESOLVED.items()}))
    assert exchange.outcome == "connect_failed"  # the spy bars it
    assert spy.connected == [where]
    assert spy.made == 1
    assert spy.looked_up == []


@on_loop
async def test_a_name_that_is_bound_anew_is_connected_to_where_it_was_checked():
    names = Names(**{"rebind.example": [(PUBLIC,), ("127.0.0.1",)]})
    exchange, spy = await called("https://rebind.example/", names)
    assert exchange.outcome == "connect_failed"
    assert spy.connected == [(PUBLIC, 443)]
    assert names.asked == ["rebind.example."]


@on_loop
async def test_the_next_connection_checks_the_name_anew():
    names = Names(**{"rebind.example": [(PUBLIC,), ("127.0.0.1",)]})
    async with HttpClient(parts(names)) as client:
        with spying(barred=True) as spy:
            await client.call(get("https://rebind.example/"))
            client._tenant._session.connector.clear_dns_cache()  # its ten seconds are over
            second = await client.call(get("https://rebind.example/"))
    assert (second.outcome, second.fault.reason) == ("egress_refused", "loopback")
    assert spy.connected == [(PUBLIC, 443)]


@on_loop
async def test_the_socket_itself_is_guarded():
    # whatever the connector would resolve by itself: here the resolver is stepped around
    async with HttpClient(parts(Names(**RESOLVED))) as client:
        connector = client._tenant._session.connector

        async def another_answer(host: str, port: int, traces: object = None) -> list[dict[str, object]]:
            return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

        connector._resolve_host = another_answer
        with spying(barred=True) as spy:
            exchange = await client.call(get("https://public.example/"))
    assert (exchange.outcome, exchange.fault.reason) == ("egress_refused", "loopback")
    assert spy.quiet


@on_loop
async def test_proxies_of_the_environment_are_not_used():
    with pytest.MonkeyPatch.context() as environment:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
            environment.setenv(name, "http://127.0.0.1:3128")
        _, spy = await called("https://public.example/", Names(**{"public.example": [(PUBLIC,)]}))
    assert spy.connected == [(PUBLIC, 443)]


class TestFixedHosts:
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("http://graph.facebook.com/", "plain_http"),
            ("https://graph.facebook.com:8443/", "port"),
            ("https://user@graph.facebook.com/", "userinfo"),
        ],
    )
    @on_loop
    async def test_they_are_called_over_https_on_its_port_alone(self, url, reason):
        exchange, spy = await called(url, Names())
        assert exchange.fault.reason == reason
        assert spy.quiet

    @on_loop
    async def test_their_addresses_are_checked_too(self):
        exchange, spy = await called("https://api.telegram.org/", Names(**{"api.telegram.org": [("10.0.0.5",)]}))
        assert exchange.fault.reason == "private"
        assert spy.quiet

    @on_loop
    async def test_a_private_endpoint_is_for_them_and_not_for_tenants(self):
        names = Names(**{"sns.eu-west-1.amazonaws.com": [("10.0.0.5",)], "mine.example": [("10.0.0.5",)]})
        opened = AllowList(networks=(ip_network("10.0.0.0/24"),))
        fixed = Egress(only_hosts=FIXED_HOSTS, ports=frozenset({443}), allow=opened)
        async with HttpClient(parts(names, fixed=fixed)) as client:
            with spying(barred=True) as spy:
                ours = await client.call(get("https://sns.eu-west-1.amazonaws.com/"))
                theirs = await client.call(get("https://mine.example/"))
        assert ours.outcome == "connect_failed"
        assert theirs.fault.reason == "private"
        assert spy.connected == [("10.0.0.5", 443)]

    @pytest.mark.parametrize("host", ["sns.a.b.amazonaws.com", "graph.facebook.com.evil.example", "xgraph.facebook.com"])
    def test_a_pattern_stands_for_one_label(self, host):
        assert not Egress(only_hosts=FIXED_HOSTS).is_fixed(host)
        with pytest.raises(EgressRefused):
            Egress(only_hosts=FIXED_HOSTS).admit(read_target(f"https://{host}/"))


class TestAllowList:
    ALLOW = read_allow_list(["evolution.internal", "10.1.0.0/16", "64:ff9b::/96", "http://waha:3000"], "X")

    def admitted(self, url: str, *addresses: str, egress: Egress | None = None) -> str | None:
        rules = egress or Egress(allow=self.ALLOW)
        try:
            target = read_target(url)
            rules.admit(target)
            for address in addresses:
                rules.admit_address(target, ip_address(address))
        except EgressRefused as error:
            return error.reason
        return None

    @pytest.mark.parametrize(
        ("url", "addresses", "reason"),
        [
            ("https://evolution.internal/", ("192.168.7.7",), None),
            ("https://evolution.internal:22/", (), "port"),
            ("http://evolution.internal/", (), "plain_http"),
            ("https://other.internal/", (), "local_name"),
            ("https://10.1.2.3/", (), None),
            ("https://10.2.2.3/", (), "private"),
            ("https://any.example/", ("10.1.2.3",), None),
            ("https://any.example/", ("10.1.2.3", "10.2.2.3"), "private"),
            ("http://waha:3000/api", ("172.17.0.2",), None),
            ("http://waha:3001/api", (), "plain_http"),
            ("https://waha:3000/api", (), "port"),
            # a translator leads to the public internet, and to what is listed itself
            ("https://any.example/", ("64:ff9b::5db8:d822",), None),
            ("https://any.example/", ("64:ff9b::a01:203",), None),
            ("https://any.example/", ("64:ff9b::a02:203",), "nat64"),
            # never, whoever lists it
            ("https://evolution.internal/", ("169.254.169.254",), "metadata"),
            ("https://evolution.internal/", ("0.0.0.0",), "this_network"),
            ("https://evolution.internal/", ("fe80::1",), "link_local"),
            ("https://evolution.internal/", ("224.0.0.1",), "multicast"),
        ],
    )
    def test_what_is_listed_and_nothing_beside_it(self, url, addresses, reason):
        assert self.admitted(url, *addresses) == reason

    @pytest.mark.parametrize("entry", ["169.254.169.254/32", "169.254.0.0/16", "http://169.254.169.254:80"])
    def test_metadata_cannot_be_listed(self, entry):
        rules = Egress(allow=read_allow_list([entry], "X"), plain_http=True)
        assert self.admitted("http://169.254.169.254/latest", egress=rules) == "metadata"

    def test_in_development_plain_http_is_called_but_nothing_private(self):
        rules = Egress(plain_http=True)
        assert self.admitted("http://public.example/", egress=rules) is None
        assert self.admitted("http://127.0.0.1/", egress=rules) == "loopback"
        assert self.admitted("http://public.example:25/", egress=rules) == "port"

    @pytest.mark.parametrize(
        "entry",
        [
            "0.0.0.0/0",
            "::/0",
            "10.0.0.1/8",
            "host:443",
            "https://host/path",
            "user@host",
            "host/path",
            "*.example",
            "ftp://host",
            "1.2.3",
        ],
    )
    def test_a_wrong_entry_is_told_at_start(self, entry):
        with pytest.raises(ConfigError, match="X: "):
            read_allow_list([entry], "X")


def plausible_addresses() -> Iterator[st.SearchStrategy[IPv4Address | IPv6Address]]:
    """Any; and many near the edges of what is special."""
    yield st.ip_addresses(v=4)
    yield st.ip_addresses(v=6)
    yield st.integers(0, 2**32 - 1).map(lambda low: IPv6Address(0xFFFF_0000_0000 | low))
    yield st.integers(0, 2**125 - 1).map(lambda low: IPv6Address(1 << 125 | low))
    edges = ["10.0.0.0", "172.16.0.0", "172.32.0.0", "192.168.0.0", "100.64.0.0", "169.254.169.254", "224.0.0.0", "198.18.0.0"]
    yield st.tuples(st.sampled_from(edges), st.integers(-2, 2)).map(lambda told: ip_address(told[0]) + told[1])


# What is stricter than `ipaddress`: globally numbered, and yet nothing of a tenant's; which of them are, depends on its release.
STRICTER = {
    *("metadata", "relay_anycast", "protocol_assignments", "multicast", "documentation", "isatap", "reserved"),
    *("mapped", "translated", "compatible", "nat64", "six_to_four", "teredo"),
}


@given(st.one_of(*plausible_addresses()))
def test_the_kinds_agree_with_the_standard_library(address):
    kind = address_kind(address)
    if kind is None:
        assert address.is_global
        for fact in (
            "is_multicast",
            "is_private",
            "is_loopback",
            "is_link_local",
            "is_reserved",
            "is_unspecified",
            "is_site_local",
        ):
            assert not getattr(address, fact, False)
        for inner in ("ipv4_mapped", "sixtofour", "teredo"):
            assert getattr(address, inner, None) is None
    elif address.is_global:
        assert kind in STRICTER


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_found(inner):
    for text in (f"::ffff:{inner}", f"64:ff9b::{inner}", f"::ffff:0:{inner}", f"2606:2800::5efe:{inner}"):
        assert embedded_ipv4(IPv6Address(text)) == inner
    assert embedded_ipv4(IPv6Address(0x2002 << 112 | int(inner) << 80)) == inner
    assert embedded_ipv4(IPv6Address(0x2001_0000 << 96 | ~int(inner) & 0xFFFF_FFFF)) == inner


@given(st.ip_addresses(v=4), st.sampled_from([443, 8443]))
def test_a_literal_is_judged_as_its_address(address, port):
    target = read_target(f"https://{address}:{port}/")
    assert target == Target("https", str(address), port, "/", address)
    try:
        PRODUCTION.admit(target)
        refused = None
    except EgressRefused as error:
        refused = error.reason
    assert refused == address_kind(address)


@given(st.integers(0, 2**32 - 1), st.data())
def test_no_other_spelling_of_a_number_is_read(number, data):
    octets = IPv4Address(number).packed
    spelling = data.draw(
        st.sampled_from(
            [
                str(number),
                hex(number),
                f"0{number:o}",
                ".".join(hex(octet) for octet in octets),
                ".".join(f"0{octet:o}" for octet in octets),
                f"{octets[0]}.{number & 0xFFFFFF}",
                f"{octets[0]}.{octets[1]}.{number & 0xFFFF}",
                f"{IPv4Address(number)}.",
            ]
        )
    )
    with pytest.raises(EgressRefused) as refused:
        read_target(f"https://{spelling}/")
    assert refused.value.reason in ("address_form", "trailing_dot")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    for url in (text, f"https://{text}", f"https://public.example{text}", f"https://{text}.example/"):
        try:
            target = read_target(url)
        except EgressRefused:
            continue
        assert target.host.isascii()
        assert target.tail.startswith("/")
        assert target.tail.isascii()
        assert "@" not in target.host


def test_an_international_name_is_called_by_its_ascii_form():
    assert read_target("https://B\u00dcCHER.example/a?b#c") == Target("https", "xn--bcher-kva.example", 443, "/a?b", None)


def test_the_tail_is_not_told():
    assert "secret" not in repr(read_target("https://public.example/bot1:secret/getMe?secret=1"))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "2a00:1450:4001::1"])
def test_public_addresses_are_none_of_the_kinds(address):
    assert address_kind(ip_address(address)) is None
