"""The text of an HTML mail, for reading and searching: one pass, in linear time whatever a stranger wrote.

Not a browser: markup goes, words stay, paragraphs become lines, and what a mail quotes gets `> ` so that the rules for
plain text find it. The HTML itself stays in the raw body (`Email.html_part`); nothing of it is ever shown from here.
"""

from __future__ import annotations

import html
import re

MAX_HTML_CHARACTERS = 1_000_000
_LINE_TAGS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form"),
        *(
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "header",
            "hr",
            "li",
            "main",
            "nav",
            "ol",
            "p",
            "pre",
            "section",
            "table",
            "tr",
            "ul",
        ),
    }
)
_UNSEEN = frozenset({"head", "script", "style", "template", "title", "noscript"})
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:-]{0,30})")
_SPACES = re.compile(r"[ \t\r\n\f\v]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_MAX_DEPTH = 5
_LONG_REFERENCE = re.compile(r"&#[0-9]{8,};?")  # no character has such a number, and Python refuses to read very long ones


def text_of_html(source: str) -> str:
    """The words of a document, a line per paragraph; quoted lines begin with `> `, once for each level (5 at most)."""
    source = source[:MAX_HTML_CHARACTERS]
    lowered = source.lower()
    if len(lowered) != len(source):  # a letter that grows in lower case moves all places behind it
        lowered = source.translate(_TO_LOWER)
    lines: list[str] = []
    words: list[str] = []
    unclosed: set[str] = set()
    position, quotes = 0, 0
    while True:
        opening = source.find("<", position)
        words.append(source[position:] if opening < 0 else source[position:opening])
        if opening < 0:
            break
        match = _TAG.match(source, opening)
        if match is None:
            position = _behind(source, opening)
            if position == opening + 1:
                words.append("<")
            continue
        name, closing = match[1].lower(), source[opening + 1] == "/"
        end = source.find(">", match.end())
        position = len(source) if end < 0 else end + 1
        if name in _UNSEEN and not closing and name not in unclosed:
            position, found = _behind_unseen(lowered, name, position)
            if not found:
                unclosed.add(name)  # looked for once: a thousand more of it must not search the rest a thousand times
        elif name in _LINE_TAGS:
            lines.append(_line(words, quotes))
            words.clear()
            if name == "blockquote":
                quotes = max(0, quotes + (-1 if closing else 1))
        elif name in ("td", "th"):
            words.append(" ")
    lines.append(_line(words, quotes))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


_TO_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def _behind(source: str, opening: int) -> int:
    """Behind a comment, a declaration or a processing instruction; one character on where it is only a `<`."""
    if source.startswith("<!--", opening):
        end = source.find("-->", opening + 4)
        return len(source) if end < 0 else end + 3
    if source.startswith(("<!", "<?"), opening):
        end = source.find(">", opening)
        return len(source) if end < 0 else end + 1
    return opening + 1


def _behind_unseen(lowered: str, name: str, position: int) -> tuple[int, bool]:
    """Behind what is not shown, and whether it was closed; a head that never closes must not swallow the letter."""
    end = lowered.find(f"</{name}", position)
    if end < 0:
        return (len(lowered) if name != "head" else position), False
    closed = lowered.find(">", end)
    return (len(lowered) if closed < 0 else closed + 1), True


def _line(words: list[str], quotes: int) -> str:
    text = _LONG_REFERENCE.sub("\ufffd", _SPACES.sub(" ", "".join(words)))
    text = html.unescape(text).replace("\u00a0", " ").strip()
    return f"{'> ' * min(quotes, _MAX_DEPTH)}{text}" if text else ""
