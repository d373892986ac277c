"""The port for operators: `/healthz` (the process lives), `/readyz` (it can work), `/metrics` (Prometheus text)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from shared.domain.errors import ConfigError

Readiness = Callable[[], tuple[bool, str]]  # (ready, short reason)


class OperationsServer:
    """Serves the three pages from a thread of its own; `start` raises ConfigError when the port is taken."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, readiness: Readiness) -> None:
        self._address = (host, port)
        self._registry = registry
        self._readiness = readiness
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """The port in use (the one given, or the one chosen where 0 was given)."""
        if self._server is None:
            return self._address[1]
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen; returns at once."""
        try:
            self._server = ThreadingHTTPServer(self._address, _handler(self._registry, self._readiness))
        except OSError as error:
            raise ConfigError(f"operations port {self._address[0]}:{self._address[1]} cannot be opened: {error}") from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="operations", daemon=True, args=(0.2,)).start()

    def stop(self) -> None:
        """Stop listening; waits for the serving thread's loop to end (at most 0.2 s)."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _handler(registry: CollectorRegistry, readiness: Readiness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # a stalled scraper must not keep a thread for ever

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif path == "/healthz":
                self._answer(200, b"alive\n")
            elif path == "/readyz":
                ready, reason = readiness()
                self._answer(200 if ready else 503, f"{reason}\n".encode())
            else:
                self._answer(404, b"try /healthz, /readyz or /metrics\n")

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not worth a log line."""

    return Handler
