"""A received mail to items: a report's receipts and events, else the message; poison where nobody is named."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.enums import WebhookEvent
from shared.domain.items import AnyItem, PoisonItem
from shared.providers.documents import Malformed, fragment_of
from shared.providers.email.received import ReceivedMail, message_item
from shared.providers.email.reports import report_items

_TOLD = ("from", "to", "date", "message-id")


def items_of(mail: ReceivedMail) -> Sequence[AnyItem]:
    """At least one item; never raises."""
    found = report_items(mail)
    if found:
        return found
    try:
        return (message_item(mail),)
    except Malformed as fault:
        told = {name: (mail.head.first(name) or "")[:512] for name in _TOLD}
        return (poison(mail.path, fault.reason, told, mail.account_refs),)


def poison(
    path: str, reason: str, element: object, refs: tuple[str, ...] = (), evento: WebhookEvent = WebhookEvent.MESSAGE_IN
) -> PoisonItem:
    """One element that is not as documented."""
    return PoisonItem(path=path, evento=evento, account_refs=refs, dedup_key="", reason=reason, fragment=fragment_of(element))
