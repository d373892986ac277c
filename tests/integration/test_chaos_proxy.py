"""The campaign's proxy does what it says: it passes, cuts, delays and freezes, and changes nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Before a server that answers with what it gets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    proxy = Proxy()
    proxy.start(server.getsockname()[1])
    yield proxy
    proxy.stop()
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        yield client


def echoed(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    found = b""
    while len(found) < len(data):
        more = client.recv(65_536)
        if not more:
            break
        found += more
    return found


def test_bytes_pass_unchanged(client):
    data = bytes(range(256)) * 4096
    assert echoed(client, data) == data


def test_a_cut_resets_what_is_open_and_serves_what_comes(proxy, client):
    assert echoed(client, b"before") == b"before"
    assert proxy.cut() == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as again:
        assert echoed(again, b"after") == b"after"


def test_a_delay_holds_every_piece(proxy, client):
    assert echoed(client, b"before") == b"before"
    with proxy.delayed(0.1):
        began = time.monotonic()
        assert echoed(client, b"slow") == b"slow"
    assert time.monotonic() - began >= 0.2  # there and back


def test_a_freeze_moves_nothing_and_loses_nothing(proxy, client):
    assert echoed(client, b"before") == b"before"
    with proxy.frozen():
        client.sendall(b"held")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
    client.settimeout(5)
    assert client.recv(4) == b"held"
