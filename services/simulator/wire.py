"""What goes over the wire, as values: webhooks out and their answers, API calls in and their replies."""

from __future__ import annotations

import email.parser
import email.policy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One webhook request as it goes out: header names as the provider spells them, body as signed."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the receiver said; `status` None: nothing came (refused, lost). `seconds`: how long it took."""

    status: int | None
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)  # names in lower case
    body: bytes = b""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One request to a provider's API. `path` without the stand-in's prefix; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    body: bytes = b""

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of the body, or its form fields; empty for anything else."""
        if "json" in self.headers.get("content-type", "json") or self.body[:1] == b"{":
            try:
                found = json.loads(self.body)
            except ValueError:
                return {}
            return found if isinstance(found, dict) else {}
        return dict(self.fields)

    @property
    def fields(self) -> Mapping[str, str]:
        """Fields of a form, urlencoded or multipart; a file's field holds its file name."""
        kind = self.headers.get("content-type", "")
        if kind.startswith("multipart/"):
            return {name: file if file else content.decode("utf-8", "replace") for name, file, _, content in self.parts}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def parts(self) -> list[tuple[str, str, str, bytes]]:
        """Parts of a multipart body: field name, file name (or empty), MIME type, content."""
        head = f"Content-Type: {self.headers.get('content-type', '')}\r\n\r\n".encode("latin-1")
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        found = []
        for part in message.iter_parts() if message.is_multipart() else ():
            name = str(part.get_param("name", "", header="content-disposition"))
            content = part.get_payload(decode=True)
            found.append(
                (name, part.get_filename() or "", part.get_content_type(), content if isinstance(content, bytes) else b"")
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiReply:
    """What the API answers."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of the body; raises ValueError if it is none."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def reply(status: int, document: object, *headers: tuple[str, str]) -> ApiReply:
    """A JSON reply."""
    body = json.dumps(document, separators=(",", ":")).encode("ascii")
    return ApiReply(status=status, body=body, headers=(("Content-Type", "application/json"), *headers))
