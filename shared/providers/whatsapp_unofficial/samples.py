"""Webhook bodies as the three servers would post them, for trying things out: the CLI, the demo, tests and benches. Pure.

Written from their documentation, and the proofs from RFC 2104 and RFC 7519; nothing of `receiving` or the normalisers is used,
so that a fault there cannot hide here. All numbers and ids are invented.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

JsonObject = dict[str, Any]

INSTANCE = "loja-centro"
OWN_NUMBER = "551140000001"
SENDER = "5511900000001"
SENDER_LID = "99000000000001"
SENDER_NAME = "Example Person"
TIMESTAMP = 1_790_000_000
EVOLUTION_KEY = "must-never-leave-the-sealed-record"


def encode(body: Mapping[str, Any]) -> bytes:
    """The bytes to post: JSON in UTF-8 on one line."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def evolution(event: str, data: Any, instance: str = INSTANCE) -> JsonObject:
    """A body of Evolution, with its key in it and a time that calls local time UTC."""
    return {
        "event": event,
        "instance": instance,
        "data": data,
        "destination": "https://edge.example/webhooks/1",
        "date_time": "2026-09-21T10:15:00.000Z",
        "sender": f"{OWN_NUMBER}@s.whatsapp.net",
        "server_url": "https://evolution.example",
        "apikey": EVOLUTION_KEY,
    }


def evolution_message(message_id: str, message: JsonObject | None, type_: str, **more: Any) -> JsonObject:
    """A `messages.upsert` from SENDER, whose hidden id is known too."""
    key = {"remoteJid": f"{SENDER}@s.whatsapp.net", "remoteJidAlt": f"{SENDER_LID}@lid", "fromMe": False, "id": message_id}
    data = {
        "key": key,
        "pushName": SENDER_NAME,
        "status": "DELIVERY_ACK",
        "message": message,
        "messageType": type_,
        "messageTimestamp": TIMESTAMP,
        "instanceId": "1f0c0000-0000-4000-8000-000000000001",
        "source": "android",
        **more,
    }
    return evolution("messages.upsert", data)


def waha(event: str, payload: Any, session: str = INSTANCE) -> JsonObject:
    """A body of WAHA."""
    return {
        "id": "evt_01example00000000000000000",
        "timestamp": TIMESTAMP * 1000 + 123,
        "event": event,
        "session": session,
        "metadata": {},
        "me": {"id": f"{OWN_NUMBER}@c.us", "pushName": "Loja"},
        "payload": payload,
        "engine": "NOWEB",
        "environment": {"version": "2026.7.1", "engine": "NOWEB", "tier": "PLUS"},
    }


def waha_message(message_id: str, body: str, event: str = "message", **more: Any) -> JsonObject:
    """A `message` from SENDER, whose hidden id the engine knows too."""
    payload = {
        "id": f"false_{SENDER}@c.us_{message_id}",
        "timestamp": TIMESTAMP,
        "from": f"{SENDER}@c.us",
        "to": f"{OWN_NUMBER}@c.us",
        "fromMe": False,
        "source": "app",
        "body": body,
        "hasMedia": False,
        "media": None,
        "ack": 1,
        "ackName": "SERVER",
        "vCards": [],
        "_data": {"key": {"remoteJidAlt": f"{SENDER_LID}@lid"}, "pushName": SENDER_NAME},
        **more,
    }
    return waha(event, payload)


def zapi(type_: str, /, **fields: Any) -> JsonObject:
    """A callback of Z-API."""
    return {"type": type_, "instanceId": INSTANCE, "connectedPhone": OWN_NUMBER, "momment": TIMESTAMP * 1000, **fields}


def zapi_message(message_id: str, **more: Any) -> JsonObject:
    """A `ReceivedCallback` from SENDER; `more` has the content's object."""
    envelope = {
        "isStatusReply": False,
        "chatLid": f"{SENDER_LID}@lid",
        "waitingMessage": False,
        "isEdit": False,
        "isGroup": False,
        "isNewsletter": False,
        "messageId": message_id,
        "phone": SENDER,
        "fromMe": False,
        "fromApi": False,
        "status": "RECEIVED",
        "chatName": SENDER_NAME,
        "senderName": SENDER_NAME,
        "senderPhoto": None,
        "participantPhone": None,
        "participantLid": None,
        "broadcast": False,
        "forwarded": False,
    }
    return zapi("ReceivedCallback", **(envelope | more))


def waha_hmac(body: bytes, secret: bytes | str) -> str:
    """The value of `X-Webhook-Hmac` for exactly these bytes."""
    return hmac.new(_key(secret), body, hashlib.sha512).hexdigest()


def evolution_jwt(secret: bytes | str, issued_at: int = TIMESTAMP, **claims: Any) -> str:
    """The value of `Authorization` that Evolution makes with `jwt_key`; it holds for ten minutes."""
    stated = {"iat": issued_at, "exp": issued_at + 600, "app": "evolution", "action": "webhook", **claims}
    return signed_jwt({"alg": "HS256", "typ": "JWT"}, stated, secret)


def signed_jwt(head: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes | str) -> str:
    """A bearer token with any head and claims, signed by HMAC-SHA256."""
    signed = f"{_segment(encode(head))}.{_segment(encode(claims))}"
    digest = hmac.new(_key(secret), signed.encode("ascii"), hashlib.sha256).digest()
    return f"Bearer {signed}.{_segment(digest)}"


def zapi_query(secret: bytes | str) -> str:
    """The query of the URL that Z-API was given."""
    return f"secret={quote(_key(secret), safe='')}"


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _key(secret: bytes | str) -> bytes:
    return secret.encode("utf-8") if isinstance(secret, str) else secret
