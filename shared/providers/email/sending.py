"""Sending over SMTP: an order becomes one finished mail (RFC 5322) with an id that is ours before the first try.

Services are told our message id in their own header, so that each of their events brings it back. SES replaces the Message-ID
(https://docs.aws.amazon.com/ses/latest/dg/header-fields.html) and names its own in the reply, Postmark keeps ours if asked.
Codes: RFC 5321 §4.2, RFC 3463; providers.md 4.3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import NoReturn

from shared.domain.content import MailAddress
from shared.domain.enums import AliasKind, ErrorClass, TokenKind
from shared.domain.errors import InvalidInput
from shared.providers.calling import CallContext, Fault, Mail, Placement, ProviderAnswer, ProviderCall, TransportFault
from shared.providers.email.bounces import enhanced_status, error_class
from shared.providers.email.capabilities import MAX_ATTACHED_BYTES
from shared.providers.email.decoding import message_id, normal_address
from shared.providers.email.filenames import harmless_filename
from shared.providers.email.mime import read_head
from shared.providers.email.provider_events import VARIABLE_ACCOUNT, VARIABLE_MESSAGE
from shared.providers.sending import (
    Accepted,
    MailOrder,
    OutboundKind,
    OutboundMedia,
    Rejected,
    Sending,
    SendOrder,
    SendOutcome,
    UnknownOutcome,
)

MAX_RECIPIENTS = 50
_MAX_REFERENCES = 30
_ID = re.compile(r"[^\s<>@]{1,200}@[^\s<>@]{1,255}")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_SES_ID = re.compile(r"\bOk ([0-9a-f]{16,}-[0-9a-f-]{16,})\s*\Z", re.IGNORECASE)
_SES_TAG = re.compile(r"[A-Za-z0-9_.@-]{1,256}")


def build_send(order: SendOrder, context: CallContext) -> tuple[ProviderCall, ...]:
    """One SMTP transaction; raises InvalidInput (`cannot_send`, `setting_missing`)."""
    mail = order.content.mail
    if order.kind is not OutboundKind.EMAIL or mail is None:
        _refuse("only a mail can be sent", "/content/mail")
    sender = normal_address(context.identidade) or _refuse("the account has no address", "/account")
    people = _recipients(order, mail)
    try:
        data = _message(order, mail, sender, context).as_bytes()
    except (ValueError, UnicodeError, IndexError) as error:  # a line break in a header, an address that is none
        raise InvalidInput("the mail cannot be written", reason="cannot_send", pointer="/content/mail") from error
    return (smtp_call("send", context, Mail(sender=sender, recipients=people, data=data)),)


def smtp_call(step: str, context: CallContext, body: Mail | None, *, idempotent: bool = False) -> ProviderCall:
    """A call to the connector's SMTP server. `smtps` begins with TLS, `smtp` must switch to it; header `auth` names the way."""
    settings = {**context.settings, **context.account_config}
    host = settings.get("smtp_host")
    if not isinstance(host, str):
        raise InvalidInput("the connector has no smtp_host", reason="setting_missing", pointer="/config/smtp_host")
    implicit = settings.get("smtp_tls") == "implicit"
    port = settings.get("smtp_port") or (465 if implicit else 587)
    return ProviderCall(
        step=step,
        method="SMTP",
        url=f"{'smtps' if implicit else 'smtp'}://{host}:{port}",
        headers=(("auth", str(settings.get("auth") or "password")),),
        body=body,
        placements=(login(context, settings),),
        timeout_seconds=60.0,
        idempotent=idempotent,
    )


def login(context: CallContext, settings: Mapping[str, object]) -> Placement:
    """Password or access token beside the user name."""
    kind = TokenKind.ACCESS_TOKEN if settings.get("auth") == "xoauth2" else TokenKind.SECRET
    return Placement(credential=kind.value, place="login", name=str(settings.get("username") or context.identidade or ""))


def _recipients(order: SendOrder, mail: MailOrder) -> tuple[str, ...]:
    named = [alias.value for alias in order.recipient if alias.kind is AliasKind.MAIL][:1]
    copies = [entry.address for entry in (*mail.cc, *mail.bcc)]
    found = [normal_address(address) or _refuse("not an address", "/recipient") for address in (*named, *copies)]
    if not named or len(found) > MAX_RECIPIENTS:
        _refuse("a mail needs an address, and takes 50 at most", "/recipient")
    return tuple(dict.fromkeys(found))


def _message(order: SendOrder, mail: MailOrder, sender: str, context: CallContext) -> EmailMessage:
    if _ID.fullmatch(mail.message_id) is None:
        _refuse("message_id must look like local@domain", "/content/mail/message_id")
    message = EmailMessage(policy=SMTP)
    message["From"] = _address(MailAddress(address=sender, name=mail.sender_name))
    message["To"] = _address(MailAddress(address=_recipients(order, mail)[0]))
    for name, entries in (("Cc", mail.cc), ("Reply-To", mail.reply_to)):  # Bcc is in the envelope only
        if entries:
            message[name] = tuple(_address(entry) for entry in entries)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(context.now_ms / 1000, UTC))
    message["Message-ID"] = f"<{mail.message_id}>"
    answered = mail.in_reply_to or order.reply_to_provider_message_id
    if answered:
        message["In-Reply-To"] = f"<{answered}>"
        references = dict.fromkeys((*mail.references[-_MAX_REFERENCES:], answered))
        message["References"] = " ".join(f"<{identity}>" for identity in references)
    message["X-Channels-Message-Id"] = f"<{order.message_id}>"
    for name, value in _echoed(order.message_id, sender, context.settings).items():
        message[name] = value
    message.set_content(order.content.text or "")
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    _attach(message, order)
    return message


