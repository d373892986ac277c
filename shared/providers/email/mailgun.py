"""Mailgun: inbound routes as forms (parsed, or the raw mail in `body-mime`), events as JSON.

Sources: https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-http and
…/user-manual/events/event-structure; the list of fields as Anymail reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.domain.content import Media
from shared.domain.enums import DeliveryStatus
from shared.domain.items import AnyItem
from shared.providers.cleaning import MAX_URL_CHARACTERS, clean_text, exact_text
from shared.providers.contract import UnparseableBody
from shared.providers.documents import Malformed, decode_object
from shared.providers.email.decoding import normal_addresses
from shared.providers.email.filenames import harmless_filename, plausible_size
from shared.providers.email.forms import Field, read_form
from shared.providers.email.items import items_of, poison
from shared.providers.email.mime import Head
from shared.providers.email.provider_events import Told, bad_event, mail_event, once_of, receipt, seconds_ms, text, unknown_event
from shared.providers.email.raw_mail import read_raw
from shared.providers.email.received import MAX_ATTACHMENTS, ReceivedMail, Verdicts
from shared.providers.email.reports import ENCLOSED_TYPES

RAW_FIELD = "body-mime"
_MAX_ENCLOSED_BYTES = 131_072
_RECEIPTS = {
    "accepted": DeliveryStatus.ACCEPTED,
    "delivered": DeliveryStatus.DELIVERED,
    "rejected": DeliveryStatus.FAILED,
}
_EVENTS = {"opened": "open", "clicked": "click", "unsubscribed": "unsubscribe", "complained": "complaint"}


def mailgun_items(body: bytes, headers: Mapping[str, str]) -> Sequence[AnyItem]:
    """The items of one body; raises UnparseableBody."""
    content_type = headers.get("content-type", "")
    if content_type.split(";", 1)[0].strip().lower() == "application/json":
        return (_event(decode_object(body)),)
    return items_of(_mail(body, read_form(body, content_type)))


def _mail(body: bytes, form: dict[str, Field]) -> ReceivedMail:
    raw = form.get(RAW_FIELD)
    mail = read_raw(raw.data(body), f"{RAW_FIELD}!") if raw is not None else _parsed(body, form)
    return replace(
        mail,
        envelope_recipients=normal_addresses(_text(body, form, "recipient")[:65_536].split(",")),
        recipients_path="/recipient",
        null_sender="sender" in form and _text(body, form, "sender").strip() in ("", "<>"),
        received_at_ms=seconds_ms(_text(body, form, "timestamp")),
        verdicts=Verdicts(
            spf=mail.head.first("x-mailgun-spf"),
            dkim=mail.head.first("x-mailgun-dkim-check-result"),
            spam={"yes": "fail", "no": "pass"}.get((mail.head.first("x-mailgun-sflag") or "").strip().lower()),
        ),
        # A captured signature must not carry a second mail in, and a repeat has the same token (see `signatures`).
        once=f"token:{token}" if (token := exact_text(_text(body, form, "token"))) else None,
    )


def _parsed(body: bytes, form: dict[str, Field]) -> ReceivedMail:
    plain, html = _text(body, form, "body-plain"), _text(body, form, "body-html")
    head = _head(body, form)
    if not head:
        raise UnparseableBody("no mail in the form")
    reports = head.content_type() == "multipart/report"
    files = [(name, field) for name, field in form.items() if name.startswith("attachment-") and field.filename is not None]
    ids = _content_ids(body, form)
    return ReceivedMail(
        head=head,
        text=plain or None,
        html=html or None,
        html_part="body-html" if html else None,
        attachments=(*(_file(name, field, ids) for name, field in files[:MAX_ATTACHMENTS]), *_stored(body, form)),
        enclosed=tuple(
            (kind, field.data(body, _MAX_ENCLOSED_BYTES))
            for _, field in files[:20]
            if reports and (kind := field.head.content_type("")) in ENCLOSED_TYPES
        ),
    )


def _head(body: bytes, form: dict[str, Field]) -> Head:
    """`message-headers` is a JSON list of pairs; without it, the few headers that are fields of their own."""
    try:
        listed = json.loads(_text(body, form, "message-headers") or "[]")
    except (ValueError, RecursionError):
        listed = []
    pairs = [(str(pair[0]), str(pair[1])) for pair in listed if isinstance(pair, list) and len(pair) == 2]
    if pairs:
        return Head(pairs)
    names = ("From", "To", "Cc", "Subject", "Date", "Message-Id", "In-Reply-To", "References", "Reply-To")
    given = {name.lower(): field for name, field in form.items()}
    return Head([(name, given[name.lower()].text(body)) for name in names if name.lower() in given])


def _file(name: str, field: Field, ids: Mapping[str, str]) -> Media:
    identity = ids.get(name)
    return Media(
        mime_type=field.head.content_type("application/octet-stream"),
        filename=harmless_filename(field.filename),
        size_bytes=field.size_bytes,
        raw_part=name,
        content_id=identity,
        inline=identity is not None,
    )


def _content_ids(body: bytes, form: dict[str, Field]) -> dict[str, str]:
    """`content-id-map`: `<id>` → name of the attachment's field."""
    try:
        given = json.loads(_text(body, form, "content-id-map") or "{}")
    except (ValueError, RecursionError):
        return {}
    pairs = given.items() if isinstance(given, dict) else ()
    return {name: cid for key, name in pairs if isinstance(name, str) and (cid := exact_text(key.strip().strip("<>")))}


