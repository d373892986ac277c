"""Text of mail heads and bodies: charsets as labelled and as they really are, RFC 2047 words, addresses, ids, dates.

Nothing here raises for what a stranger wrote. Header values come as the `email` package keeps them: ASCII with surrogates for
bytes above 127. They are read raw and not by `email.policy.default`: its parser needs a millisecond for one address list,
grows with the square of its length, and raises on some broken ones.
"""

from __future__ import annotations

import binascii
import codecs
import email.utils
import re
from collections.abc import Iterable
from functools import lru_cache

from shared.domain.content import MailAddress
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text, exact_text

MAX_ADDRESSES = 200
MAX_ADDRESS_CHARACTERS = 320  # RFC 3696 erratum 1690: 64 before the @, 255 behind it
MAX_REFERENCES = 100
_MAX_ADDRESS_LIST_CHARACTERS = 65_536
_MAX_UNSTRUCTURED_CHARACTERS = 16_384
_YEAR_1990_MS, _YEAR_2100_MS = 631_152_000_000, 4_102_444_800_000

_NOT_CHARSETS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"})
_TRUE_NAMES = {  # what is really meant where the label is known to be narrower than the text, or is no name at all
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
_ALIASES = {
    "ansi_x3.110-1983": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "unicode-1-1-utf-7": "utf-7",
    "utf8mb4": "utf-8",
    "x-gbk": "gb18030",
    "x-mac-roman": "mac-roman",
    "x-sjis": "cp932",
}
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_WORD = re.compile(r"=\?([A-Za-z0-9_.:-]{1,64})(?:\*[A-Za-z0-9-]{0,35})?\?([bBqQ])\?([^?\r\n]*)\?=")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_ID = re.compile(r"<([^<>\s]{1,512})>")
_BARE_ID = re.compile(r"[^<>\s@\"]{1,255}@[^<>\s@\"]{1,255}")
_SHORT_CHARACTERS = 512
# A name may look like an address (`a@b.example <c@d.example>`, which is no RFC 5322): who wrote stands between the brackets.
_PLAIN_ADDRESS = re.compile(r"([A-Za-z0-9 ._'@+-]*)<([A-Za-z0-9._+-]+@[A-Za-z0-9.-]+)>|([A-Za-z0-9._+-]+@[A-Za-z0-9.-]+)")
_LETTER = r"[^\s@<>\"(),:;\\\x00-\x1f\x7f-\x9f]"
_ADDRESS = re.compile(rf"{_LETTER}+@{_LETTER}+")
# In other text it begins where letters begin: else a long word without an @ would be read once for each of its letters.
_ADDRESS_WITHIN = re.compile(rf"(?<!{_LETTER}){_LETTER}{{1,255}}@{_LETTER}{{1,255}}")


@lru_cache(maxsize=256)
def codec_name(label: str) -> str | None:
    """The codec for a charset as mails name it; None for what is no charset. Python's own odd codecs are none."""
    wanted = label.strip().strip("\"'").lower()[:64]
    try:
        codec = codecs.lookup(_ALIASES.get(wanted, wanted))
    except (LookupError, ValueError, UnicodeError):
        return None
    if codec.name in _NOT_CHARSETS or not getattr(codec, "_is_text_encoding", True):
        return None
    return _TRUE_NAMES.get(codec.name, codec.name)


def text_of(data: bytes, label: str | None) -> str:
    """Bytes as text: by the label if that works, else UTF-8 if it is, else Windows-1252 with U+FFFD for the gaps."""
    name = codec_name(label) if label else None
    for candidate in (name, "utf-8"):
        if candidate is not None:
            try:
                return data.decode(candidate)
            except (UnicodeError, ValueError):
                continue
    if name not in (None, "utf-8", "cp1252"):
        try:
            return data.decode(name or "utf-8", "replace")
        except (UnicodeError, ValueError):
            pass
    return data.decode("cp1252", "replace")


def unstructured(value: str | None, limit: int = MAX_NAME_CHARACTERS) -> str | None:
    """A header's free text: RFC 2047 words decoded (also split ones), bytes above 127 read as text, on one line, cut."""
    if value is None:
        return None
    value = value[:_MAX_UNSTRUCTURED_CHARACTERS]
    decoded = _words(value) if "=?" in value else _raw(value)
    return clean_text(_SPACE.sub(" ", decoded).strip(), limit)


def _words(value: str) -> str:
    """RFC 2047. Neighbours of one charset are joined before they are decoded: many senders cut a character in two."""
    text, position, waiting, label = [], 0, b"", ""
    for match in _WORD.finditer(value):
        between = value[position : match.start()]
        same = not between.strip() and match[1].lower() == label
        if waiting and not same:
            text.append(text_of(waiting, label))
            waiting = b""
        if between.strip() or position == 0:
            text.append(_raw(between))
        label, position = match[1].lower(), match.end()
        waiting += _word(match[2], match[3])
    text.append(text_of(waiting, label))
    return "".join([*text, _raw(value[position:])])


def _word(encoding: str, content: str) -> bytes:
    raw = content.encode("ascii", "surrogateescape")
    if encoding in "qQ":
        return binascii.a2b_qp(raw.replace(b"_", b" "), header=False)
    kept = raw.translate(None, _NOT_BASE64).rstrip(b"=")
    return binascii.a2b_base64(kept[: len(kept) - (len(kept) % 4 == 1)] + b"==")


def _raw(value: str) -> str:
    """The value with its surrogates turned back into bytes, and these into text."""
    if value.isascii():
        return value
    try:
        return text_of(value.encode("ascii", "surrogateescape"), None)
    except UnicodeEncodeError:
        return value


def addresses(values: Iterable[str], limit: int = MAX_ADDRESSES) -> tuple[MailAddress, ...]:
    """The addresses of one or more header values, each once, at most `limit`; what is no address is left out."""
    given = tuple(values)
    if not given:
        return ()
    if len(given) == 1 and len(given[0]) <= _SHORT_CHARACTERS:
        return _short_list(given[0])[:limit]
    return _listed(given, limit)


@lru_cache(maxsize=256)  # of one mail, the same few headers are asked for several times
def _short_list(value: str) -> tuple[MailAddress, ...]:
    plain = _PLAIN_ADDRESS.fullmatch(value.strip())
    if plain is None:
        return _listed((value,), MAX_ADDRESSES)
    address = normal_address(plain[2] or plain[3])
    return () if address is None else (MailAddress(address=address, name=unstructured(plain[1]) or None),)


def _listed(values: tuple[str, ...], limit: int) -> tuple[MailAddress, ...]:
    found: dict[str, MailAddress] = {}
    joined = [_SPACE.sub(" ", value[:_MAX_ADDRESS_LIST_CHARACTERS]) for value in values]
    for name, address in _pairs(joined):
        normal = normal_address(_raw(address))
        if normal is not None and normal not in found:
            found[normal] = MailAddress(address=normal, name=unstructured(name) or None)
            if len(found) == limit:
                break
    return tuple(found.values())


def _pairs(values: list[str]) -> list[tuple[str, str]]:
    try:
        pairs = email.utils.getaddresses(values)
    except (ValueError, IndexError, TypeError, RecursionError):
        pairs = []
    if any(address for _, address in pairs):
        return pairs
    return [
        ("", match[0]) for value in values for match in _ADDRESS_WITHIN.finditer(_raw(value))
    ]  # a broken list may still name some


def normal_address(address: str | None) -> str | None:
    """An address in the one spelling that we compare: no brackets, lower case; None if it is none."""
    if not address:
        return None
    bare = address.strip().strip("<>").strip().lower()
    if len(bare) > MAX_ADDRESS_CHARACTERS or _ADDRESS.fullmatch(bare) is None:
        return None
    return exact_text(bare, MAX_ADDRESS_CHARACTERS)


def normal_addresses(values: Iterable[str]) -> tuple[str, ...]:
    """Those that are addresses, each once."""
    return tuple(dict.fromkeys(address for value in values if (address := normal_address(value)) is not None))


def without_tag(address: str) -> str:
    """The address without its `+tag`."""
    local, _, domain = address.rpartition("@")
    base = local.split("+", 1)[0]
    return f"{base}@{domain}" if base else address


def message_ids(value: str | None, limit: int = MAX_REFERENCES) -> tuple[str, ...]:
    """The ids of `References` or `In-Reply-To`, without brackets, each once, the last `limit` of them."""
    found = dict.fromkeys(_ID.findall(value[-_MAX_ADDRESS_LIST_CHARACTERS:])) if value else {}
    if value and not found and _BARE_ID.fullmatch(value.strip()):
        found = {value.strip(): None}  # one alone without its brackets, as some programs write it
    usable = [identity for identity in found if exact_text(_raw(identity)) == identity]
    return tuple(usable[-limit:])


def message_id(value: str | None) -> str | None:
    """One `Message-ID`, without brackets; also one that came without them."""
    if not value:
        return None
    match = _ID.search(value)
    return exact_text(_raw(match[1] if match else _SPACE.sub("", value.strip().strip("<>"))))


def date_ms(value: str | None) -> int | None:
    """A `Date` header in ms since the epoch, UTC; None for what is none, or lies outside of 1990 to 2100."""
    if not value:
        return None
    try:
        moment = int(email.utils.parsedate_to_datetime(value[:256].strip()).timestamp() * 1000)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None
    return moment if _YEAR_1990_MS <= moment < _YEAR_2100_MS else None
