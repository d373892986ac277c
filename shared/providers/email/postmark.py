"""Postmark: inbound mails and event webhooks, all JSON. A body without `RecordType` is an inbound mail.

Sources: https://postmarkapp.com/developer/webhooks/inbound-webhook, …/bounce-webhook, …/delivery-webhook,
…/spam-complaint-webhook. Files come as base64 text inside the JSON; they stay there (`msgspec.Raw` refers to the body).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from shared.domain.content import Media
from shared.domain.enums import DeliveryStatus
from shared.domain.items import AnyItem
from shared.providers.cleaning import exact_text
from shared.providers.documents import Malformed, decode_object
from shared.providers.email.bodies import decoded
from shared.providers.email.decoding import normal_addresses
from shared.providers.email.filenames import harmless_filename, plausible_size
from shared.providers.email.items import items_of, poison
from shared.providers.email.mime import Head
from shared.providers.email.moments import iso_ms
from shared.providers.email.provider_events import Told, bad_event, mail_event, once_of, receipt, text, unknown_event
from shared.providers.email.raw_mail import read_raw
from shared.providers.email.received import MAX_ATTACHMENTS, ReceivedMail, Verdicts
from shared.providers.email.reports import ENCLOSED_TYPES

_MAX_ENCLOSED_BYTES = 131_072


class Attachment(Struct):
    """One file; `Content` is not decoded here."""

    Name: str | None = None
    Content: Raw | UnsetType = UNSET
    ContentType: str | None = None
    ContentLength: int | None = None
    ContentID: str | None = None


class Header(Struct):
    """One header beside those that have a field of their own."""

    Name: str = ""
    Value: str = ""


class Inbound(Struct):
    """An inbound mail, the fields that we read."""

    From: str | None = None
    To: str | None = None
    Cc: str | None = None
    Bcc: str | None = None
    OriginalRecipient: str | None = None
    Subject: str | None = None
    ReplyTo: str | None = None
    Date: str | None = None
    TextBody: str | None = None
    HtmlBody: str | None = None
    MessageID: str | None = None
    Headers: list[Header] = []
    Attachments: list[Attachment] = []
    RawEmail: str | None = None
    RecordType: str | None = None


def postmark_items(body: bytes) -> Sequence[AnyItem]:
    """The items of one body; raises UnparseableBody."""
    try:
        inbound = msgspec.json.decode(body, type=Inbound)
    except msgspec.ValidationError:
        return (_of_another_shape(decode_object(body)),)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = decode_object(body)
        try:
            inbound = msgspec.convert(_without_files(document), Inbound)
        except msgspec.ValidationError:
            return (_of_another_shape(document),)
    if inbound.RecordType is not None or (inbound.From is None and inbound.MessageID is None and not inbound.Headers):
        return (_event(decode_object(body)),)
    return items_of(_mail(inbound))


def _of_another_shape(document: dict[str, Any]) -> AnyItem:
    if isinstance(document.get("RecordType"), str):
        return _event(document)
    return poison("", "wrong_type", {name: document.get(name) for name in ("MessageID", "From", "To", "Date")})


def _without_files(document: dict[str, Any]) -> dict[str, Any]:
    """For the slower way of reading: a file's text cannot be referred to there, and nothing needs it."""
    files = document.get("Attachments")
    entries = [file for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    return {**document, "Attachments": [{key: value for key, value in file.items() if key != "Content"} for file in entries]}


def _mail(inbound: Inbound) -> ReceivedMail:
    raw = inbound.RawEmail
    mail = read_raw(raw.encode("utf-8", "surrogatepass"), "/RawEmail!") if raw else _parsed(inbound)
    given = {header.Name.lower(): header.Value for header in reversed(inbound.Headers)}
    spam = given.get("x-spam-status", "").split(",", 1)[0].strip().lower()
    return replace(
        mail,
        envelope_recipients=normal_addresses((inbound.OriginalRecipient or "",)),
        delivery=exact_text(inbound.MessageID),
        verdicts=Verdicts(
            spf=given.get("received-spf", "").split(" ", 1)[0] or None,
            spam={"yes": "fail", "no": "pass"}.get(spam),
        ),
    )


def _parsed(inbound: Inbound) -> ReceivedMail:
    own = {
        "From": inbound.From,
        "To": inbound.To,
        "Cc": inbound.Cc,
        "Bcc": inbound.Bcc,
        "Subject": inbound.Subject,
        "Reply-To": inbound.ReplyTo,
        "Date": inbound.Date,
    }
    pairs = [(header.Name, header.Value) for header in inbound.Headers]
    listed = {name.lower() for name, _ in pairs}
    head = Head([*((name, value) for name, value in own.items() if value and name.lower() not in listed), *pairs])
    files = inbound.Attachments[:MAX_ATTACHMENTS]
    reports = head.content_type() == "multipart/report"
    return ReceivedMail(
        head=head,
        text=inbound.TextBody or None,
        html=inbound.HtmlBody or None,
        html_part="/HtmlBody" if inbound.HtmlBody else None,
        attachments=tuple(_file(index, file) for index, file in enumerate(files)),
        enclosed=tuple(
            (kind, decoded(bytes(file.Content)[:_MAX_ENCLOSED_BYTES], "base64"))
            for file in files[:20]
            if reports and isinstance(file.Content, Raw) and (kind := _type(file)) in ENCLOSED_TYPES
        ),
    )


def _type(file: Attachment) -> str:
    return Head([("Content-Type", file.ContentType or "")]).content_type("application/octet-stream")


def _file(index: int, file: Attachment) -> Media:
    content_id = exact_text((file.ContentID or "").strip().strip("<>"))
    return Media(
        mime_type=_type(file),
        filename=harmless_filename(file.Name),
        size_bytes=plausible_size(file.ContentLength),
        raw_part=f"/Attachments/{index}/Content",
        content_id=content_id,
        inline=content_id is not None,
    )


def _event(event: dict[str, Any]) -> AnyItem:
    name = text(event, "RecordType") or ""
    variables = event.get("Metadata")
    moment = next((text(event, key) for key in ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt") if key in event), None)
    told = Told(
        path="",
        event=name,
        once=f"{name}:{text(event, 'ID') or once_of(event)}",
        time_ms=iso_ms(moment),
        message_id=text(event, "MessageID"),
        recipient=text(event, "Recipient") or text(event, "Email"),
        sender=text(event, "From"),
        diagnostic=text(event, "Details") or text(event, "Description"),
        variables=variables if isinstance(variables, dict) else {},
        values={"type": text(event, "Type") or ""},
    )
    try:
        return _item(event, told)
    except Malformed as fault:
        return bad_event(told, fault, event)


# https://postmarkapp.com/developer/api/bounce-api#bounce-types: what is no end of the delivery
_PASSING = frozenset(
    {"Transient", "DnsError", "AutoResponder", "Subscribe", "Unsubscribe", "AddressChange", "ChallengeVerification"}
)
_COMPLAINTS = frozenset({"SpamComplaint"})
_EVENTS = {"Open": "open", "Click": "click", "SpamComplaint": "complaint", "SubscriptionChange": "unsubscribe"}
_STATUS_OF_TYPE = {
    "HardBounce": "5.1.1",
    "BadEmailAddress": "5.1.3",
    "SoftBounce": "4.2.0",
    "Blocked": "5.7.1",
    "SpamNotification": "5.7.1",
}


def _item(event: dict[str, Any], told: Told) -> AnyItem:
    kind = text(event, "Type") or ""
    if told.event == "Delivery":
        return receipt(told, DeliveryStatus.DELIVERED)
    if told.event == "Bounce":
        if kind in _COMPLAINTS:
            return mail_event(told, "complaint")
        if kind in _PASSING:
            return mail_event(told, "auto_reply" if kind == "AutoResponder" else "deferred")
        return receipt(replace(told, status_code=told.status_code or _STATUS_OF_TYPE.get(kind)), DeliveryStatus.FAILED)
    if told.event in _EVENTS:
        return mail_event(told, _EVENTS[told.event])
    return unknown_event(replace(told, values={}))
