"""What a hostile or broken mail server can do to us: cost a bounded time and memory, and end in one of the typed errors."""

from __future__ import annotations

import socket
import ssl
import time
import tracemalloc
from collections.abc import Callable

import pytest

from shared.adapters.imap import (
    Endpoint,
    FolderMissing,
    ImapConnection,
    LoginRefused,
    PasswordLogin,
    Refused,
    ServerAway,
    ServerFaulty,
    TokenLogin,
)
from shared.domain.errors import ChannelsError
from tests.mail.scripted import Answer, ScriptedServer, read_line, scripted
from tests.waiting import allowed

LOGIN = PasswordLogin(username="ana@example.com", password="a password of the tests")


def connected(server: ScriptedServer, seconds: float = 1.0) -> ImapConnection:
    endpoint = Endpoint(host="127.0.0.1", port=server.port, tls=None)
    return ImapConnection(endpoint, connect_seconds=seconds, command_seconds=seconds)


def opened(server: ScriptedServer, seconds: float = 1.0) -> ImapConnection:
    connection = connected(server, seconds)
    connection.login(LOGIN)
    connection.open_folder("INBOX")
    return connection


def to(command: bytes, *answers: bytes) -> Answer:
    """Answer this command with these bytes, `%t` being the tag."""

    def answer(connection: socket.socket, tag: bytes, line: bytes) -> bool:
        if not line.upper().startswith(command):
            return False
        for data in answers:
            connection.sendall(data.replace(b"%t", tag))
        return True

    return answer


def flooding(command: bytes, data: bytes) -> Answer:
    """Answer this command with the same bytes without end."""

    def answer(connection: socket.socket, tag: bytes, line: bytes) -> bool:
        if line.upper().startswith(command):
            while True:
                connection.sendall(data)
        return False

    return answer


def the_whole_way(connection: ImapConnection) -> None:
    connection.login(LOGIN)
    connection.open_folder("INBOX")
    connection.highest_uid()
    connection.part(1, 0, 1000)
    connection.idle(0.2, lambda: False)


FETCH = b"UID FETCH"
SEARCH = b"UID SEARCH"
CALLS: dict[bytes, Callable[[ImapConnection], object]] = {
    SEARCH: lambda connection: connection.uids(1, 9),
    FETCH: lambda connection: connection.part(1, 0, 1000),
    b"IDLE": lambda connection: connection.idle(10, lambda: False),
}


@pytest.mark.parametrize(
    ("answer", "call", "expected"),
    [
        (to(FETCH, b"* 1 FETCH (UID 1 BODY[]<0> {2000000000}\r\n"), lambda c: c.part(1, 0, 1000), ServerFaulty),
        (
            to(FETCH, b"* 1 FETCH (UID 1 BODY[]<0> {1001}\r\n" + b"x" * 1001 + b")\r\n%t OK ok\r\n"),
            lambda c: c.part(1, 0, 1000),
            ServerFaulty,
        ),
        (to(FETCH, b"* 1 FETCH (UID 1 BODY[]<0> {9}\r\nabc"), lambda c: c.part(1, 0, 1000), ServerAway),
        (to(FETCH, b"* 1 FETCH (UID 1 BODY[]<0>\r\n%t OK ok\r\n"), lambda c: c.part(1, 0, 1000), ChannelsError),
        (to(FETCH, b"* 1 FETCH (UID x)\r\n%t OK ok\r\n"), lambda c: c.part(1, 0, 1000), ChannelsError),
        (to(FETCH, b"* 1 FETCH " + b"(" * 50_000 + b"\r\n%t OK ok\r\n"), lambda c: c.part(1, 0, 1000), ChannelsError),
        (to(FETCH, b"%t NO not this one\r\n"), lambda c: c.part(1, 0, 1000), Refused),
        (to(FETCH, b"%t BAD what\r\n"), lambda c: c.part(1, 0, 1000), Refused),
        (to(FETCH, b"* BYE going down\r\n"), lambda c: c.part(1, 0, 1000), ServerAway),
        (to(FETCH, b"\x00\xff garbage \x80\r\n"), lambda c: c.part(1, 0, 1000), ChannelsError),
        (to(SEARCH, b"* SEARCH 1 \xff\xfe\r\n%t OK ok\r\n"), lambda c: c.uids(1, 9), ChannelsError),
        (to(SEARCH, b"* SEARCH 1\r\n* SEARCH 2\r\n%t OK ok\r\n"), lambda c: c.uids(1, 9), ServerFaulty),
        (to(b"IDLE", b"%t NO no\r\n"), lambda c: c.idle(1, lambda: False), ChannelsError),
        (to(b"IDLE", b"+ \r\n* BYE\r\n"), lambda c: c.idle(1, lambda: False), ServerAway),
    ],
)
def test_answers_that_break_the_protocol(
    answer: Answer, call: Callable[[ImapConnection], object], expected: type[ChannelsError]
) -> None:
    with scripted(answer) as server:
        connection = opened(server)
        try:
            with pytest.raises(expected):
                call(connection)
        finally:
            connection.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"%t NO no such folder\r\n", FolderMissing),
        (b"* 1 EXISTS\r\n%t OK ok\r\n", ServerFaulty),
        (b"* OK [UIDVALIDITY 0] ok\r\n* 1 EXISTS\r\n%t OK ok\r\n", ServerFaulty),
        (b"* OK [UIDVALIDITY 99999999999] ok\r\n* 1 EXISTS\r\n%t OK ok\r\n", ServerFaulty),
        (b"* OK [UIDVALIDITY x] ok\r\n* 1 EXISTS\r\n%t OK ok\r\n", ServerFaulty),
    ],
)
def test_a_folder_without_a_sound_uidvalidity_is_not_read(answer: bytes, expected: type[ChannelsError]) -> None:
    with scripted(to(b"EXAMINE", answer)) as server:
        connection = connected(server)
        connection.login(LOGIN)
        with pytest.raises(expected):
            connection.open_folder("INBOX")
        connection.close()


