"""What the edge answers, as an ASGI application: the servers under comparison differ in HTTP only. Checks, stores nothing."""

from __future__ import annotations

import hmac
import os
import re
from typing import Any
from urllib.parse import parse_qs

SECRET = os.environ["RIVAL_SECRET"].encode()
TOKEN = os.environ["RIVAL_TOKEN"]
_PATH = re.compile(r"/webhooks/[0-9a-fA-F-]{36}(/[0-9a-fA-F-]{36})?")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Path, method, signature over the whole body."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    status, text = _judge(scope, body)
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def _judge(scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    if not _PATH.fullmatch(scope["path"]):
        return 404, b""
    if scope["method"] == "GET":
        query = parse_qs(scope["query_string"].decode("latin-1"))
        genuine = hmac.compare_digest(query.get("hub.verify_token", [""])[0], TOKEN)
        return (200, query["hub.challenge"][0].encode()) if genuine else (403, b"")
    if scope["method"] != "POST":
        return 405, b""
    given = [value for name, value in scope["headers"] if name.lower() == b"x-hub-signature-256"]
    expected = b"sha256=" + hmac.digest(SECRET, body, "sha256").hex().encode()
    return (200, b"") if len(given) == 1 and hmac.compare_digest(given[0], expected) else (401, b"")
