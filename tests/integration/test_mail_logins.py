"""Logins at mail servers: guarded before a socket is made, bounded against servers that hang, drip or never end."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator, Sequence

import pytest

from shared.adapters.egress import Egress, read_allow_list
from shared.adapters.mail_logins import MailLogins
from shared.providers.calling import CallContext, PlacedCall, ProviderAnswer, ProviderResponse, TransportFault, placed
from shared.providers.email.checks import build_checks
from tests.mail.scripted import Answer, scripted
from tests.on_loop import on_loop
from tests.socket_spy import spying
from tests.waiting import allowed

PASSWORD = "an-invented-password"
MAIL_PORTS = frozenset({143, 465, 587, 993})
SMTP_GREETING = b"220 mail.example ESMTP\r\n"


def calls(**settings: object) -> dict[str, PlacedCall]:
    """The calls of a mailbox with these settings, with its password in place."""
    context = CallContext(
        connector_id="c", account_id="a", identidade="ana@example.com", settings=settings, account_config={}, now_ms=0
    )
    credentials = {"secret": PASSWORD, "access_token": PASSWORD}
    return {call.step: placed(call, credentials) for call in build_checks(context)}


def logins(*allowed: str, seconds: float = 10, **more: object) -> MailLogins:
    egress = Egress(allow=read_allow_list(allowed, "tests"), ports=MAIL_PORTS)
    return MailLogins(egress, ssl.create_default_context(), at_once=8, seconds=seconds, **more)  # type: ignore[arg-type]


async def asked(made: MailLogins, call: PlacedCall) -> ProviderAnswer:
    try:
        return await made.call(call, "email")
    finally:
        made.close()


async def _private(name: str) -> Sequence[str]:
    return ["93.184.215.14", "10.0.0.7"]


@pytest.mark.parametrize(
    ("host", "more", "reason"),
    [
        ("127.0.0.1", {}, "loopback"),
        ("10.1.2.3", {}, "private"),
        ("169.254.169.254", {}, "metadata"),
        ("localhost", {}, "local_name"),
        ("mail.example.com", {"imap_port": 6379, "smtp_port": 6379}, "port"),
        ("mail.example.com", {}, "private"),  # one of its addresses is
    ],
)
@pytest.mark.parametrize("step", ["imap", "smtp"])
@on_loop
async def test_a_host_that_the_guard_refuses_costs_no_socket(step: str, host: str, more: dict[str, int], reason: str) -> None:
    call = calls(imap_host=host, smtp_host=host, **more)[step]
    with spying(barred=True) as spy:
        answer = await asked(logins(lookup=_private), call)
    assert answer == TransportFault(kind="refused", may_have_left=False, detail=reason)
    assert spy.quiet


@pytest.mark.parametrize(
    ("plain_loopback", "allowed"), [(False, ("imap://127.0.0.1:{}",)), (True, ()), (True, ("imaps://127.0.0.1:{}",))]
)
@on_loop
async def test_a_login_in_the_clear_needs_the_setting_and_the_guard(plain_loopback: bool, allowed: tuple[str, ...]) -> None:
    with scripted(lambda *_: False) as server:
        call = calls(imap_host="127.0.0.1", imap_port=server.port, imap_tls="none")["imap"]
        opened = [one.format(server.port) for one in allowed]
        answer = await asked(logins(*opened, plain_loopback=plain_loopback), call)
        assert isinstance(answer, TransportFault)
        assert answer.kind == "refused"
        assert server.commands == []


@on_loop
async def test_a_login_in_the_clear_on_this_machine_where_both_allow_it() -> None:
    with scripted(lambda *_: False) as server:
        call = calls(imap_host="127.0.0.1", imap_port=server.port, imap_tls="none")["imap"]
        answer = await asked(logins(f"imap://127.0.0.1:{server.port}", plain_loopback=True), call)
    assert isinstance(answer, ProviderResponse)
    assert (answer.status, answer.headers["capabilities"]) == (250, "IMAP4REV1 IDLE")
    said = [command.split()[1].upper() for command in server.commands]
    assert b"NOOP" in said
    assert said[-1] == b"LOGOUT"
    assert not {b"SELECT", b"EXAMINE"} & set(said)


def _no_starttls(connection: socket.socket, command: bytes, _: bytes) -> bool:
    connection.sendall(b"250-mail.example\r\n250 AUTH PLAIN\r\n" if command.upper() == b"EHLO" else b"250 ok\r\n")
    return True


@pytest.mark.parametrize("step", ["imap", "smtp"])
@on_loop
async def test_a_server_without_starttls_is_told_no_password(step: str) -> None:
    answering, greeting = (lambda *_: False, None) if step == "imap" else (_no_starttls, SMTP_GREETING)
    with scripted(answering, *([greeting] if greeting else [])) as server:  # type: ignore[list-item]
        where = {f"{step}_host": "127.0.0.1", f"{step}_port": server.port, "imap_tls": "starttls"}
        answer = await asked(logins(f"{step}://127.0.0.1:{server.port}"), calls(**where)[step])
        assert answer == TransportFault(kind="tls", may_have_left=False, detail="starttls_missing")
        assert not [one for one in server.commands if b"AUTH" in one.upper() or b"LOGIN" in one.upper()]


def _hangs(*_: object) -> bool:
    return True


def _drips(connection: socket.socket, *_: object) -> bool:
    while True:  # until the connection breaks
        connection.sendall(b"2")
        time.sleep(0.05)


def _never_ends(connection: socket.socket, *_: object) -> bool:
    while True:
        connection.sendall(b"250-" + b"x" * 1_000 + b"\r\n")


@pytest.mark.parametrize(
    ("step", "answering", "kind"),
    [
        ("imap", _hangs, "timeout"),
        ("imap", _drips, "timeout"),
        ("smtp", _hangs, "timeout"),
        ("smtp", _drips, "timeout"),
        ("smtp", _never_ends, "unreadable"),
    ],
)
@on_loop
async def test_a_server_that_does_not_end_costs_a_bounded_time_and_holds_nobody(step: str, answering: Answer, kind: str) -> None:
    greeting = [SMTP_GREETING] if step == "smtp" else []
    with scripted(answering, *greeting) as server, scripted(lambda *_: False) as good:
        bad = calls(**{f"{step}_host": "127.0.0.1", f"{step}_port": server.port, "imap_tls": "none"})[step]
        fine = calls(imap_host="127.0.0.1", imap_port=good.port, imap_tls="none")["imap"]
        opened = (f"{step}://127.0.0.1:{server.port}", f"imap://127.0.0.1:{good.port}")
        made = logins(*opened, seconds=2, plain_loopback=True)
        began = time.monotonic()
        hanging = [asyncio.create_task(made.call(bad, "email")) for _ in range(7)]
        await asyncio.sleep(0.1)
        answer = await made.call(fine, "email")
        assert isinstance(answer, ProviderResponse)
        assert kind == "unreadable" or not any(call.done() for call in hanging)  # too much is known before the time is over
        answers = await asyncio.gather(*hanging)
        assert time.monotonic() - began < allowed(2.5)
        assert {one.kind for one in answers if isinstance(one, TransportFault)} == {kind}
        made.close()
        # Their threads saw the cut: they end, although nothing came.
        async with asyncio.timeout(5):
            await asyncio.to_thread(made._threads.shutdown, True)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is ours, and where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("step", ["imap", "smtp"])
@on_loop
async def test_nobody_there_and_a_name_without_address(step: str, closed_port: int) -> None:
    async def nothing(name: str) -> Sequence[str]:
        raise OSError("no such name")

    call = calls(**{f"{step}_host": "127.0.0.1", f"{step}_port": closed_port, "smtp_tls": "implicit"})[step]
    answer = await asked(logins(f"{step}s://127.0.0.1:{closed_port}"), call)
    assert answer == TransportFault(kind="connect", may_have_left=False)
    call = calls(**{f"{step}_host": "mail.example.com"})[step]
    answer = await asked(logins(lookup=nothing), call)
    assert answer == TransportFault(kind="connect", may_have_left=False, detail="name_unresolved")
