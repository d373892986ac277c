"""Mailgun: routes post a form whose token is signed (the rest is not), events come as signed JSON.

Source: https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/ and …/webhooks/securing-webhooks
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from services.simulator.mail import Letter
from services.simulator.mail_stand_in import MailStandIn
from services.simulator.multipart import multipart
from services.simulator.people import Person
from services.simulator.stand_in import Element
from services.simulator.utterances import Receipt
from services.simulator.wire import Post

_EVENTS = {"sent": "accepted", "delivered": "delivered", "failed": "failed", "read": "opened"}


class Mailgun(MailStandIn):
    """`secret` is the HTTP webhook signing key. `about["raw"]`: the route's URL ends in `mime`, the mail comes whole."""

    name = "mailgun"
    default_secret = "simulated-mailgun-signing-key"

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """An event about a mail of ours."""
        told: dict[str, Any] = {
            "event": _EVENTS[what.status],
            "id": f"ev{self.next_id():06d}",
            "timestamp": self.world.clock.now_ms / 1000,
            "recipient": who.mail,
            "message": {"headers": {"message-id": what.message_id, "to": who.mail, "from": account}},
        }
        if what.status == "failed":
            told |= {
                "severity": "permanent",
                "reason": "bounce",
                "delivery-status": {"code": what.error_code or 550, "message": "No"},
            }
        self.queue(account, told, f"event {what.status}")

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """The form of one mail, or the JSON of one event. A token is used once; a repeat carries the first one's."""
        account = self.accounts[elements[0].account]
        payload = elements[0].payload
        label = payload.message_id if isinstance(payload, Letter) else payload["id"]
        seconds = payload.date.timestamp() if isinstance(payload, Letter) else payload["timestamp"]
        signed = self._signature(account.secret, str(int(seconds)), label)
        if not isinstance(payload, Letter):
            body = json.dumps({"signature": signed, "event-data": payload}).encode()
            return Post(url=account.callback_url, headers=(("Content-Type", "application/json"),), body=body)
        fields = self._mail_fields(payload, raw=bool(account.about.get("raw"))) + list(signed.items())
        files = [("attachment-1", *payload.file)] if payload.file and not account.about.get("raw") else []
        kind, body = multipart(fields, files)
        return Post(url=account.callback_url, headers=(("Content-Type", kind), ("User-Agent", "mailgun/treq")), body=body)

    def _signature(self, key: str, timestamp: str, label: str) -> dict[str, str]:
        token = hashlib.sha256(f"{self.world.seed}/{label}".encode()).hexdigest()[:50]
        digest = hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
        return {"timestamp": timestamp, "token": token, "signature": digest}

    def _mail_fields(self, letter: Letter, *, raw: bool) -> list[tuple[str, str]]:
        fields = [
            ("recipient", letter.to),
            ("sender", letter.sender.mail),
            ("from", f"{letter.sender.name} <{letter.sender.mail}>"),
            ("subject", letter.subject),
            ("Message-Id", f"<{letter.message_id}>"),
            ("X-Mailgun-Sflag", "No"),
        ]
        if raw:
            return [*fields, ("body-mime", letter.mime().decode())]
        return [
            *fields,
            ("body-plain", letter.plain),
            ("body-html", letter.html),
            ("stripped-text", letter.text),
            ("stripped-html", letter.html),
            ("message-headers", json.dumps(letter.headers)),
            *([("attachment-count", "1")] if letter.file else []),
        ]
