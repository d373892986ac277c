"""Bodies, session tokens and signatures as a widget or a customer's server would make them. Pure.

Written from docs/WEBCHAT.md, RFC 7519 and Standard Webhooks; nothing of `receiving` or `normalise` is used, so that a fault
there cannot hide here. All ids are invented.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

JsonObject = dict[str, Any]

WIDGET_ID = "wgt_example1"
VISITOR_ID = "vis_example1"
SESSION_ID = "ses_example1"
ORIGIN = "https://www.example.com"
ISSUER = "webchat"
TIMESTAMP = 1_790_000_000


def text_message(
    *, message_id: str, text: str = "Hello, I have a question about my order.", visitor_id: str = VISITOR_ID
) -> JsonObject:
    """A body with one text message."""
    return body([{"type": "text", "client_message_id": message_id, "text": text}], visitor_id=visitor_id)


def body(
    events: Sequence[Mapping[str, Any]],
    *,
    widget_id: str = WIDGET_ID,
    visitor_id: str = VISITOR_ID,
    session_id: str = SESSION_ID,
    external_user_id: str | None = None,
    name: str | None = None,
) -> JsonObject:
    """A body with these events."""
    whose: JsonObject = {"widget_id": widget_id, "visitor_id": visitor_id, "session_id": session_id}
    if external_user_id is not None:
        whose["external_user_id"] = external_user_id
    if name is not None:
        whose["visitor"] = {"name": name}
    return {**whose, "events": [dict(event) for event in events]}


def encode(document: Mapping[str, Any]) -> bytes:
    """The bytes to post: JSON in UTF-8 on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def claims(
    *, widget_id: str = WIDGET_ID, visitor_id: str = VISITOR_ID, session_id: str = SESSION_ID, issued_at: int = TIMESTAMP
) -> JsonObject:
    """What a session token of one hour says."""
    return {
        "iss": ISSUER,
        "aud": widget_id,
        "sub": visitor_id,
        "sid": session_id,
        "iat": issued_at,
        "exp": issued_at + 3600,
        "origin": ORIGIN,
    }


def session_token(said: Mapping[str, Any], key: bytes, head: Mapping[str, Any] | None = None) -> str:
    """A compact token signed HS256."""
    signed = f"{_part(head or {'alg': 'HS256', 'typ': 'JWT'})}.{_part(said)}"
    return f"{signed}.{_base64url(hmac.new(key, signed.encode('ascii'), hashlib.sha256).digest())}"


def browser_headers(token: str, origin: str = ORIGIN) -> dict[str, str]:
    """What a browser sends along."""
    return {"Authorization": f"Bearer {token}", "Origin": origin, "Content-Type": "application/json"}


def signed_headers(document: bytes, secret: str, *, message_id: str, timestamp: int = TIMESTAMP) -> dict[str, str]:
    """What a customer's server sends along: Standard Webhooks; `secret` is `whsec_<base64>`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + document
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}


def _part(document: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(document, separators=(",", ":")).encode("utf-8"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
