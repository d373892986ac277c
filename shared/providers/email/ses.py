"""Amazon SES through SNS: received mails with their raw content, sending events, and SNS's own confirmations.

Sources: https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html,
…/event-publishing-retrieving-sns-contents.html, …/notification-contents.html. `Message` is JSON text inside the JSON, so a path
goes on inside of it: `/Message/bounce/bouncedRecipients/0`.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.domain.content import Unsupported
from shared.domain.enums import ConnectorEventName, DeliveryStatus, HealthStatus
from shared.domain.items import AnyItem
from shared.providers.cleaning import MAX_ID_CHARACTERS, clean_text, exact_text
from shared.providers.contract import UnparseableBody
from shared.providers.documents import Malformed, at_most_max_items, decode_object
from shared.providers.email.decoding import normal_addresses
from shared.providers.email.items import items_of, poison
from shared.providers.email.mime import Head
from shared.providers.email.moments import iso_ms
from shared.providers.email.provider_events import (
    VARIABLE_ACCOUNT,
    VARIABLE_MESSAGE,
    Told,
    bad_event,
    connector_event,
    mail_event,
    receipt,
    text,
    texts,
    unknown_event,
)
from shared.providers.email.raw_mail import read_raw
from shared.providers.email.received import ReceivedMail, Verdicts

RAW_PART = "/Message/content!"
_ENCODED_RAW_PART = "/Message/content!base64!"


@dataclass(frozen=True, slots=True)
class _Notification:
    """SNS's envelope: what it says itself, and the document inside."""

    message_id: str
    time_ms: int | None
    topic: str
    message: dict[str, Any]


def ses_items(body: bytes) -> Sequence[AnyItem]:
    """The items of one body; raises UnparseableBody."""
    envelope = decode_object(body)
    kind, message = text(envelope, "Type"), text(envelope, "Message") or ""
    message_id = text(envelope, "MessageId") or hashlib.sha256(body).hexdigest()
    time_ms, topic = iso_ms(text(envelope, "Timestamp")), text(envelope, "TopicArn") or ""
    if kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        return (_subscription(kind, message_id, time_ms, topic),)
    told = Told(path="/Message", event=kind or "", once=message_id, time_ms=time_ms)
    if kind != "Notification":
        return (unknown_event(replace(told, path="/Type")),)
    try:
        document = decode_object(message.encode("utf-8", "surrogatepass"))
    except UnparseableBody:  # SES says so in words when it is connected, and anybody may publish text to a topic
        if not message.lstrip().startswith("{"):
            return (unknown_event(replace(told, event="text")),)
        return (poison("/Message", "message_malformed", {"MessageId": message_id, "begins": message[:512]}),)
    return at_most_max_items(_items(_Notification(message_id, time_ms, topic, document)))


def _subscription(kind: str, message_id: str, time_ms: int | None, topic: str) -> AnyItem:
    """Nobody here calls `SubscribeURL`: it stays in the sealed record, and an administrator (or a use case) confirms."""
    pending = kind == "SubscriptionConfirmation"
    told = Told(path="", event=kind, once=message_id, time_ms=time_ms)
    values = {"state": "pending" if pending else "ended", "topic": topic[:MAX_ID_CHARACTERS]}
    return connector_event(
        told, ConnectorEventName.SUBSCRIPTION, values, HealthStatus.WARNING if pending else HealthStatus.FAILED
    )


def _items(notification: _Notification) -> Iterator[AnyItem]:
    message = notification.message
    kind = text(message, "notificationType") or text(message, "eventType") or ""
    if kind == "Received":
        yield from items_of(_mail(notification))
        return
    mail = message.get("mail")
    told = _told(notification, kind, mail if isinstance(mail, dict) else {})
    try:
        yield from _events(message, kind, told)
    except Malformed as fault:
        yield bad_event(told, fault, {"MessageId": notification.message_id, "type": kind})


def _mail(notification: _Notification) -> ReceivedMail:
    message = notification.message
    seen = message.get("receipt") if isinstance(message.get("receipt"), dict) else {}
    about = message.get("mail") if isinstance(message.get("mail"), dict) else {}
    assert isinstance(seen, dict)  # noqa: S101 - the two lines above
    assert isinstance(about, dict)  # noqa: S101
    content = message.get("content")
    if isinstance(content, str) and content:
        raw, prefix = _raw(content, text(seen, "action", "encoding"))
        mail = read_raw(raw, prefix)
    else:
        mail = ReceivedMail(head=_head(about), left_out=_elsewhere(seen))
    verdict = {name: text(seen, f"{name}Verdict", "status") for name in ("spf", "dkim", "dmarc", "spam", "virus")}
    return replace(
        mail,
        path="/Message",
        envelope_recipients=normal_addresses(texts(seen.get("recipients"))),
        recipients_path="/Message/receipt/recipients",
        null_sender=text(about, "source") in ("", "<>"),
        delivery=exact_text(text(about, "messageId")),
        received_at_ms=iso_ms(text(about, "timestamp")) or notification.time_ms,
        verdicts=Verdicts(**verdict),
    )


