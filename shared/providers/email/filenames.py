"""What is told of attachments, made harmless. A name is shown and proposed when saving, and never anything more."""

from __future__ import annotations

import re
import unicodedata

MAX_FILENAME_CHARACTERS = 160
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9¹²³]|LPT[0-9¹²³]|CONIN\$|CONOUT\$)", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*]')
# Control, format (also the marks that turn reading direction: `exe.gpj` shown as `jpg.exe`), surrogate, private use, unassigned
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAX_EXTENSION = 16


def harmless_filename(name: str | None) -> str | None:
    """The last part of a path without what could deceive or break: separators, control and direction marks, reserved names.

    At most 160 characters, the extension kept. None if nothing is left.
    """
    if not name:
        return None
    shown = "".join(character for character in name[:4_096] if unicodedata.category(character) not in _INVISIBLE)
    last = re.split(r"[/\\\u2044\u2215\u29f8\uff0f\uff3c]", shown)[-1]
    last = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", last)).strip(" .\u00a0\u3000")
    if not last:
        return None
    if _RESERVED.fullmatch(last.split(".", 1)[0].rstrip()):
        last = f"_{last}"
    if len(last) <= MAX_FILENAME_CHARACTERS:
        return last
    stem, dot, extension = last.rpartition(".")
    if dot and len(extension) <= _MAX_EXTENSION:
        return f"{stem[: MAX_FILENAME_CHARACTERS - len(extension) - 1].rstrip(' .')}.{extension}"
    return last[:MAX_FILENAME_CHARACTERS].rstrip(" .")


def plausible_size(stated: object) -> int | None:
    """A size in bytes as a provider states it; None for what no file has (and no encoder takes)."""
    return stated if type(stated) is int and 0 <= stated < 1 << 40 else None