@pytest.mark.parametrize("command", [b"AUTHENTICATE", b"EXAMINE", SEARCH, FETCH, b"IDLE", b"NOOP"])
def test_a_server_that_stalls_costs_its_deadline(command: bytes) -> None:
    def stall(connection: socket.socket, tag: bytes, line: bytes) -> bool:
        return line.upper().startswith(command)

    with scripted(stall) as server:
        connection = connected(server, 0.5)
        began = time.monotonic()
        with pytest.raises(ServerAway):
            the_whole_way(connection)
        assert time.monotonic() - began < allowed(3)
        connection.close()


def test_a_server_that_drips_costs_its_deadline() -> None:
    def drip(connection: socket.socket, tag: bytes, line: bytes) -> bool:
        if not line.upper().startswith(FETCH):
            return False
        connection.sendall(b"* 1 FETCH (UID 1 BODY[]<0> {1000}\r\n")
        while True:  # each byte comes within any time limit of a single read
            connection.sendall(b"x")
            time.sleep(0.05)

    with scripted(drip) as server:
        connection = opened(server, 0.6)
        began = time.monotonic()
        with pytest.raises(ServerAway, match="too long"):
            connection.part(1, 0, 1000)
        assert time.monotonic() - began < allowed(2)
        connection.close()


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (FETCH, b"* OK still here\r\n" * 1000),
        (SEARCH, b"x" * 65536),
        (b"IDLE", b"* OK still here\r\n" * 1000),
        (FETCH, b"1 " * 32768),
    ],
)
def test_a_flood_costs_a_few_megabytes(command: bytes, data: bytes) -> None:
    with scripted(flooding(command, data)) as server:
        connection = opened(server, 10)
        tracemalloc.start()
        try:
            with pytest.raises(ServerFaulty):
                CALLS[command](connection)
            assert tracemalloc.get_traced_memory()[1] < 40_000_000
        finally:
            tracemalloc.stop()
            connection.close()


def test_a_notice_that_comes_with_the_answer_to_idle_is_not_overheard() -> None:
    with scripted(to(b"IDLE", b"* 2 EXISTS\r\n+ idling\r\n", b"%t OK ok\r\n")) as server:
        connection = opened(server)
        began = time.monotonic()
        assert connection.idle(30, lambda: False)
        assert time.monotonic() - began < allowed(1)
        connection.close()
    with scripted(to(b"IDLE", b"+ idling\r\n* 2 EXISTS\r\n", b"%t OK ok\r\n")) as server:
        connection = opened(server)
        assert connection.idle(30, lambda: False)
        connection.close()


def test_what_comes_in_the_clear_behind_starttls_is_not_believed() -> None:
    greeting = b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"
    injected = to(b"STARTTLS", b"%t OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")
    with scripted(injected, greeting) as server:
        endpoint = Endpoint(host="127.0.0.1", port=server.port, tls=ssl.create_default_context(), starttls=True)
        with pytest.raises(ServerAway, match="STARTTLS"):
            ImapConnection(endpoint, connect_seconds=2, command_seconds=2)
        assert not any(b"LOGIN" in line or b"AUTHENTICATE" in line for line in server.commands)


def test_a_server_without_starttls_gets_no_password() -> None:
    with scripted(to(b"STARTTLS", b"%t BAD what\r\n")) as server:
        endpoint = Endpoint(host="127.0.0.1", port=server.port, tls=ssl.create_default_context(), starttls=True)
        with pytest.raises(ServerAway, match="STARTTLS"):
            ImapConnection(endpoint, connect_seconds=2, command_seconds=2)
        assert not any(b"AUTHENTICATE" in line for line in server.commands)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (b"[AUTHENTICATIONFAILED] no", LoginRefused),
        (b"AUTHENTICATE failed.", LoginRefused),
        (b"[UNAVAILABLE] later", ServerAway),
        (b"[INUSE] later", ServerAway),
        (b"User is authenticated but not connected.", ServerAway),
    ],
)
def test_a_refusal_for_now_is_no_refusal_of_the_credential(told: bytes, expected: type[ChannelsError]) -> None:
    with scripted(to(b"AUTHENTICATE", b"%t NO " + told + b"\r\n")) as server:
        connection = connected(server)
        with pytest.raises(expected) as caught:
            connection.login(LOGIN)
        assert "password of the tests" not in str(caught.value)
        connection.close()


def test_xoauth2_is_googles_and_answers_a_refusal_with_an_empty_line() -> None:
    seen: list[bytes] = []

    def google(connection: socket.socket, tag: bytes, line: bytes) -> bool:
        if not line.startswith(b"AUTHENTICATE XOAUTH2"):
            return False
        connection.sendall(b"+ \r\n")
        seen.append(read_line(connection))
        connection.sendall(b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
        seen.append(read_line(connection))
        connection.sendall(tag + b" NO SASL authentication failed\r\n")
        return True

    with scripted(google) as server:
        connection = connected(server)
        with pytest.raises(LoginRefused):
            connection.login(
                TokenLogin(username="test@contoso.onmicrosoft.com", access_token="EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA")
            )
        connection.close()
    # Microsoft's own example, byte for byte:
    # https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
    assert seen == [
        b"dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ==\r\n",
        b"\r\n",
    ]
