"""A tiny IMAP server that answers what a test tells it to: for what no honest server would say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[socket.socket, bytes, bytes], bool]
"""(connection, tag, command) → whether it was answered; what was not gets the usual answer."""

GREETING = b"* OK [CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN] ready\r\n"
CAPABILITY = b"* CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN\r\n"


def relay(connection: socket.socket, command: bytes, _rest: bytes) -> bool:
    """An `Answer`: the least of an SMTP server (RFC 5321), begun with RELAY_GREETING; it takes everything and keeps nothing."""
    connection.sendall(b"250-relay.example\r\n250 8BITMIME\r\n" if command.upper() == b"EHLO" else b"250 2.0.0 ok\r\n")
    return True


RELAY_GREETING = b"220 relay.example ESMTP\r\n"


class ScriptedServer:
    """Serves any number of connections on `port`, each in a thread, until closed. `commands` is all that was received."""

    def __init__(self, answer: Answer, greeting: bytes = GREETING) -> None:
        self._answer = answer
        self._greeting = greeting
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.commands: list[bytes] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Close everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in (self._accepting, *self._threads):
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(self._greeting)
                for line in _lines(connection):
                    self.commands.append(line)
                    tag, _, command = line.partition(b" ")
                    if not self._answer(connection, tag, command):
                        _usual(connection, tag, command)
            except OSError:
                return


def _lines(connection: socket.socket) -> Iterator[bytes]:
    buffer = b""
    while data := connection.recv(4096):
        buffer += data
        while b"\r\n" in buffer:
            line, _, buffer = buffer.partition(b"\r\n")
            yield line


def read_line(connection: socket.socket) -> bytes:
    """What the client says in the middle of a command, with its end."""
    line = b""
    while not line.endswith(b"\r\n"):
        data = connection.recv(4096)
        if not data:
            raise ConnectionResetError
        line += data
    return line


def _usual(connection: socket.socket, tag: bytes, command: bytes) -> None:
    name = command.split(b" ")[0].upper()
    if name == b"CAPABILITY":
        connection.sendall(CAPABILITY)
    elif name == b"AUTHENTICATE":
        connection.sendall(b"+ \r\n")
        read_line(connection)
    elif name in (b"EXAMINE", b"SELECT"):
        connection.sendall(b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 2] ok\r\n")
    elif name == b"LOGOUT":
        connection.sendall(b"* BYE\r\n")
    elif command.upper().startswith(b"UID SEARCH"):
        connection.sendall(b"* SEARCH 1\r\n")
    elif name == b"IDLE":
        connection.sendall(b"+ idling\r\n")
        read_line(connection)
    connection.sendall(tag + b" OK done\r\n")


@contextmanager
def scripted(answer: Answer, greeting: bytes = GREETING) -> Iterator[ScriptedServer]:
    """A server for one block."""
    server = ScriptedServer(answer, greeting)
    try:
        yield server
    finally:
        server.close()
