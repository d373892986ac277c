"""Webhooks as the mail services would post them, for trying things out: the CLI, tests and benches. Pure.

Written from their documentation; nothing of `receiving` or `normalise` is used, so that a fault there cannot hide here. All
addresses and ids are invented.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SENDER = "lia@cliente.example"
INBOX = "loja@nos.example"
TIMESTAMP = 1_790_000_000
_BOUNDARY = "example-boundary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One webhook: body, and the headers that it comes with (names in lower case)."""

    body: bytes
    headers: Mapping[str, str]


def raw_mail(*, message_id: str, text: str = "Hello, I have a question.", sender: str = SENDER, to: str = INBOX) -> bytes:
    """A plain mail (RFC 5322), as a mailbox holds it."""
    lines = (
        f"From: Example Person <{sender}>",
        f"To: {to}",
        "Subject: A question",
        "Date: Mon, 21 Sep 2026 14:13:20 +0000",
        f"Message-ID: <{message_id}>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        *text.split("\n"),
        "",
    )
    return "\r\n".join(lines).encode()


def mailgun(mail: bytes, *, key: bytes, token: str, to: str = INBOX, timestamp: int = TIMESTAMP) -> Sample:
    """A route with a raw mail, signed under the webhook signing key. `token`: 50 characters, new for each."""
    signature = hmac.new(key, f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    fields = {
        "recipient": to.encode(),
        "body-mime": mail,
        "timestamp": str(timestamp).encode(),
        "token": token.encode(),
        "signature": signature.encode(),
    }
    return _form(fields)


def mailgun_event(event: str, *, message_id: str, key: bytes, token: str, timestamp: int = TIMESTAMP) -> Sample:
    """`delivered`, `failed`, `complained`, … about a mail that was sent."""
    signature = hmac.new(key, f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    about: dict[str, Any] = {
        "event": event,
        "id": f"event-{token[:8]}",
        "timestamp": timestamp,
        "recipient": SENDER,
        "envelope": {"sender": INBOX},
        "message": {"headers": {"message-id": message_id}},
    }
    if event == "failed":
        about |= {"severity": "permanent", "delivery-status": {"code": 550, "message": "5.1.1 no such user"}}
    signed = {"timestamp": str(timestamp), "token": token, "signature": signature}
    return _json({"signature": signed, "event-data": about})


def sendgrid(mail: bytes, *, to: str = INBOX, sender: str = SENDER) -> Sample:
    """Inbound Parse with a raw mail, unsigned (for `webhook_auth` `basic` or `url`)."""
    return _form({"email": mail, "envelope": json.dumps({"to": [to], "from": sender}).encode(), "SPF": b"pass"})


def postmark(*, message_id: str, text: str = "Hello, I have a question.", sender: str = SENDER, to: str = INBOX) -> Sample:
    """An inbound mail, parsed."""
    document = {
        "FromName": "Example Person",
        "MessageStream": "inbound",
        "From": sender,
        "FromFull": {"Email": sender, "Name": "Example Person", "MailboxHash": ""},
        "To": to,
        "OriginalRecipient": to,
        "Subject": "A question",
        "MessageID": "00000000-0000-4000-8000-000000000001",
        "Date": "Mon, 21 Sep 2026 14:13:20 +0000",
        "TextBody": text,
        "HtmlBody": "",
        "Headers": [{"Name": "Message-ID", "Value": f"<{message_id}>"}],
        "Attachments": [],
    }
    return _json(document)


def with_basic(sample: Sample, pair: bytes) -> Sample:
    """The same with `user:password` in the header (RFC 7617)."""
    return Sample(body=sample.body, headers={**sample.headers, "authorization": f"Basic {base64.b64encode(pair).decode()}"})


def pushed(mail: bytes, *, key: bytes, timestamp: int = TIMESTAMP) -> Sample:
    """A raw mail that one's own mail server posts (docs/EMAIL.md)."""
    signature = hmac.new(key, f"{timestamp}.".encode() + mail, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "message/rfc822",
        "x-channels-timestamp": str(timestamp),
        "x-channels-signature": f"sha256={signature}",
    }
    return Sample(body=mail, headers=headers)


def _form(fields: Mapping[str, bytes]) -> Sample:
    body = b"".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in fields.items()
    )
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    return Sample(body=body + f"--{_BOUNDARY}--\r\n".encode(), headers={"content-type": kind})


def _json(document: Mapping[str, Any]) -> Sample:
    return Sample(body=json.dumps(document, ensure_ascii=False).encode(), headers={"content-type": "application/json"})
