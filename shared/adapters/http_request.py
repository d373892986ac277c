"""Turns a provider's call into what goes over the wire: headers that can split nothing, and a body of bytes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from shared.adapters.http_answer import ACCEPTED_ENCODINGS
from shared.domain.errors import InvalidInput
from shared.providers.calling import Mail, Part, PlacedCall

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t -~\x80-\U0010ffff]*")  # no line ends, no control characters
# The client's own business: another value would make two ends of a connection see different requests.
_OURS = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive", "expect"),
        *("accept-encoding", "proxy-authorization", "proxy-connection"),
    }
)
# Headers that carry nothing secret: a call with these alone may follow a redirect to another host.
_HARMLESS = frozenset({"accept", "accept-language", "user-agent", "content-type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """`bare`: it holds nothing that another host must not see."""

    method: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(repr=False)
    bare: bool


def wire_request(placed: PlacedCall, user_agent: str) -> WireRequest:
    """Raises InvalidInput (`method_invalid`, `header_invalid`, `body_invalid`), which tells names and no values."""
    method = placed.call.method.upper()
    if method not in _METHODS:
        raise InvalidInput(f"method {placed.call.method!r} is none of HTTP", reason="method_invalid")
    body, content_type = _body(placed)
    headers = dict(_checked(placed.headers))
    if content_type is not None and (isinstance(placed.body, tuple) or "content-type" not in headers):
        headers["content-type"] = content_type
    bare = not placed.call.placements and placed.login is None and body is None and _HARMLESS.issuperset(headers)
    headers.setdefault("user-agent", user_agent)
    headers["accept-encoding"] = ACCEPTED_ENCODINGS
    return WireRequest(method=method, headers=tuple(headers.items()), body=body, bare=bare)


def _checked(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for name, value in headers:
        lower = name.lower()
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise InvalidInput(f"header {name!r} holds what no header may", reason="header_invalid")
        if lower in _OURS:
            raise InvalidInput(f"header {name!r} is set by the client itself", reason="header_invalid")
        yield lower, value


def _body(placed: PlacedCall) -> tuple[bytes | None, str | None]:
    match placed.body:
        case None:
            return None, None
        case bytes() as body:
            return body, "application/octet-stream"
        case Mail():
            raise InvalidInput("a mail goes over SMTP", reason="body_invalid")
        case tuple() as given:
            parts = [part for part in given if isinstance(part, Part)]
            if not parts:
                fields = [pair for pair in given if not isinstance(pair, Part)]
                return urlencode(fields).encode("ascii"), "application/x-www-form-urlencoded"
            # a credential placed as `form` stands beside the parts
            return _multipart([part if isinstance(part, Part) else _text_part(*part) for part in given])


def _text_part(name: str, value: str) -> Part:
    return Part(name=name, content=value.encode())


def _multipart(parts: Iterable[Part]) -> tuple[bytes, str]:
    """RFC 7578, with names and file names escaped as browsers do (https://html.spec.whatwg.org/#multipart-form-data)."""
    boundary = secrets.token_hex(16)
    pieces: list[bytes] = []
    for part in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(part.name)}"'
        if part.filename is not None:
            head += f'; filename="{_escaped(part.filename)}"'
        if part.mime_type is not None:
            if _VALUE.fullmatch(part.mime_type) is None:
                raise InvalidInput("a part's content type holds what no header may", reason="header_invalid")
            head += f"\r\nContent-Type: {part.mime_type}"
        pieces += [head.encode(), b"\r\n\r\n", part.content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode("ascii"))
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"


def _escaped(text: str) -> str:
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
