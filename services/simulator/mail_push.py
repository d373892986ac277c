"""A mail server of one's own that posts raw mails, signed in our own scheme: HMAC-SHA256 over `timestamp.body`.

Source: docs/PROVIDERS.md is ours to write; the scheme is the one that the e-mail connector's dialect `imap` offers for pushing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from services.simulator.mail_stand_in import MailStandIn
from services.simulator.stand_in import Element
from services.simulator.wire import Post


class MailPush(MailStandIn):
    """Posts the mail as it is (message/rfc822)."""

    name = "mail_push"
    default_secret = "simulated-push-secret"

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One mail, signed anew at each attempt."""
        account = self.accounts[elements[0].account]
        body, timestamp = elements[0].payload.mime(), str(now_ms // 1000)
        digest = hmac.new(account.secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers = (
            ("Content-Type", "message/rfc822"),
            ("X-Channels-Timestamp", timestamp),
            ("X-Channels-Signature", f"sha256={digest}"),
        )
        return Post(url=account.callback_url, headers=headers, body=body)
