"""Which parts of a raw mail are what somebody wrote, as one text.

Of `multipart/alternative` one child is read, plain text before HTML; of everything else all parts are, in their order: a list's
footer stands as plain text behind a letter in HTML, and programs cut a letter in two around a picture (RFC 2046 §5.1).
"""

from __future__ import annotations

from shared.providers.email.bodies import part_text
from shared.providers.email.decoding import unstructured
from shared.providers.email.html_text import text_of_html
from shared.providers.email.mime import Head, MimePart

_MAX_CHARACTERS = 1_000_000  # of all that is read; an event keeps 65 536 of it


def is_text(leaf: MimePart, wanted: str) -> bool:
    """Part of what is to be read: no file by its disposition or its name."""
    if leaf.content_type != wanted:
        return False
    disposition = (leaf.head.first("content-disposition") or "").split(";", 1)[0].strip().lower()
    return disposition != "attachment" and filename_of(leaf.head) is None


def filename_of(head: Head) -> str | None:
    """The name of a part's file as stated: RFC 2231, or RFC 2047 words as many programs write them all the same."""
    stated = head.parameter("content-disposition", "filename") or head.parameter("content-type", "name")
    return unstructured(stated, 4_096)


class Texts:
    """Reads the texts of one mail. Each part is read once, however alternatives are nested, until the bound is reached."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._left = _MAX_CHARACTERS
        self._read: dict[str, list[str]] = {}

    def of(self, part: MimePart) -> list[str]:
        """The texts of a part and of those inside of it."""
        if not part.content_type.startswith("multipart/"):
            return self._leaf(part)
        if part.content_type == "multipart/alternative":
            return self._alternative(part)
        return [text for child in part.children for text in self.of(child)]

    def _alternative(self, part: MimePart) -> list[str]:
        plain = [child for child in part.children if not any(leaf.content_type == "text/html" for leaf in child.leaves())]
        for child in (*plain, *part.children):
            texts = self._read.get(child.number)
            if texts is None:
                texts = self._read[child.number] = self.of(child)
            if any(text.strip() for text in texts):
                return texts
        return []

    def _leaf(self, leaf: MimePart) -> list[str]:
        html = is_text(leaf, "text/html")
        if self._left <= 0 or not (html or is_text(leaf, "text/plain")):
            return []
        source = part_text(self._body, leaf)
        self._left -= len(source)
        return [text_of_html(source) if html else source]