def _raw(content: str, encoding: str | None) -> tuple[bytes, str]:
    if (encoding or "").upper() == "BASE64":
        try:
            return binascii.a2b_base64(content), _ENCODED_RAW_PART
        except (binascii.Error, ValueError):
            raise UnparseableBody("content is not base64") from None
    return content.encode("utf-8", "surrogatepass"), RAW_PART


def _head(about: Mapping[str, Any]) -> Head:
    listed = about.get("headers")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return Head([(text(entry, "name") or "", text(entry, "value") or "") for entry in entries])


def _elsewhere(seen: Mapping[str, Any]) -> Unsupported:
    """The content was not sent along: above 150 KB SES can only store it."""
    place = "/".join(filter(None, (text(seen, "action", "bucketName"), text(seen, "action", "objectKey"))))
    return Unsupported(
        provider_type=clean_text((text(seen, "action", "type") or "missing").lower(), 64) or "missing",
        code="content_elsewhere",
        detail=clean_text(place, MAX_ID_CHARACTERS) or None,
    )


def _told(notification: _Notification, kind: str, mail: Mapping[str, Any]) -> Told:
    """Tags of the configuration set are lists; ours have one value each."""
    tags = mail.get("tags") if isinstance(mail.get("tags"), dict) else {}
    ours = {name: next(iter(texts(tags.get(name))), None) for name in (VARIABLE_MESSAGE, VARIABLE_ACCOUNT)}  # type: ignore[union-attr]
    return Told(
        path="/Message",
        event=kind,
        once=notification.message_id,
        time_ms=notification.time_ms,
        message_id=text(mail, "messageId"),
        sender=text(mail, "source"),
        variables={name: value for name, value in ours.items() if value is not None},
    )


def _events(message: Mapping[str, Any], kind: str, told: Told) -> Iterator[AnyItem]:
    part = message.get(kind[:1].lower() + kind[1:])
    about = part if isinstance(part, dict) else {}
    timed = replace(told, time_ms=iso_ms(text(about, "timestamp")) or told.time_ms)
    match kind:
        case "Bounce":
            yield from _bounced(about, timed)
        case "Delivery":
            for index, address in enumerate(texts(about.get("recipients"))):
                path = f"/Message/delivery/recipients/{index}"
                yield receipt(replace(timed, path=path, recipient=address), DeliveryStatus.DELIVERED)
        case "Send":
            yield receipt(timed, DeliveryStatus.SENT)
        case "Reject":
            yield receipt(replace(timed, status_code="5.7.1", diagnostic=text(about, "reason")), DeliveryStatus.FAILED)
        case "Complaint":
            values = {"feedback_type": text(about, "complaintFeedbackType") or ""}
            yield mail_event(replace(timed, values=values), "complaint")
        case "DeliveryDelay":
            yield mail_event(replace(timed, values={"type": text(about, "delayType") or ""}), "deferred")
        case "Open" | "Click":
            yield mail_event(timed, kind.lower())
        case "Subscription":
            yield mail_event(timed, "unsubscribe")
        case _:
            yield unknown_event(timed)


def _bounced(about: Mapping[str, Any], told: Told) -> Iterator[AnyItem]:
    """`Permanent` and also `Transient`: SES has given up by then; a mailbox that is full is what the class tells."""
    listed = about.get("bouncedRecipients")
    people = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    if not people:
        yield receipt(replace(told, diagnostic=text(about, "bounceSubType")), DeliveryStatus.FAILED)
    transient = text(about, "bounceType") == "Transient"
    for index, entry in enumerate(people):
        one = replace(
            told,
            path=f"/Message/bounce/bouncedRecipients/{index}",
            recipient=text(entry, "emailAddress"),
            status_code=text(entry, "status") or ("4.0.0" if transient else None),
            diagnostic=text(entry, "diagnosticCode") or text(about, "bounceSubType"),
        )
        yield receipt(one, DeliveryStatus.FAILED)


def content_of(body: bytes) -> bytes:
    """The raw mail inside of one notification, for whoever fetches a file out of it; raises UnparseableBody."""
    document = decode_object((text(decode_object(body), "Message") or "").encode("utf-8", "surrogatepass"))
    content = text(document, "content")
    if content is None:
        raise UnparseableBody("no content")
    return _raw(content, text(document, "receipt", "action", "encoding"))[0]
