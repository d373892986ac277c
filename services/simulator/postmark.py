"""Postmark: inbound mails and events as JSON, proven by basic authentication in the URL. It signs nothing.

Source: https://postmarkapp.com/developer/webhooks/inbound-webhook and …/webhooks-overview
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from services.simulator.mail import Letter
from services.simulator.mail_stand_in import MailStandIn
from services.simulator.people import Person
from services.simulator.stand_in import Element
from services.simulator.utterances import Receipt
from services.simulator.wire import Post


class Postmark(MailStandIn):
    """`secret` is `user:password` of the URL."""

    name = "postmark"
    default_secret = "postmark:simulated-password"

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """An event about a mail of ours; nothing is told of `sent`."""
        when = datetime.fromtimestamp(self.world.clock.now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        common = {"MessageID": what.message_id, "MessageStream": "outbound", "ServerID": 23, "Metadata": {}, "Tag": ""}
        told: dict[str, dict[str, Any]] = {
            "delivered": {"RecordType": "Delivery", "Recipient": who.mail, "DeliveredAt": when, "Details": "ok"},
            "failed": {
                "RecordType": "Bounce",
                "ID": self.next_id(),
                "Type": "HardBounce",
                "TypeCode": 1,
                "Name": "Hard bounce",
                "Email": who.mail,
                "From": account,
                "BouncedAt": when,
                "Description": "No such user",
                "Inactive": True,
            },
            "read": {"RecordType": "Open", "Recipient": who.mail, "ReceivedAt": when, "FirstOpen": True},
        }
        if what.status not in told:
            raise KeyError(f"postmark tells nothing of {what.status}")
        self.queue(account, common | told[what.status], f"event {what.status}")

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One mail or one event."""
        account, payload = self.accounts[elements[0].account], elements[0].payload
        document = self._inbound(payload) if isinstance(payload, Letter) else payload
        return Post(
            url=account.callback_url,
            headers=(
                ("Content-Type", "application/json"),
                ("User-Agent", "Postmark"),
                ("Authorization", "Basic " + base64.b64encode(account.secret.encode()).decode()),
            ),
            body=json.dumps(document).encode(),
        )

    def _inbound(self, letter: Letter) -> dict[str, Any]:
        sender = {"Email": letter.sender.mail, "Name": letter.sender.name, "MailboxHash": ""}
        files = []
        if letter.file is not None:
            name, mime_type, content = letter.file
            encoded = base64.b64encode(content).decode()
            files = [{"Name": name, "Content": encoded, "ContentType": mime_type, "ContentLength": len(content), "ContentID": ""}]
        return {
            "FromName": letter.sender.name,
            "MessageStream": "inbound",
            "From": letter.sender.mail,
            "FromFull": sender,
            "To": letter.to,
            "ToFull": [{"Email": letter.to, "Name": "", "MailboxHash": ""}],
            "Cc": "",
            "CcFull": [],
            "Bcc": "",
            "BccFull": [],
            "OriginalRecipient": letter.to,
            "Subject": letter.subject,
            "MessageID": f"22c74902-a0c1-4511-804f2-{letter.message_id[:9]}",
            "ReplyTo": "",
            "MailboxHash": "",
            "Date": letter.headers[4][1],
            "TextBody": letter.plain,
            "HtmlBody": letter.html,
            "StrippedTextReply": letter.text if letter.quoted else "",
            "Tag": "",
            "Headers": [{"Name": name, "Value": value} for name, value in letter.headers],
            "Attachments": files,
        }
