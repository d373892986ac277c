"""Webhook bodies as Meta would post them, for trying things out: the CLI, the demo, tests and benches. Pure.

Written from Meta's documentation, and `sign` from RFC 2104; nothing of `receiving` or `normalise` is used, so that a
fault there cannot hide here. All numbers and ids are invented.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

JsonObject = dict[str, Any]

WABA_ID = "200000000000001"
PHONE_NUMBER_ID = "100000000000001"
DISPLAY_PHONE_NUMBER = "551140000001"
SENDER = "5511900000001"
TIMESTAMP = 1_790_000_000


def wamid(unique: bytes) -> str:
    """A message id in Meta's form from bytes that nobody else uses (a UUID's, for instance)."""
    return f"wamid.{base64.b64encode(unique).decode('ascii')}"


def text_message(
    *,
    message_id: str,
    text: str = "Hello, I have a question about my order.",
    sender: str = SENDER,
    phone_number_id: str = PHONE_NUMBER_ID,
    timestamp: int = TIMESTAMP,
    name: str = "Example Person",
) -> JsonObject:
    """A body with one text message from `sender` to the number `phone_number_id`."""
    return message(
        {"type": "text", "text": {"body": text}},
        message_id=message_id,
        sender=sender,
        phone_number_id=phone_number_id,
        timestamp=timestamp,
        name=name,
    )


def message(
    content: Mapping[str, Any],
    *,
    message_id: str,
    sender: str = SENDER,
    phone_number_id: str = PHONE_NUMBER_ID,
    timestamp: int = TIMESTAMP,
    name: str = "Example Person",
) -> JsonObject:
    """A body with one message of any kind; `content` gives its `type` and the field of that name."""
    element = {"from": sender, "id": message_id, "timestamp": str(timestamp), **content}
    contact = {"profile": {"name": name}, "wa_id": sender}
    return _body(phone_number_id, {"contacts": [contact], "messages": [element]})


def status(
    *,
    message_id: str,
    status: str = "delivered",
    recipient: str = SENDER,
    phone_number_id: str = PHONE_NUMBER_ID,
    timestamp: int = TIMESTAMP,
    callback_data: str | None = None,
    error_code: int | None = None,
) -> JsonObject:
    """A body with one status of a message that was sent before; `error_code` belongs to `failed`."""
    element: JsonObject = {"id": message_id, "status": status, "timestamp": str(timestamp), "recipient_id": recipient}
    if callback_data is not None:
        element["biz_opaque_callback_data"] = callback_data
    if error_code is not None:
        element["errors"] = [{"code": error_code, "title": "Example error", "error_data": {"details": "Invented."}}]
    return _body(phone_number_id, {"statuses": [element]})


def batch(bodies: Sequence[Mapping[str, Any]]) -> JsonObject:
    """One body with the entries of several, in their order: Meta posts up to 1 000 updates at once."""
    return {"object": "whatsapp_business_account", "entry": [entry for body in bodies for entry in body["entry"]]}


def encode(body: Mapping[str, Any]) -> bytes:
    """The bytes to post: JSON in UTF-8 on one line."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def sign(body: bytes, secret: bytes | str) -> str:
    """The value of `X-Hub-Signature-256` for exactly these bytes under an app secret."""
    key = secret.encode("utf-8") if isinstance(secret, str) else secret
    return "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()


def _body(phone_number_id: str, parts: Mapping[str, Any]) -> JsonObject:
    metadata = {"display_phone_number": DISPLAY_PHONE_NUMBER, "phone_number_id": phone_number_id}
    value = {"messaging_product": "whatsapp", "metadata": metadata, **parts}
    entry = {"id": WABA_ID, "changes": [{"value": value, "field": "messages"}]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def content(kind: str, text: str, related: str) -> JsonObject:
    """Content for `message`: one of KINDS saying `text`; `related` is the id of another message, for a reaction."""
    file = {"id": "300000000000001", "sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}
    contents: JsonObject = {
        "text": {"body": text},
        "image": {**file, "mime_type": "image/jpeg", "caption": text},
        "video": {**file, "mime_type": "video/mp4", "caption": text},
        "audio": {**file, "mime_type": "audio/ogg; codecs=opus", "voice": True},
        "document": {**file, "mime_type": "application/pdf", "filename": "example.pdf", "caption": text},
        "sticker": {**file, "mime_type": "image/webp", "animated": False},
        "location": {"latitude": -23.55, "longitude": -46.63, "name": text},
        "contacts": [{"name": {"formatted_name": text}, "phones": [{"phone": "+55 11 90000-0002", "wa_id": "5511900000002"}]}],
        "interactive": {"type": "button_reply", "button_reply": {"id": "option-1", "title": text}},
        "button": {"payload": "option-1", "text": text},
        "reaction": {"message_id": related, "emoji": "\N{THUMBS UP SIGN}"},
        "something_new": {"body": text},
    }
    return {"type": kind, kind: contents[kind]}


KINDS = (
    *("text", "image", "video", "audio", "document", "sticker", "location", "contacts"),
    *("interactive", "button", "reaction", "something_new"),
)
