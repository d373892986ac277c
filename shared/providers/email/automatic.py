"""Is a mail a machine's? Nobody answers those by a machine, or two machines write to each other for ever.

Sources: RFC 3834 (Auto-Submitted), RFC 2076 (Precedence), RFC 2369 and 2919 (mailing lists), RFC 5321 §4.5.5 (the empty
sender), Microsoft's [MS-OXCMAIL] §2.2.3.2.14 (X-Auto-Response-Suppress is a wish about answers and says nothing of who wrote).
"""

from __future__ import annotations

import re

from shared.providers.email.mime import Head

_TOKEN = re.compile(r"[a-z][a-z0-9-]{0,63}")
_MACHINES = frozenset({"mailer-daemon", "postmaster", "mail-daemon", "bounces", "bounce"})
_NO_ANSWER = re.compile(r"(?:no|do-?not|nao|não)[._-]?(?:reply|responda|responder|answer)(?:[._+-].*)?")
# What Outlook, Gmail and others put before the subject of an absence note where they send no header of RFC 3834.
_ABSENT = re.compile(
    r"\s*(?:automatic reply|auto(?:matic)?[ -]?reply|out of (?:the )?office|resposta autom[áa]tica|aus[êe]ncia tempor[áa]ria"
    r"|respuesta autom[áa]tica|fuera de (?:la )?oficina|automatische antwort|réponse automatique)\b",
    re.IGNORECASE,
)


def auto_submitted(head: Head, sender: str | None, subject: str | None, *, null_sender: bool = False) -> str | None:  # noqa: PLR0911 - one for each sign
    """Why a mail is taken for a machine's, as a short code; None for a person's.

    `auto-replied`, `auto-generated`, `auto-notified` (or the header's own word), `null_sender`, `list`, `bulk`, `no_reply`.
    """
    for value in head.all("auto-submitted"):
        match = _TOKEN.match(value.strip().lower())  # a comment or parameters may follow: `no (a person's)`
        if value.strip() and (match is None or match[0] != "no"):
            return match[0] if match else "auto-generated"
    if "x-autoreply" in head or "x-autorespond" in head or "x-autoresponse" in head or _ABSENT.match(subject or ""):
        return "auto-replied"
    precedence = (head.first("precedence") or "").strip().lower()
    if precedence in ("auto_reply", "auto-reply"):
        return "auto-replied"
    if null_sender or (head.first("return-path") or "").strip() == "<>":
        return "null_sender"
    if "list-id" in head or precedence == "list":
        return "list"
    if precedence in ("bulk", "junk") or "list-unsubscribe" in head or "feedback-id" in head:
        return "bulk"
    local = (sender or "").partition("@")[0]
    if local in _MACHINES:
        return "auto-generated"
    return "no_reply" if _NO_ANSWER.fullmatch(local) else None
