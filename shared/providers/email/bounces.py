"""What a failed delivery means: enhanced status codes (RFC 3463 and its IANA registry) to our classes of error."""

from __future__ import annotations

import re

from shared.domain.enums import ErrorClass

_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY = re.compile(r"\A\s*(?:smtp;\s*)?([245]\d\d)(?=[\s-]|\Z)", re.IGNORECASE)
_CLASSES = {
    "2.2": ErrorClass.RETRYABLE,  # x.2.2: mailbox full, which passes
    "2.3": ErrorClass.CONTENT_PERMANENT,  # message too long for the mailbox
    "3.4": ErrorClass.CONTENT_PERMANENT,  # too big for the system
    "4.5": ErrorClass.RETRYABLE,
    "4.7": ErrorClass.RETRYABLE,  # it took too long to deliver
    "7.8": ErrorClass.AUTH,
    "7.9": ErrorClass.AUTH,
}
_CLASSES_BY_SUBJECT = {
    "1": ErrorClass.RECIPIENT_PERMANENT,  # addressing
    "2": ErrorClass.RECIPIENT_PERMANENT,  # mailbox
    "3": ErrorClass.RETRYABLE,  # the receiving system
    "4": ErrorClass.RECIPIENT_PERMANENT,  # no route to it
    "5": ErrorClass.CONTENT_PERMANENT,  # protocol
    "6": ErrorClass.CONTENT_PERMANENT,
    "7": ErrorClass.CONTENT_PERMANENT,  # policy: refused as it was, to this person a new mail may go
}


def enhanced_status(*texts: str | None) -> str | None:
    """The first enhanced status code (`5.1.1`) that one of the texts holds; X.0.0 only if there is no better one."""
    found = [match[1] for text in texts if text for match in _STATUS.finditer(text[:2_048])]
    return next((code for code in found if not code.endswith(".0.0")), found[0] if found else None)


def reply_code(text: str | None) -> str | None:
    """The SMTP reply code at the beginning of a diagnostic text."""
    match = _REPLY.match(text[:256]) if text else None
    return match[1] if match else None


def error_class(code: str | None, diagnostic: str | None = None) -> ErrorClass:
    """The class of a final failure, by its status and then by the reply code of its diagnostic."""
    if code is not None and not code.endswith(".0.0"):
        kind, _, rest = code.partition(".")
        if rest == "2.1":  # mailbox disabled: for good with 5, for now with 4
            return ErrorClass.RECIPIENT_PERMANENT if kind == "5" else ErrorClass.RETRYABLE
        known = _CLASSES.get(rest)
        if known is not None:
            return known
        return ErrorClass.RETRYABLE if kind == "4" else _CLASSES_BY_SUBJECT.get(rest[:1], ErrorClass.RECIPIENT_PERMANENT)
    reply = reply_code(diagnostic)
    if reply is not None and reply[0] == "4":
        return ErrorClass.RETRYABLE
    if reply in ("552", "554"):
        return ErrorClass.CONTENT_PERMANENT
    return ErrorClass.RECIPIENT_PERMANENT
