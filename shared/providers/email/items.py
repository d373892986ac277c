"""A received mail to items: a report's receipts and events, else the message; poison where nobody is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from shared.domain.enums import WebhookEvent
from shared.domain.items import AnyItem, MessageItem, PoisonItem
from shared.providers.documents import Malformed, fragment_of
from shared.providers.email.received import MAX_LISTED, ReceivedMail, message_item, refs_of
from shared.providers.email.reports import report_items

_TOLD = ("from", "to", "date", "message-id")


def items_of(mail: ReceivedMail) -> Sequence[AnyItem]:
    """At least one item; never raises. A mail for several addresses of ours is a message for each (repeats where they share
    an account: the router counts those once)."""
    found = report_items(mail)
    if found:
        return found
    try:
        item = message_item(mail)
    except Malformed as fault:
        told = {name: (mail.head.first(name) or "")[:512] for name in _TOLD}
        return (poison(mail.path, fault.reason, told, mail.account_refs),)
    return (item, *_copies(item, mail))


def _copies(item: MessageItem, mail: ReceivedMail) -> Iterator[MessageItem]:
    """For each envelope recipient behind the first."""
    for index, recipient in enumerate(mail.envelope_recipients[:MAX_LISTED]):
        if index == 0 or mail.sent or item.content.email is None:
            continue
        email = replace(item.content.email, envelope_recipient=recipient)
        yield replace(
            item,
            path=f"{mail.recipients_path}/{index}",
            account_refs=refs_of((recipient,)),
            content=replace(item.content, email=email),
        )


def poison(
    path: str, reason: str, element: object, refs: tuple[str, ...] = (), evento: WebhookEvent = WebhookEvent.MESSAGE_IN
) -> PoisonItem:
    """One element that is not as documented."""
    return PoisonItem(path=path, evento=evento, account_refs=refs, dedup_key="", reason=reason, fragment=fragment_of(element))
