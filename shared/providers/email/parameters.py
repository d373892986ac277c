"""Parameters of a header (`; name=value`), quoted or not, continued and encoded as RFC 2231 has it; in linear time.

The standard library counts the quotes before each semicolon anew: 8 KB of them cost 60 ms, and a mail may have a thousand parts.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from shared.providers.email.decoding import text_of

_MAX_CHARACTERS = 8_192
_PARAMETER = re.compile(r';\s*([!#-&+\-.0-9A-Z^-z|~*\']{1,78})\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def parameter(value: str, name: str) -> str | None:
    """The parameter `name` (lower case) of a value; None without it. The encoded spelling stands before the plain one."""
    plain: str | None = None
    sections: dict[int, tuple[bool, str]] = {}
    for match in _PARAMETER.finditer(value[:_MAX_CHARACTERS].replace("\r", "").replace("\n", "")):
        base, star, rest = match[1].lower().partition("*")
        if base != name:
            continue
        if not star:
            plain = _unquoted(match[2]) if plain is None else plain
            continue
        index = rest.removesuffix("*") or "0"
        if index.isascii() and index.isdigit() and len(index) < 4:
            sections.setdefault(int(index), (rest == "" or rest.endswith("*"), _unquoted(match[2])))
    return _joined(sections) if 0 in sections else plain


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
        return _ESCAPED.sub(r"\1", text) if "\\" in text else text
    return text.strip()


def _joined(sections: dict[int, tuple[bool, str]]) -> str:
    """The sections from 0 on, up to the first that is missing. The first tells the charset of those that are encoded."""
    given = [sections[index] for index in range(len(sections)) if index in sections][: _unbroken(sections)]
    if not any(encoded for encoded, _ in given):
        return "".join(text for _, text in given)
    label, data = "", b""
    for index, (encoded, text) in enumerate(given):
        if index == 0 and encoded and text.count("'") >= 2:
            label, _, text = text.split("'", 2)  # noqa: PLW2901 - the charset and the language stand before the text
        raw = _bytes(text)
        data += unquote_to_bytes(raw) if encoded else raw
    return text_of(data, label or None)


def _unbroken(sections: dict[int, tuple[bool, str]]) -> int:
    return next(index for index in range(len(sections) + 1) if index not in sections)


def _bytes(text: str) -> bytes:
    try:
        return text.encode("ascii", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