def _stored(body: bytes, form: dict[str, Field]) -> tuple[Media, ...]:
    """`attachments` of a `store()` route: where Mailgun keeps the files (three days)."""
    field = form.get("attachments")
    try:
        listed = json.loads(field.text(body)) if field is not None else []
    except (ValueError, RecursionError):
        listed = []
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return tuple(
        Media(
            url=exact_text(text(entry, "url"), MAX_URL_CHARACTERS),
            mime_type=clean_text(text(entry, "content-type"), 128),
            filename=harmless_filename(text(entry, "name")),
            size_bytes=plausible_size(entry.get("size")),
        )
        for entry in entries[:MAX_ATTACHMENTS]
    )


def _event(document: dict[str, Any]) -> AnyItem:
    event = document.get("event-data")
    if not isinstance(event, dict):
        return poison("/event-data", "object_expected", document)
    name, variables = text(event, "event") or "", event.get("user-variables")
    told = Told(
        path="/event-data",
        event=name,
        once=text(event, "id") or once_of(event),
        time_ms=seconds_ms(event.get("timestamp")),
        message_id=(text(event, "message", "headers", "message-id") or "").strip("<>") or None,
        recipient=text(event, "recipient"),
        sender=text(event, "envelope", "sender") or text(event, "message", "headers", "from"),
        status_code=text(event, "delivery-status", "enhanced-code") or text(event, "delivery-status", "code"),
        diagnostic=text(event, "delivery-status", "message")
        or text(event, "delivery-status", "description")
        or text(event, "reason"),
        variables=variables if isinstance(variables, dict) else {},
    )
    if name == "rejected":  # Mailgun itself would not send it
        told = replace(told, status_code="5.7.1", diagnostic=text(event, "reject", "reason"))
    try:
        if name == "failed":
            return (
                mail_event(told, "deferred") if text(event, "severity") == "temporary" else receipt(told, DeliveryStatus.FAILED)
            )
        if name in _RECEIPTS:
            return receipt(told, _RECEIPTS[name])
    except Malformed as fault:
        return bad_event(told, fault, event)
    return mail_event(told, _EVENTS[name]) if name in _EVENTS else unknown_event(told)


def _text(body: bytes, form: dict[str, Field], name: str) -> str:
    field = form.get(name)
    return field.text(body) if field is not None else ""
