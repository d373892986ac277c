"""What cases are made of: the record, the pieces of requests, and why other servers may answer differently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.edge import BODY, signature

CONNECTOR: Final = b"-the-connector-of-the-run-36-bytes--"  # as long as an id
KEPT, CLOSED = "kept", "closed"

PATH: Final = b"/webhooks/" + CONNECTOR
HOST: Final = b"Host: a\r\n"
SIGNED: Final = b"X-Hub-Signature-256: " + signature(BODY).encode() + b"\r\n"
SIZE: Final = b"Content-Length: %d\r\n" % len(BODY)
CODED: Final = b"Transfer-Encoding: chunked\r\n"
LINE: Final = b"POST " + PATH + b" HTTP/1.1\r\n"
HEAD: Final = LINE + HOST + SIGNED
GOOD: Final = HEAD + SIZE + b"\r\n" + BODY
CHUNKED: Final = HEAD + CODED + b"\r\n"
CHUNKS: Final = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
QUERY: Final = b"?hub.mode=subscribe&hub.verify_token=a%20verify%20token%20of%20the%20tests&hub.challenge=c0ffee"
SHAKE: Final = b"GET " + PATH + QUERY + b" HTTP/1.1\r\n"
FORGED: Final = b"POST " + PATH + b" HTTP/1.1\r\n" + HOST + b"X-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n"

# Why other servers may answer differently.
LETTER = "Let through there; we follow the letter, since two readings of one request are how smuggling begins."
NO_LIMIT = "No such limit there, or a far larger one: it is left to the application."
NO_DEADLINE = "No deadline there (Granian: 30 s for a head); still open when we stopped waiting."
NO_STATUS = "They hang up without a word; a status tells an honest but wrong client what to mend."
LENIENT = "Let through there. Harmless by itself, but nobody honest sends it."
HALF_CLOSED = "They forget, at once or soon, a client that has closed its side; we still answer all that it asked for."
LOSES = "uvicorn hangs up before the application has answered the good request in front of it."
SERVER_ERROR = "Granian takes a broken body for a vanished client, and answers 500 for what is the client's fault."
ANOTHER_STATUS = "Refused there as well, with another status: RFC 9110 and 9112 name this one."
WISH = "They ignore the wish and answer in HTTP/1.1, which is allowed; uvicorn then loses the body of a POST."
TRAILER = "uvicorn turns trailers into headers, here a second signature; Granian drops them, as we do."


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One conversation. `pieces` are sent one after another; `stored`: records that Kafka must hold afterwards."""

    name: str
    pieces: tuple[bytes, ...]
    answers: tuple[int, ...]
    end: str
    why: str
    stored: int
    half_close: bool  # close our side after the last piece
    drip: bool  # one byte at a time
    patient: bool  # the answer comes only at a deadline
    rivals: str


def case(
    name: str,
    data: bytes | tuple[bytes, ...],
    answers: int | tuple[int, ...],
    end: str,
    why: str,
    *,
    stored: int = 0,
    half_close: bool = False,
    drip: bool = False,
    patient: bool = False,
    rivals: str = "",
) -> Case:
    return Case(
        name=name,
        pieces=data if isinstance(data, tuple) else (data,),
        answers=answers if isinstance(answers, tuple) else (answers,),
        end=end,
        why=why,
        stored=stored,
        half_close=half_close,
        drip=drip,
        patient=patient,
        rivals=rivals,
    )


def big(size: int) -> bytes:
    return b"x" * size
