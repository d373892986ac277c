"""A schema registry in this process: the two calls that we use, answered as Confluent's API describes them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RegistryDouble:
    """`requests` lists every call; `fail_with` makes it answer with this status."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.schemas: list[str] = []
        self.subjects: dict[str, int] = {}
        self.requests: list[str] = []
        self.logins: list[str | None] = []
        self.fail_with: int | None = None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON of one call."""
        self.requests.append(f"{method} {path}")
        if self.fail_with is not None:
            return self.fail_with, {"error_code": self.fail_with * 100 + 1, "message": "as asked"}
        parts = path.strip("/").split("/")
        if method == "POST" and parts[0] == "subjects":
            text = json.loads(body)["schema"]
            if text not in self.schemas:
                self.schemas.append(text)
            self.subjects[parts[1]] = self.schemas.index(text) + 1
            return 200, {"id": self.subjects[parts[1]]}
        if method == "GET" and parts[:2] == ["schemas", "ids"] and 0 < int(parts[2]) <= len(self.schemas):
            return 200, {"schema": self.schemas[int(parts[2]) - 1]}
        return 404, {"error_code": 40403, "message": "Schema not found"}


@contextmanager
def registry_double() -> Iterator[RegistryDouble]:
    """A running double on a free port; stopped at the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply()

        def do_POST(self) -> None:
            self._reply()

        def _reply(self) -> None:
            double.logins.append(self.headers.get("Authorization"))
            status, answer = double.answer(self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Silent: the test sees `requests`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double = RegistryDouble(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
