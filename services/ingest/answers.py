"""What the edge answers: values, and their bytes on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_END_OF_HEAD = b"\r\n\r\n"


class Outcome(StrEnum):
    """How a request ended: label `outcome` of `channels_ingest_requests_total`."""

    ACCEPTED = "accepted"
    HANDSHAKE = "handshake"
    PROBE = "probe"  # sync asked whether the edge knows a secret
    REFUSED = "refused"  # not genuine
    UNKNOWN_CONNECTOR = "unknown_connector"
    NOT_FOUND = "not_found"  # no such path
    METHOD = "method"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    MALFORMED = "malformed"  # not the HTTP/1.1 that we speak
    TIMEOUT = "timeout"  # the client was too slow
    FAILED = "failed"  # a fault of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. `reason` is a short code: counted, logged, and sent as the body where there is no `body`.

    `labels` (outcome, reason) of its counter and `rendered` (of `render`) are made once: most answers are given again and again.
    """

    status: int
    outcome: Outcome
    reason: str = ""
    body: bytes = b""
    retry_after_seconds: int | None = None
    allow: str | None = None
    headers: tuple[tuple[str, str], ...] = ()  # beside those of every answer
    labels: tuple[str, str] = field(init=False, repr=False, compare=False)
    rendered: dict[str, tuple[bytes, bytes]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", (self.outcome.value, self.reason))


def malformed(reason: str, status: int = 400) -> Answer:
    """The answer to what is not the HTTP/1.1 that we speak; the connection ends with it."""
    return Answer(status=status, outcome=Outcome.MALFORMED, reason=reason)


def busy(reason: str, status: int = 503) -> Answer:
    """The answer when a bound of ours is reached."""
    return Answer(status=status, outcome=Outcome.BUSY, reason=reason, retry_after_seconds=1)


NOT_HTTP = malformed("not_http")
URL_TOO_LONG = malformed("url_too_long", 414)
HEAD_TOO_LARGE = malformed("head_too_large", 431)
CHUNK_OVERHEAD = malformed("chunk_overhead")
TRUNCATED = malformed("truncated")
TOO_LARGE = Answer(status=413, outcome=Outcome.TOO_LARGE, reason="body_too_large")
HEAD_TIMEOUT = Answer(status=408, outcome=Outcome.TIMEOUT, reason="head")
BODY_TIMEOUT = Answer(status=408, outcome=Outcome.TIMEOUT, reason="body")
WRITE_TIMEOUT = Answer(status=408, outcome=Outcome.TIMEOUT, reason="write")  # counted, never sent
TOO_MANY_CONNECTIONS = busy("connections")
BODY_MEMORY = busy("body_memory")
FAILED = Answer(status=500, outcome=Outcome.FAILED, reason="internal")
OVERDUE = Answer(status=503, outcome=Outcome.UNAVAILABLE, reason="overdue", retry_after_seconds=2)


def body_of(answer: Answer) -> bytes:
    """The body as sent: the given one, else the reason on a line of its own; nothing for what was accepted."""
    if answer.body or answer.outcome in (Outcome.ACCEPTED, Outcome.HANDSHAKE, Outcome.PROBE):
        return answer.body
    return f"{answer.reason}\n".encode("ascii")


def render(answer: Answer, *, connection: str, without_body: bool, date: bytes) -> bytes:
    """The answer's bytes. `connection`: value of that header, or empty; `without_body`: it answers a HEAD request."""
    parts = answer.rendered.get(connection)
    if parts is None:
        parts = answer.rendered[connection] = _parts(answer, connection)
    head, body = parts
    return head + date + _END_OF_HEAD if without_body else head + date + body


def _parts(answer: Answer, connection: str) -> tuple[bytes, bytes]:
    """What stands before the date, and what stands behind it."""
    phrase, body = HTTPStatus(answer.status).phrase, body_of(answer)
    lines = [f"HTTP/1.1 {answer.status} {phrase}", f"Content-Length: {len(body)}"]
    if body:
        lines += ["Content-Type: text/plain; charset=utf-8", "X-Content-Type-Options: nosniff"]
    if answer.retry_after_seconds is not None:
        lines.append(f"Retry-After: {answer.retry_after_seconds}")
    if answer.allow is not None:
        lines.append(f"Allow: {answer.allow}")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if connection:
        lines.append(f"Connection: {connection}")
    return "\r\n".join([*lines, "Date: "]).encode("ascii"), _END_OF_HEAD + body
