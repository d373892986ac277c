"""SendGrid: Inbound Parse posts a form, events come in batches as a signed JSON array.

Source: https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook and
…/tracking-events/getting-started-event-webhook-security-features (ECDSA over timestamp and raw body).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.simulator.mail import Letter
from services.simulator.mail_stand_in import MailStandIn
from services.simulator.multipart import multipart
from services.simulator.people import Person
from services.simulator.stand_in import Account, Element
from services.simulator.utterances import Receipt
from services.simulator.wire import Post

_EVENTS = {"sent": "processed", "delivered": "delivered", "failed": "bounce", "read": "open"}
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Sendgrid(MailStandIn):
    """`secret` is the public key that SendGrid shows (base64 DER); the private one is in `about["private_key"]`.
    With a `secret` of its own an inbox is one whose URL carries it."""

    name = "sendgrid"
    max_batch = 1_000

    def create(self, **about: Any) -> Account:
        """An inbox with a signing key out of the seed."""
        account = super().create(**about)
        shared = "secret" in about
        label = f"{self.world.seed}/{account.id}".encode()
        number = int.from_bytes(hashlib.sha256(label).digest(), "big") % (_P256_ORDER - 1) + 1
        private = ec.derive_private_key(number, ec.SECP256R1())
        spki = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        account.about["private_key"] = private
        account.secret = account.secret if shared else base64.b64encode(spki).decode()
        return account

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """An event about a mail of ours."""
        number = self.next_id()
        told: dict[str, Any] = {
            "email": who.mail,
            "timestamp": self.world.clock.now_seconds,
            "event": _EVENTS[what.status],
            "sg_event_id": base64.urlsafe_b64encode(f"event{number:06d}".encode()).decode(),
            "sg_message_id": f"{what.message_id}.filter0001",
            "smtp-id": f"<{what.message_id}>",
        }
        if what.status == "failed":
            told |= {"type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 The account does not exist"}
        self.queue(account, told, f"event {what.status}")

    def _groups(self, elements: Any) -> list[list[Element]]:
        """Events come together; a mail comes alone."""
        groups: list[list[Element]] = []
        for element in elements:
            joins = groups and not isinstance(groups[-1][0].payload, Letter) and not isinstance(element.payload, Letter)
            if joins and len(groups[-1]) < self.disturbance.batch and groups[-1][0].account == element.account:
                groups[-1].append(element)
            else:
                groups.append([element])
        return groups

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One mail as a form, or an array of events; both signed as the security features say."""
        account = self.accounts[elements[0].account]
        first = elements[0].payload
        if isinstance(first, Letter):
            kind, body = self._form(first, raw=bool(account.about.get("raw")))
        else:
            kind, body = "application/json", json.dumps([element.payload for element in elements]).encode()
        timestamp = str(now_ms // 1000)
        signature = account.about["private_key"].sign(
            timestamp.encode() + body, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        )
        return Post(
            url=account.callback_url,
            headers=(
                ("Content-Type", kind),
                ("User-Agent", "SendGrid Event API"),
                ("X-Twilio-Email-Event-Webhook-Signature", base64.b64encode(signature).decode()),
                ("X-Twilio-Email-Event-Webhook-Timestamp", timestamp),
            ),
            body=body,
        )

    def _form(self, letter: Letter, *, raw: bool) -> tuple[str, bytes]:
        envelope = json.dumps({"to": [letter.to], "from": letter.sender.mail})
        fields = [("to", letter.to), ("from", f"{letter.sender.name} <{letter.sender.mail}>"), ("subject", letter.subject)]
        fields += [("envelope", envelope), ("dkim", "{@cliente.example : pass}"), ("SPF", "pass"), ("sender_ip", "192.0.2.1")]
        if raw:
            return multipart([*fields, ("email", letter.mime().decode())])
        head = "".join(f"{name}: {value}\n" for name, value in letter.headers)
        names = ("to", "from", "subject", "text", "html")
        fields += [("headers", head), ("text", letter.plain), ("html", letter.html)]
        fields += [("charsets", json.dumps(dict.fromkeys(names, "UTF-8"))), ("attachments", "1" if letter.file else "0")]
        if letter.file is None:
            return multipart(fields)
        name, mime_type, _ = letter.file
        info = {"attachment1": {"filename": name, "name": name, "type": mime_type}}
        return multipart([*fields, ("attachment-info", json.dumps(info))], [("attachment1", *letter.file)])
