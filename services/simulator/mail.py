"""A mail as a person's program writes it: the form-neutral parts that each e-mail service hands on in its own way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from services.simulator.people import Person
from services.simulator.utterances import MIME, Utterance

_FILES = frozenset({"image", "audio", "video", "document"})
SAYS = frozenset({"text", *_FILES})
PDF = b"%PDF-1.4 simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail from a person to an inbox of ours. `quoted` stands below the new text, as programs put it."""

    message_id: str
    sender: Person
    to: str
    subject: str
    text: str
    quoted: str
    html: str
    in_reply_to: str | None
    date: datetime
    file: tuple[str, str, bytes] | None  # name, MIME type, content

    @property
    def plain(self) -> str:
        """Text with its quotation."""
        return f"{self.text}\n\n{self.quoted}" if self.quoted else self.text

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The head's fields in order."""
        found = [
            ("Return-Path", f"<{self.sender.mail}>"),
            ("From", f"{self.sender.name} <{self.sender.mail}>"),
            ("To", self.to),
            ("Subject", self.subject),
            ("Date", format_datetime(self.date)),
            ("Message-ID", f"<{self.message_id}>"),
        ]
        if self.in_reply_to:
            found += [("In-Reply-To", f"<{self.in_reply_to}>"), ("References", f"<{self.in_reply_to}>")]
        return found

    def mime(self) -> bytes:
        """The whole mail (RFC 5322)."""
        message = EmailMessage(policy=SMTP)
        for name, value in self.headers:
            message[name] = value
        message.set_content(self.plain)
        message.add_alternative(self.html, subtype="html")
        if self.file is not None:
            name, mime_type, content = self.file
            main, _, sub = mime_type.partition("/")
            message.add_attachment(content, maintype=main, subtype=sub.split(";")[0], filename=name)
        message.set_boundary("simulated-outer")
        for number, part in enumerate(part for part in message.walk() if part.is_multipart() and part is not message):
            part.set_boundary(f"simulated-{number}")
        return message.as_bytes()


def letter(what: Utterance, who: Person, to: str, number: int, now_ms: int) -> Letter:
    """The mail that says this."""
    if what.kind not in SAYS:
        raise KeyError(f"a mail cannot say {what.kind}")
    file = None
    if what.kind in _FILES:
        name = what.filename if what.kind == "document" else f"arquivo.{MIME[what.kind].split('/')[1]}"
        file = (name, MIME[what.kind], PDF)
    text = what.text or "segue"
    return Letter(
        message_id=f"sim{number:06d}@cliente.example",
        sender=who,
        to=to,
        subject="Pedido 42",
        text=text,
        quoted="Em seg., 21 de set. de 2026 às 10:00, Loja <loja@nos.example> escreveu:\n> Como posso ajudar?"
        if what.reply_to
        else "",
        html=f"<p>{text}</p>",
        in_reply_to=what.reply_to,
        date=datetime.fromtimestamp(now_ms / 1000, UTC),
        file=file,
    )
