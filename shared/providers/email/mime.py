"""The parts of a raw mail, found in place: headers are read, bodies stay where they are until somebody asks for one.

The standard library's parser makes six copies of a mail as lists of lines; a mail of 50 MB must not cost 300 MB. Here only
heads are read; where a part begins and ends is found by its boundary. Numbers are those of IMAP
(RFC 3501 §6.4.5): `1`, `2.1`; a mail without parts is its own part `1`. An enclosed mail is one part and is not entered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.providers.email.parameters import parameter

MAX_HEAD_BYTES = 262_144  # mail servers refuse more than 64 to 128 KiB
MAX_PARTS = 1_000
MAX_DEPTH = 12
_MAX_HEADERS = 1_000
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,200}")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")


class Head:
    """Headers of a mail or a part, by name in lower case, in their order; values raw and unfolded by nobody yet."""

    __slots__ = ("_values",)

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs[:_MAX_HEADERS]:
            self._values.setdefault(name.lower(), []).append(value)

    def first(self, name: str) -> str | None:
        """The first value of that header, which is the one that others see, too."""
        values = self._values.get(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """All values of that header."""
        return self._values.get(name, [])

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values)

    def content_type(self, default: str = "text/plain") -> str:
        """`type/subtype` in lower case; the default for what is none."""
        stated = (self.first("content-type") or "").split(";", 1)[0].strip().lower()
        return stated if _TYPE.fullmatch(stated) else default

    def parameter(self, header: str, name: str) -> str | None:
        """A parameter of a header; RFC 2231 continuations and charsets are decoded."""
        value = self.first(header)
        if value is None or name not in value.lower():
            return None
        return parameter(value, name)


@dataclass(frozen=True, slots=True)
class MimePart:
    """One part: its head, and where its body lies in the mail (`start` to `end`, still encoded)."""

    number: str
    head: Head
    content_type: str
    start: int
    end: int
    parent_type: str | None
    children: tuple[MimePart, ...]

    def leaves(self) -> Iterator[MimePart]:
        """The parts that have a body of their own, in their order."""
        if not self.content_type.startswith("multipart/"):
            yield self
        for child in self.children:
            yield from child.leaves()


def read_head(body: bytes, start: int = 0, end: int | None = None) -> tuple[Head, int]:
    """The head that begins at `start`, and where the body behind it begins."""
    end = len(body) if end is None else end
    limit = min(end, start + MAX_HEAD_BYTES)
    if body[start : start + 1] in (b"\r", b"\n"):
        return Head([]), min(end, start + (2 if body[start : start + 2] == b"\r\n" else 1))
    match = _END_OF_HEAD.search(body, start, limit)
    head_end, next_start = (match.start(), match.end()) if match else (limit, limit)
    return Head(_fields(body[start:head_end].decode("ascii", "surrogateescape"))), next_start


def _fields(block: str) -> list[tuple[str, str]]:
    """Names and values of a head; a line that is neither (mbox's `From `, rubbish) is passed over."""
    found: list[tuple[str, list[str]]] = []
    for line in block.split("\n"):
        if line[:1] in (" ", "\t"):
            if found:
                found[-1][1].append(line.strip())
            continue
        name, colon, value = line.partition(":")
        if colon and _FIELD_NAME.fullmatch(name := name.rstrip()):
            if len(found) >= _MAX_HEADERS:
                break
            found.append((name, [value.strip()]))
    return [(name, lines[0] if len(lines) == 1 else " ".join(lines)) for name, lines in found]


def scan(body: bytes) -> MimePart:
    """The tree of parts of a whole mail. What is deeper than 12 levels is one text, what follows the first 1 000 parts
    stays in the body alone."""
    head, start = read_head(body)
    return _part(body, "", head, (start, len(body)), None, _Count())


class _Count:
    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts = 0


def _part(body: bytes, number: str, head: Head, span: tuple[int, int], parent: str | None, count: _Count) -> MimePart:
    count.parts += 1
    content_type = head.content_type("message/rfc822" if parent == "multipart/digest" else "text/plain")
    children: tuple[MimePart, ...] = ()
    if content_type.startswith("multipart/"):
        children = _children(body, number, head, span, content_type, count)
        if not children:  # no boundary, or none of its lines: all that is known of it is bytes
            content_type = "text/plain"
    return MimePart(number or "1", head, content_type, span[0], span[1], parent, children)


def _children(
    body: bytes, number: str, head: Head, span: tuple[int, int], content_type: str, count: _Count
) -> tuple[MimePart, ...]:
    boundary = _boundary(head)
    if not 0 < len(boundary) <= 200 or number.count(".") + 2 > MAX_DEPTH:
        return ()
    found: list[MimePart] = []
    for index, (start, end) in enumerate(_spans(body, boundary, span), 1):
        if count.parts >= MAX_PARTS:
            break
        inner, inner_start = read_head(body, start, end)
        place = f"{number}.{index}" if number else str(index)
        found.append(_part(body, place, inner, (inner_start, end), content_type, count))
    return tuple(found)


def _boundary(head: Head) -> bytes:
    try:
        return (head.parameter("content-type", "boundary") or "").rstrip().encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return b""


def _spans(body: bytes, boundary: bytes, span: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The pattern begins with fixed bytes, so that the search for it is quick; a body's first line follows a line end, too."""
    line = re.compile(rb"\n--" + re.escape(boundary) + rb"(--)?[ \t]*\r?(?=\n|\Z)")
    begun: int | None = None
    for match in line.finditer(body, max(0, span[0] - 1), span[1]):
        if begun is not None:
            end = match.start() - (body[match.start() - 1 : match.start()] == b"\r")
            yield begun, max(begun, end)
        if match[1]:
            return
        begun = min(span[1], match.end() + 1)
    if begun is not None:  # cut off, or never closed
        yield begun, span[1]
