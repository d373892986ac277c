"""One received mail in the form that all dialects share, and the message that is made of it.

Source: RFC 5322 §3.6.4 (identification fields). The person is the `From` address in lower case: local parts may tell cases
apart by the book (RFC 5321 §2.4) and do so nowhere. Equal for every way in, so that a mail gives the same message by each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from shared.domain.content import Content, Email, MailAddress, Media, Unsupported
from shared.domain.enums import AliasKind, Direction, MessageKind, WebhookEvent
from shared.domain.items import Alias, MessageItem, Peer
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_TEXT_CHARACTERS, clean_text
from shared.providers.documents import Malformed
from shared.providers.email.automatic import auto_submitted
from shared.providers.email.decoding import (
    addresses,
    date_ms,
    message_id,
    message_ids,
    normal_addresses,
    unstructured,
    without_tag,
)
from shared.providers.email.html_text import text_of_html
from shared.providers.email.mime import Head
from shared.providers.email.quotation import split_quotation

# Together these keep an event far below Kafka's 1 MB, whatever the characters are.
MAX_LISTED = 100
MAX_OTHERS = 20
MAX_ATTACHMENTS = 100
MAX_QUOTED_CHARACTERS = 16_384
_MAX_SUBJECT_CHARACTERS = 1_024
_MAX_NAME_CHARACTERS = 128
_MAX_REFS = 60
_MAX_SPLIT_CHARACTERS = 4 * MAX_TEXT_CHARACTERS  # what lies behind is not kept in an event anyway
_DELIVERED_TO = ("delivered-to", "x-original-to", "x-envelope-to", "envelope-to")
_SEALED_TYPES = frozenset(
    {"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What whoever received the mail for us found, in lower case."""

    spf: str | None = None
    dkim: str | None = None
    dmarc: str | None = None
    spam: str | None = None
    virus: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMail:
    """A mail as one dialect tells it. `head` has all headers; what a dialect gives in better form stands beside it.

    `html` is the source where there is no `text`. `enclosed`: (content type, beginning of its bytes) of the parts that a
    report consists of. `envelope_recipients`: addresses of ours that got it, best first. `sent`: from our own Sent folder.
    `once`: what repeats of this delivery share, where that must not be the mail's own id. `delivery`: the provider's id of it,
    which names a mail that has none of its own. `null_sender`: came with an empty envelope sender. `left_out`: where the
    content lies instead (a provider's word). `recipients_path`: where the list of envelope recipients stood.
    """

    head: Head
    path: str = ""
    text: str | None = None
    html: str | None = None
    html_part: str | None = None
    attachments: tuple[Media, ...] = ()
    enclosed: tuple[tuple[str, bytes], ...] = ()
    envelope_recipients: tuple[str, ...] = ()
    received_at_ms: int | None = None
    verdicts: Verdicts = Verdicts()
    sent: bool = False
    once: str | None = None
    delivery: str | None = None
    null_sender: bool = False
    recipients_path: str = ""
    left_out: Unsupported | None = None

    @property
    def sender(self) -> MailAddress | None:
        """Who wrote: the first address of `From`, else `Sender`, else the envelope's."""
        for name in ("from", "sender", "return-path"):
            given = self.head.all(name)
            found = addresses(given[:1], 1) if given else None
            if found:
                return found[0]
        return None

    @property
    def account_refs(self) -> tuple[str, ...]:
        """Names of the account that this may be for: envelope, delivery headers, To and Cc; then their whole domains."""
        head = self.head
        names = ("from",) if self.sent else ("to", "cc")
        shown = [entry.address for name in names if name in head for entry in addresses(head.all(name), MAX_LISTED)]
        delivered = [value for name in _DELIVERED_TO if name in head for value in head.all(name)[:3]]
        return refs_of((*self.envelope_recipients, *(normal_addresses(delivered) if delivered else ()), *shown))


def refs_of(candidates: Iterable[str]) -> tuple[str, ...]:
    """`address:` for each address, with and without its tag, then `domain:` for each domain."""
    known = dict.fromkeys(candidates)
    exact: dict[str, None] = {}
    domains: dict[str, None] = {}
    for address in known:
        exact[f"address:{address}"] = None
        if "+" in address:
            exact[f"address:{without_tag(address)}"] = None
        domains[f"domain:{address.rpartition('@')[2]}"] = None
    if len(exact) <= _MAX_REFS and len(domains) <= _MAX_REFS:
        return (*exact, *domains)
    return (*islice(exact, _MAX_REFS), *islice(domains, _MAX_REFS))


