"""Mails that report on a mail of ours: DSN (RFC 3464), MDN (RFC 8098), ARF complaints (RFC 5965).

They become receipts and connector events, never messages. A DSN is found by its content type alone; a stranger could send one
about a mail whose id it knows, so what it says is the claim of a mail and no more (it cannot turn `delivered` back).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from shared.domain.enums import AliasKind, ConnectorEventName, DeliveryStatus, WebhookEvent
from shared.domain.items import Alias, AnyItem, ConnectorEventItem, ReceiptItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text
from shared.providers.email.automatic import auto_submitted
from shared.providers.email.bounces import enhanced_status, error_class
from shared.providers.email.decoding import addresses, date_ms, message_id, message_ids, normal_address, unstructured
from shared.providers.email.mime import Head, read_head
from shared.providers.email.received import ReceivedMail

CALLBACK_HEADER = "x-channels-message-id"  # our own, on what we send: comes back in the returned mail
_MAX_RECIPIENTS = 200
_REPORT_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_DISPOSITION_TYPES = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
_RETURNED_TYPES = frozenset({"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"})
FEEDBACK_TYPE = "message/feedback-report"
ENCLOSED_TYPES = _REPORT_TYPES | _DISPOSITION_TYPES | _RETURNED_TYPES | {FEEDBACK_TYPE}
_ACTIONS = {
    "failed": DeliveryStatus.FAILED,
    "delivered": DeliveryStatus.DELIVERED,
    "relayed": DeliveryStatus.SENT,  # handed to a system that reports no further
    "expanded": DeliveryStatus.SENT,  # to the members of a list
}


def report_items(mail: ReceivedMail) -> list[AnyItem]:
    """The receipts and events of a report; empty if the mail is none, or one that we sent ourselves."""
    if mail.sent:  # a confirmation of reading from our own Sent folder speaks about the other one's mail
        return []
    kind = mail.head.content_type()
    if kind == "multipart/report":
        for stated, data in mail.enclosed:
            if stated in _REPORT_TYPES:
                return list(_delivery(mail, data))
            if stated in _DISPOSITION_TYPES:
                return [_disposition(mail, data)]
            if stated == FEEDBACK_TYPE:
                return [_complaint(mail, data)]
    if mail.head.first("x-failed-recipients") and _from_a_machine(mail):
        return list(_exim(mail))
    return []


def _from_a_machine(mail: ReceivedMail) -> bool:
    """Anybody may write a header; a letter must not go away because of one."""
    sender = mail.sender
    said = auto_submitted(mail.head, sender.address if sender is not None else None, None, null_sender=mail.null_sender)
    return said in ("auto-generated", "auto-replied", "null_sender")


def _delivery(mail: ReceivedMail, data: bytes) -> Iterator[AnyItem]:
    """One item for each recipient of a DSN."""
    returned = _returned(mail)
    original = message_id(returned.first("message-id")) or _thread_id(mail)
    groups = list(_groups(data))
    about = [group for group in groups if "final-recipient" in group or "action" in group][:_MAX_RECIPIENTS]
    if not about:
        yield _event(mail, "bounce", original, {}, "")
    for index, group in enumerate(about):
        action = (group.first("action") or "failed").strip().lower()
        status = _ACTIONS.get(action)
        diagnostic = unstructured(group.first("diagnostic-code"))
        code = enhanced_status(group.first("status"), diagnostic)
        path = f"{mail.path}/report/{index}"
        if status is None or original is None:
            values = {"status": code or "", "action": action}
            yield _event(mail, "deferred" if action == "delayed" else "bounce", original, values, path)
            continue
        people = _recipients(group)
        failed = status is DeliveryStatus.FAILED
        yield ReceiptItem(
            path=path,
            evento=WebhookEvent.MESSAGE_STATUS,
            account_refs=mail.account_refs,
            dedup_key=f"{original}:{status.value}:{people[0].value if people else index}",
            provider_time_ms=_time(mail),
            provider_message_id=original,
            status=status,
            recipient=people,
            callback_data=_callback(returned),
            error_class=error_class(code, diagnostic) if failed else None,
            error_code=code if failed else None,
            error_detail=clean_text(diagnostic, MAX_NAME_CHARACTERS) if failed else None,
        )


def _groups(data: bytes) -> Iterator[Head]:
    """The groups of fields, which blank lines part."""
    start = 0
    for _ in range(_MAX_RECIPIENTS + 2):
        while data[start : start + 1] in (b"\r", b"\n"):
            start += 1
        if start >= len(data):
            return
        head, start = read_head(data, start)
        if head:
            yield head


def _recipients(group: Head) -> tuple[Alias, ...]:
    found = []
    for name in ("original-recipient", "final-recipient"):
        address = normal_address((group.first(name) or "").partition(";")[2])
        if address is not None:
            found.append(Alias(kind=AliasKind.MAIL, value=address))
    return tuple(dict.fromkeys(found))


def _disposition(mail: ReceivedMail, data: bytes) -> AnyItem:
    head = next(_groups(data), Head([]))
    original = message_id(head.first("original-message-id")) or _thread_id(mail)
    kind = (head.first("disposition") or "").rpartition(";")[2].split("/", 1)[0].strip().lower()
    if kind != "displayed" or original is None:
        return _event(mail, "disposition", original, {"disposition": kind}, "")
    people = _recipients(head)
    return ReceiptItem(
        path=mail.path,
        evento=WebhookEvent.MESSAGE_STATUS,
        account_refs=mail.account_refs,
        dedup_key=f"{original}:read:{people[0].value if people else ''}",
        provider_time_ms=_time(mail),
        provider_message_id=original,
        status=DeliveryStatus.READ,
        recipient=people,
    )


def _complaint(mail: ReceivedMail, data: bytes) -> AnyItem:
    head = next(_groups(data), Head([]))
    returned = _returned(mail)
    recipient = normal_address((head.first("original-rcpt-to") or "").removeprefix("rfc822;"))
    values = {"feedback_type": (head.first("feedback-type") or "").strip().lower(), "recipient": recipient or ""}
    return _event(mail, "complaint", message_id(returned.first("message-id")), values, "")


def _exim(mail: ReceivedMail) -> Iterator[AnyItem]:
    """A bounce without a report part: `X-Failed-Recipients`, and `References` to what was returned (Exim's own form)."""
    original = _thread_id(mail)
    for index, entry in enumerate(addresses(mail.head.all("x-failed-recipients"), _MAX_RECIPIENTS)):
        path = f"{mail.path}/report/{index}"
        code = enhanced_status(mail.text[:8_192] if mail.text else None)
        if original is None:
            yield _event(mail, "bounce", None, {"status": code or ""}, path)
            continue
        yield ReceiptItem(
            path=path,
            evento=WebhookEvent.MESSAGE_STATUS,
            account_refs=mail.account_refs,
            dedup_key=f"{original}:failed:{entry.address}",
            provider_time_ms=_time(mail),
            provider_message_id=original,
            status=DeliveryStatus.FAILED,
            recipient=(Alias(kind=AliasKind.MAIL, value=entry.address),),
            error_class=error_class(code),
            error_code=code,
        )


def _returned(mail: ReceivedMail) -> Head:
    """The head of the mail that came back."""
    for kind, data in mail.enclosed:
        if kind in _RETURNED_TYPES:
            return read_head(data)[0]
    return Head([])


def _callback(returned: Head) -> str | None:
    return message_id(returned.first(CALLBACK_HEADER))


def _thread_id(mail: ReceivedMail) -> str | None:
    ids = message_ids(mail.head.first("in-reply-to")) or message_ids(mail.head.first("references"))[-1:]
    return ids[0] if ids else None


def _time(mail: ReceivedMail) -> int | None:
    return mail.received_at_ms if mail.received_at_ms is not None else date_ms(mail.head.first("date"))


def _event(mail: ReceivedMail, event: str, original: str | None, values: dict[str, str], path: str) -> ConnectorEventItem:
    said = {"event": event, "message_id": original or "", **values}
    said = {name: clean_text(value, MAX_CODE_CHARACTERS * 4) or "" for name, value in said.items() if value}
    own = message_id(mail.head.first("message-id")) or mail.head.first("date") or ""
    seed = "\x00".join((own, path, *said.values()))
    return ConnectorEventItem(
        path=path or mail.path,
        evento=WebhookEvent.DELIVERY,
        account_refs=mail.account_refs,
        dedup_key=f"{event}:{hashlib.sha256(seed.encode('utf-8', 'surrogatepass')).hexdigest()}",
        provider_time_ms=_time(mail),
        name=ConnectorEventName.MAIL_EVENT,
        provider_event=event,
        values=said,
    )
