"""SendGrid: Inbound Parse as forms (parsed, or the raw mail in `email`), events as a JSON array.

Sources: https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook and
…/for-developers/tracking-events/event. SendGrid repeats events; `sg_event_id` tells repeats apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from shared.domain.content import Media
from shared.domain.enums import DeliveryStatus
from shared.domain.items import AnyItem
from shared.providers.cleaning import exact_text
from shared.providers.contract import UnparseableBody
from shared.providers.documents import Malformed, at_most_max_items
from shared.providers.email.decoding import normal_addresses
from shared.providers.email.filenames import harmless_filename
from shared.providers.email.forms import Field, read_form
from shared.providers.email.items import items_of, poison
from shared.providers.email.mime import read_head
from shared.providers.email.provider_events import (
    Told,
    bad_event,
    mail_event,
    once_of,
    receipt,
    seconds_ms,
    text,
    texts,
    unknown_event,
)
from shared.providers.email.raw_mail import read_raw
from shared.providers.email.received import MAX_ATTACHMENTS, ReceivedMail, Verdicts
from shared.providers.email.reports import ENCLOSED_TYPES

RAW_FIELD = "email"
_MAX_ENCLOSED_BYTES = 131_072
_RECEIPTS = {
    "processed": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "bounce": DeliveryStatus.FAILED,
    "dropped": DeliveryStatus.FAILED,
}
_EVENTS = {
    "deferred": "deferred",
    "open": "open",
    "click": "click",
    "spamreport": "complaint",
    "unsubscribe": "unsubscribe",
    "group_unsubscribe": "unsubscribe",
    "group_resubscribe": "resubscribe",
}


def sendgrid_items(body: bytes, headers: Mapping[str, str]) -> Sequence[AnyItem]:
    """The items of one body; raises UnparseableBody."""
    content_type = headers.get("content-type", "")
    if content_type.split(";", 1)[0].strip().lower() == "application/json":
        return at_most_max_items(_events(body))
    return items_of(_mail(body, read_form(body, content_type)))


def _mail(body: bytes, form: dict[str, Field]) -> ReceivedMail:
    raw = form.get(RAW_FIELD)
    mail = read_raw(raw.data(body), f"{RAW_FIELD}!") if raw is not None else _parsed(body, form)
    envelope = _json(body, form, "envelope")
    dkim = _text(body, form, "dkim")  # {@example.com : pass}
    return replace(
        mail,
        envelope_recipients=normal_addresses(texts(envelope.get("to"))),
        recipients_path="/envelope/to",
        null_sender=envelope.get("from") in ("", "<>"),
        verdicts=Verdicts(spf=_text(body, form, "SPF"), dkim=dkim.rpartition(":")[2].strip(" {}")),
    )


def _parsed(body: bytes, form: dict[str, Field]) -> ReceivedMail:
    """The texts are in the charsets that the field `charsets` names, each of its own."""
    if "headers" not in form:
        raise UnparseableBody("no mail in the form")
    charsets = _json(body, form, "charsets")
    head = read_head(form["headers"].data(body, 262_144).strip(b"\r\n") + b"\r\n\r\n")[0]
    plain, html = _text(body, form, "text", charsets), _text(body, form, "html", charsets)
    told = _json(body, form, "attachment-info")
    files = [(name, field) for name, field in form.items() if name.startswith("attachment") and field.filename is not None]
    reports = head.content_type() == "multipart/report"
    return ReceivedMail(
        head=head,
        text=plain or None,
        html=html or None,
        html_part="html" if html else None,
        attachments=tuple(_file(name, field, told.get(name)) for name, field in files[:MAX_ATTACHMENTS]),
        enclosed=tuple(
            (kind, field.data(body, _MAX_ENCLOSED_BYTES))
            for _, field in files[:20]
            if reports and (kind := field.head.content_type("")) in ENCLOSED_TYPES
        ),
    )


def _file(name: str, field: Field, told: Any) -> Media:
    info = told if isinstance(told, dict) else {}
    content_id = exact_text((text(info, "content-id") or "").strip("<>"))
    return Media(
        mime_type=field.head.content_type(text(info, "type") or "application/octet-stream"),
        filename=harmless_filename(text(info, "filename") or field.filename),
        size_bytes=field.size_bytes,
        raw_part=name,
        content_id=content_id,
        inline=content_id is not None,
    )


def _events(body: bytes) -> Iterator[AnyItem]:
    try:
        events = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        events = _tolerant(body)
    if not isinstance(events, list):
        raise UnparseableBody("not a JSON array")
    for index, event in enumerate(events):
        path = f"/{index}"
        yield _event(path, event) if isinstance(event, dict) else poison(path, "object_expected", event)


def _tolerant(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnparseableBody("not JSON in UTF-8") from error


def _event(path: str, event: dict[str, Any]) -> AnyItem:
    """Our variables stand beside SendGrid's own fields (`unique_args`). `smtp-id` is the mail's own Message-ID."""
    name = text(event, "event") or ""
    ours = exact_text((text(event, "smtp-id") or "").strip().strip("<>"))
    theirs = (text(event, "sg_message_id") or "").split(".", 1)[0]
    told = Told(
        path=path,
        event=name,
        once=text(event, "sg_event_id") or once_of(event),
        time_ms=seconds_ms(event.get("timestamp")),
        message_id=ours or exact_text(theirs),
        recipient=text(event, "email"),
        status_code=text(event, "status"),
        diagnostic=text(event, "reason") or text(event, "response"),
        variables=event,
        values={"type": text(event, "type") or ""},
    )
    if name in _RECEIPTS:
        try:
            return receipt(told, _RECEIPTS[name])
        except Malformed as fault:
            return bad_event(told, fault, event)
    return mail_event(told, _EVENTS[name]) if name in _EVENTS else unknown_event(replace(told, values={}))


def _json(body: bytes, form: dict[str, Field], name: str) -> dict[str, Any]:
    try:
        value = json.loads(_text(body, form, name) or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(body: bytes, form: dict[str, Field], name: str, charsets: Mapping[str, Any] | None = None) -> str:
    field = form.get(name)
    charset = (charsets or {}).get(name, "utf-8")
    return field.text(body, charset if isinstance(charset, str) else "utf-8") if field is not None else ""
