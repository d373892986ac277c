"""One verified body of any dialect, or one raw mail of a mailbox, to items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.domain.items import AnyItem
from shared.providers.contract import NOTHING, UnparseableBody
from shared.providers.email.mailbox import mailbox_items
from shared.providers.email.mailgun import mailgun_items
from shared.providers.email.postmark import postmark_items
from shared.providers.email.sendgrid import sendgrid_items
from shared.providers.email.ses import ses_items

RAW_MAIL = "message/rfc822"


def normalise(body: bytes, headers: Mapping[str, str], settings: Mapping[str, Any] = NOTHING) -> Sequence[AnyItem]:
    """The items of one body; raises only UnparseableBody.

    A raw mail is told by its content type, whatever the dialect: a connector may have webhooks and a mailbox.
    """
    dialect = settings.get("dialect")
    if dialect == "imap" or headers.get("content-type", "").split(";", 1)[0].strip().lower() == RAW_MAIL:
        return mailbox_items(body, headers)
    if dialect == "mailgun":
        return mailgun_items(body, headers)
    if dialect == "sendgrid":
        return sendgrid_items(body, headers)
    if dialect == "postmark":
        return postmark_items(body)
    if dialect == "ses":
        return ses_items(body)
    raise UnparseableBody("a connector without a dialect")