def _address(entry: MailAddress) -> Address:
    local, _, domain = entry.address.rpartition("@")
    return Address(display_name=entry.name or "", username=local, domain=domain)


def _echoed(our_id: str, sender: str, settings: Mapping[str, object]) -> dict[str, str]:
    """Headers by which the service tells our id and account in its events."""
    ours = {VARIABLE_MESSAGE: our_id, VARIABLE_ACCOUNT: sender}
    match settings.get("dialect"):
        case "mailgun":
            return {"X-Mailgun-Variables": json.dumps(ours)}
        case "sendgrid":
            return {"X-SMTPAPI": json.dumps({"unique_args": ours})}
        case "postmark":
            return {"X-PM-KeepID": "true", **{f"X-PM-Metadata-{name}": value for name, value in ours.items()}}
        case "ses":
            tags = ", ".join(f"{name}={value}" for name, value in ours.items() if _SES_TAG.fullmatch(value))
            named = settings.get("ses_configuration_set")
            chosen = {"X-SES-CONFIGURATION-SET": named} if isinstance(named, str) else {}
            return {**chosen, "X-SES-MESSAGE-TAGS": tags}
        case _:
            return {}


def _attach(message: EmailMessage, order: SendOrder) -> None:
    files: list[OutboundMedia] = [*order.content.attachments, *([order.content.media] if order.content.media else [])]
    if sum(len(file.data or b"") for file in files) > MAX_ATTACHED_BYTES:
        _refuse("files of a mail may have 18 MB together", "/content/attachments")
    for index, file in enumerate(files):
        if file.data is None:
            _refuse("a file of a mail is given by its bytes", f"/content/attachments/{index}")
        stated = (file.mime_type or "").split(";", 1)[0].strip().lower()
        kind, _, subtype = (stated if _TYPE.fullmatch(stated) else "application/octet-stream").partition("/")
        if kind in ("multipart", "message"):
            kind, subtype = "application", "octet-stream"
        message.add_attachment(file.data, maintype=kind, subtype=subtype, filename=harmless_filename(file.filename) or "file")


def read_send(call: ProviderCall, answer: ProviderAnswer) -> SendOutcome:
    """What became of the transaction: 2xx after the data, or what `fault_of` makes of it."""
    fault = fault_of(answer)
    if fault is not None:
        unsure = fault.error_class is ErrorClass.UNKNOWN_OUTCOME
        return UnknownOutcome(fault=fault) if unsure else Rejected(fault=fault)
    head = read_head(call.body.data)[0] if isinstance(call.body, Mail) else None
    ours = message_id(head.first("message-id")) if head is not None else None
    text = "" if isinstance(answer, TransportFault) else answer.body.decode("utf-8", "replace")
    theirs = _SES_ID.search(text)
    return Accepted(provider_message_ids=tuple(filter(None, (ours, theirs[1] if theirs else None))))


def fault_of(answer: ProviderAnswer) -> Fault | None:  # noqa: PLR0911 - one for each class of fault
    """The fault of an SMTP answer; None if it worked."""
    if isinstance(answer, TransportFault):
        unsure = answer.may_have_left
        kind = ErrorClass.UNKNOWN_OUTCOME if unsure else ErrorClass.RETRYABLE
        return Fault(error_class=kind, code=answer.kind, detail=answer.detail or None, scope="message" if unsure else "connector")
    if 200 <= answer.status < 300:
        return None
    text = answer.body.decode("utf-8", "replace")[:1_024]
    code = enhanced_status(text)
    shown = code or str(answer.status)
    lowered = text.lower()
    if answer.status in (530, 534, 535) or code in ("5.7.8", "5.7.9"):
        return Fault(error_class=ErrorClass.AUTH, code=shown, detail=text, scope="account", action="renew_token")
    if code == "5.4.5" or "quota exceeded" in lowered or "submissionquotaexceeded" in lowered:
        return Fault(error_class=ErrorClass.RATE_LIMITED, code=shown, detail=text, retry_after_seconds=3_600.0, scope="account")
    if code in ("5.7.60", "5.2.252") or "sendasdenied" in lowered:
        return Fault(error_class=ErrorClass.ACCOUNT_BLOCKED, code=shown, detail=text, scope="account", action="allow_sender")
    if 400 <= answer.status < 500:
        busy = code in ("4.7.0", "4.7.28") or answer.status == 421
        kind = ErrorClass.RATE_LIMITED if busy else ErrorClass.RETRYABLE
        return Fault(error_class=kind, code=shown, detail=text, scope="account" if busy else "message")
    found = error_class(code, f"{answer.status} {text}")
    return Fault(
        error_class=found, code=shown, detail=text, scope="peer" if found is ErrorClass.RECIPIENT_PERMANENT else "message"
    )


def _refuse(message: str, pointer: str) -> NoReturn:
    raise InvalidInput(message, reason="cannot_send", pointer=pointer)


SENDING = Sending(kinds=frozenset({OutboundKind.EMAIL}), build=build_send, read=read_send)
