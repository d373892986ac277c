"""Raw records of source `mailbox`: what the mailbox service writes beside the bytes of a mail, and how that is read.

The body is the RFC 5322 mail as the server gave it. The headers say what only the server knew. The edge keeps none of these
names, so nobody can send them along with a webhook.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from shared.domain.items import AnyItem
from shared.providers.email.decoding import normal_address
from shared.providers.email.items import items_of
from shared.providers.email.raw_mail import read_raw

MAILBOX_HEADER = "x-channels-mailbox"
RECEIVED_HEADER = "x-channels-received-at"
FOLDER_HEADER = "x-channels-folder"
SENT = "sent"


def record_headers(mailbox: str, received_at_ms: int | None, *, sent: bool = False) -> dict[str, str]:
    """Headers of one raw record. `mailbox`: the account's address; `received_at_ms`: INTERNALDATE; `sent`: our Sent folder."""
    headers = {"content-type": "message/rfc822", MAILBOX_HEADER: mailbox}
    if received_at_ms is not None:
        headers[RECEIVED_HEADER] = str(received_at_ms)
    if sent:
        headers[FOLDER_HEADER] = SENT
    return headers


def mailbox_items(body: bytes, headers: Mapping[str, str], path: str = "") -> Sequence[AnyItem]:
    """The items of one raw mail: a message, or the receipts and events of a report; raises UnparseableBody."""
    mailbox = normal_address(headers.get(MAILBOX_HEADER))
    received = headers.get(RECEIVED_HEADER, "")
    mail = dataclasses.replace(
        read_raw(body),
        path=path,
        envelope_recipients=(mailbox,) if mailbox is not None else (),
        received_at_ms=int(received) if received.isascii() and received.isdigit() and len(received) < 16 else None,
        sent=headers.get(FOLDER_HEADER) == SENT,
    )
    return items_of(mail)
