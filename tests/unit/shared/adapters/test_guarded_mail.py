"""Servers of mailboxes: what the guard refuses costs no socket, what it admits is connected to at the addresses it judged."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from functools import cache

import pytest

from shared.adapters.egress import Egress, read_allow_list
from shared.adapters.egress_target import MAIL_PORTS
from shared.adapters.guarded_mail import GuardedServers
from shared.adapters.http_faults import EgressRefused
from shared.adapters.imap import ImapConnection, ServerAway
from tests.socket_spy import spying
from tests.unit.shared.adapters.hostile_urls import BY_ADDRESS, BY_TEXT

PUBLIC, SECOND = "93.184.216.34", "2606:2800:220:1::1"
# Kinds of hostile text that are about the host; the others are about schemes, paths and lengths of URLs.
ABOUT_HOSTS = set(BY_TEXT) - {"scheme", "plain_http", "control_character", "backslash", "not_ascii", "url_too_long", "port"}
LITERALS = [
    (url.replace("https://", "imaps://", 1), reason)
    for reason in sorted(ABOUT_HOSTS)
    for url in BY_TEXT[reason]
    if url.lower().startswith("https://")
]


class Names:
    """A name service whose answers change: the first asking gets the first, and so on."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return self.answers.pop(0)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def servers(names: Names, *allowed: str) -> GuardedServers:
    egress = Egress(allow=read_allow_list(allowed, "tests"), ports=frozenset({443, 8443, *MAIL_PORTS.values()}))
    return GuardedServers(egress, _tls(), names)


def connect(made: GuardedServers, url: str) -> None:
    ImapConnection(made.endpoint(url), connect_seconds=1, command_seconds=1)


def test_there_are_enough_hostile_hosts():
    assert len(LITERALS) > 80


@pytest.mark.parametrize(("url", "reason"), LITERALS)
def test_a_hostile_host_costs_no_socket_and_no_look_up(url: str, reason: str) -> None:
    with spying(barred=True) as spy, pytest.raises(EgressRefused) as refused:
        connect(servers(Names([PUBLIC])), url)
    assert refused.value.reason == reason
    assert spy.quiet


@pytest.mark.parametrize(("url", "reason", "found"), [(url, *entry) for url, entry in BY_ADDRESS.items()])
def test_a_name_with_one_bad_address_costs_no_socket(url: str, reason: str, found: Sequence[str]) -> None:
    names = Names(found)
    host = url.removeprefix("https://").rstrip("/").partition(":")[0]
    with spying(barred=True) as spy, pytest.raises(EgressRefused) as refused:
        connect(servers(names), f"imaps://{host}:993")
    assert refused.value.reason == reason
    assert spy.quiet
    assert len(names.asked) == 1


@pytest.mark.parametrize("url", ["imaps://mail.example:6379", "imap://mail.example:22", "imaps://10.0.0.5:993"])
def test_ports_and_addresses_that_nobody_listed(url: str) -> None:
    with spying(barred=True) as spy, pytest.raises(EgressRefused):
        connect(servers(Names([PUBLIC]), "imaps://10.0.0.6:993"), url)
    assert spy.quiet


def test_exactly_the_judged_addresses_are_connected_to_though_the_name_changes_meanwhile() -> None:
    names = Names([PUBLIC, SECOND], ["127.0.0.1"])
    with spying(barred=True) as spy, pytest.raises(ServerAway):
        connect(servers(names), "imaps://mail.example:993")
    assert [tuple(where[:2]) for where in spy.connected] == [(PUBLIC, 993), (SECOND, 993)]
    assert names.asked == ["mail.example."]  # once, and no search domain completes it


@pytest.mark.parametrize("listed", ["imaps://10.0.0.5:993", "10.0.0.0/8"])
def test_what_the_installation_lists_is_connected_to(listed: str) -> None:
    with spying(barred=True) as spy, pytest.raises(ServerAway):
        connect(servers(Names(), listed), "imaps://10.0.0.5:993")
    assert spy.connected == [("10.0.0.5", 993)]


def test_metadata_addresses_are_never_called_whatever_is_listed() -> None:
    with spying(barred=True) as spy, pytest.raises(EgressRefused):
        connect(servers(Names(), "169.254.169.254/32"), "imaps://169.254.169.254:993")
    assert spy.quiet


@pytest.mark.parametrize("names", [Names(), Names([])])
def test_a_name_without_address_is_a_server_that_is_away(names: Names) -> None:
    with pytest.raises(ServerAway):
        servers(names).endpoint("imaps://mail.example:993")


@pytest.mark.parametrize(
    ("url", "plain", "tls", "starttls"),
    [
        ("imaps://a.example:993", False, True, False),
        ("imap://a.example:143", False, True, True),
        ("imap://a.example:143", True, False, False),
    ],
)
def test_how_the_session_begins(url: str, plain: bool, tls: bool, starttls: bool) -> None:
    endpoint = servers(Names([PUBLIC])).endpoint(url, plain=plain)
    assert (endpoint.host, endpoint.tls is not None, endpoint.starttls) == ("a.example", tls, starttls)