def message_item(mail: ReceivedMail) -> MessageItem:
    """The message; raises Malformed (`sender_missing`, `recipient_missing`) where nobody at the other end is named."""
    head, sender = mail.head, mail.sender
    listed = addresses(head.all("to"), MAX_LISTED)
    person = (listed[0] if listed else None) if mail.sent else sender
    if person is None:
        raise Malformed("recipient_missing" if mail.sent else "sender_missing")
    subject = unstructured(head.first("subject"), _MAX_SUBJECT_CHARACTERS)
    plain = mail.text if mail.text and mail.text.strip() else text_of_html(mail.html) if mail.html else ""
    email = _email(mail, sender, subject, listed)
    content = _content(mail, email, plain)
    identity = email.message_id or mail.delivery or _digest(mail, plain)
    written_by = sender.address if sender is not None else ""
    return MessageItem(
        path=mail.path,
        evento=WebhookEvent.MESSAGE_IN,
        account_refs=mail.account_refs,
        # A stranger who knows an id must not be able to use it up for somebody else's mail, hence the sender beside it.
        dedup_key=mail.once or f"{identity}|{written_by}",
        provider_time_ms=mail.received_at_ms if mail.received_at_ms is not None else date_ms(head.first("date")),
        direction=Direction.ECHO if mail.sent else Direction.INBOUND,
        kind=MessageKind.EMAIL if content.unsupported is None else MessageKind.UNSUPPORTED,
        provider_message_id=identity,
        peer=Peer(aliases=(Alias(kind=AliasKind.MAIL, value=person.address),), name=_short(person).name),
        content=content,
        # Without `In-Reply-To`, the last of `References` is what it answers.
        reply_to_provider_message_id=email.in_reply_to or (email.references[-1] if email.references else None),
    )


def _content(mail: ReceivedMail, email: Email, plain: str) -> Content:
    split = split_quotation(plain[:_MAX_SPLIT_CHARACTERS])
    if split.quoted:
        email = replace(email, quoted_text=clean_text(split.quoted, MAX_QUOTED_CHARACTERS) or None)
    return Content(
        text=clean_text(split.text, MAX_TEXT_CHARACTERS) or None,
        attachments=mail.attachments[:MAX_ATTACHMENTS],
        unsupported=mail.left_out or _sealed(mail, plain),
        email=email,
    )


def _email(mail: ReceivedMail, sender: MailAddress | None, subject: str | None, to: tuple[MailAddress, ...]) -> Email:
    head, verdicts = mail.head, mail.verdicts
    answered = message_ids(head.first("in-reply-to"))
    written_by = sender.address if sender is not None else None
    return Email(
        subject=subject or None,
        html_part=mail.html_part,
        message_id=message_id(head.first("message-id")),
        in_reply_to=answered[0] if answered else None,
        references=message_ids(head.first("references")),
        to=tuple([_short(entry) for entry in to]),
        cc=_shown(head, "cc", MAX_LISTED),
        bcc=_shown(head, "bcc", MAX_OTHERS),
        reply_to=_shown(head, "reply-to", MAX_OTHERS),
        envelope_recipient=mail.envelope_recipients[0] if mail.envelope_recipients else None,
        auto_submitted=auto_submitted(head, written_by, subject, null_sender=mail.null_sender),
        spf=_word(verdicts.spf),
        dkim=_word(verdicts.dkim),
        dmarc=_word(verdicts.dmarc),
        spam=_word(verdicts.spam),
        virus=_word(verdicts.virus),
    )


def _shown(head: Head, name: str, limit: int) -> tuple[MailAddress, ...]:
    if name not in head:
        return ()
    return tuple([_short(entry) for entry in addresses(head.all(name), limit)])


def _sealed(mail: ReceivedMail, plain: str) -> Unsupported | None:
    """An encrypted mail has nothing to read; it is kept, with its parts, as what it is."""
    if plain and not plain.isspace():
        return None
    types = (mail.head.content_type(), *(media.mime_type for media in mail.attachments))
    found = next((kind for kind in types if kind is not None and kind in _SEALED_TYPES), None)
    return None if found is None else Unsupported(provider_type=found, code="encrypted")


def _digest(mail: ReceivedMail, plain: str) -> str:
    """An id for a mail without one: the same for every copy of it, and another for another mail.

    Machines send the same words again and again, some without a date: then when it was received tells them apart.
    """
    parts = [mail.head.first(name) or "" for name in ("date", "from", "to", "subject")]
    if not parts[0]:
        parts += [(mail.head.first("received") or ""), str(mail.received_at_ms or "")]
    parts += [text for media in mail.attachments for text in (media.filename or "", str(media.size_bytes))]
    text = "\x00".join((*parts, plain))
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _short(entry: MailAddress) -> MailAddress:
    if entry.name is None or (len(entry.name) <= _MAX_NAME_CHARACTERS and entry.name.isascii()):
        return entry
    return MailAddress(address=entry.address, name=clean_text(entry.name, _MAX_NAME_CHARACTERS) or None)


def _word(verdict: str | None) -> str | None:
    return clean_text(verdict.strip().lower(), MAX_CODE_CHARACTERS) or None if verdict else None
