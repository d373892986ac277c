"""What somebody wrote, apart from what their program quoted below or above it. English, Portuguese, Spanish and neighbours.

Conservative: an answer between the lines of a quotation stays whole, a forwarded mail too, and where nothing but quotation
would be left nothing is cut. Each rule looks at single lines, so the time is linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAX_LINES = 5_000
_MAX_WRAPPED = 4  # lines over which programs break "On … wrote:"
_MAX_LINE = 400

_QUOTED = re.compile(r"\s{0,3}>")
_WROTE = re.compile(
    r"(?:wrote|writes|escreveu|escribió|escribio|a écrit|ha scritto|schrieb|schreef)"
    r"(?:[^<>:]{0,100}<[^<>\s@]{1,200}@[^<>\s@]{1,200}>|\s+[^<>\s@]{1,200}@[^<>\s@]{1,200})?\s*:?\s*$",
    re.IGNORECASE,
)
_WROTE_BEGINS = re.compile(
    r"(?:>\s*)?(?:on|at|em|no dia|na|el|a las|le|il|am|op|\d{1,4}[-/. ]|(?:mon|tue|wed|thu|fri|sat|sun|seg|ter|qua|qui|sex"
    r"|s[áa]b|dom|lun|mar|mi[ée]|jue|vie)[a-zç-]*[,. ])",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"\s*(?:[-_#]{2,}\s*)?(?:original message|original appointment|mensagem original|mensaje original|message d'origine"
    r"|messaggio originale|urspr[üu]ngliche nachricht|reply above this line|responda acima desta linha)\s*[-_#]{0,}\s*$",
    re.IGNORECASE,
)
_RULED = re.compile(r"\s*[-_#]{2,}|.*[-_#]{2,}\s*$")  # rules around it: else these are words that may end somebody's sentence
_FORWARDED = re.compile(
    r"\s*(?:[-_]{2,}\s*)?(?:forwarded message|begin forwarded message|mensagem encaminhada|mensaje reenviado|message transféré"
    r"|weitergeleitete nachricht)\s*:?\s*[-_]{0,}\s*$",
    re.IGNORECASE,
)
_HEADER_LINE = re.compile(
    r"\s*\*?(from|de|von|da|sent|enviado(?: em| el)?|enviada em|date|data|fecha|gesendet|envoyé|to|para|an|à|a|cc"
    r"|subject|assunto|asunto|betreff|objet|oggetto)\s*:\*?\s+\S",
    re.IGNORECASE,
)
_SUBJECT_LINE = re.compile(r"\s*\*?(?:subject|assunto|asunto|betreff|objet|oggetto)\s*:", re.IGNORECASE)
_SENDER_LINE = re.compile(r"\s*\*?(?:from|de|von|da)\s*:\*?\s+\S", re.IGNORECASE)
# What every rule needs somewhere: a `>`, a word of `_ORIGINAL`, or a word of `_SENDER_LINE` where a line begins.
_ANY_SIGN = re.compile(
    r">|original|origin[ae]|urspr[üu]ngliche nachricht|above this line|acima desta linha|^[^\S\n]*\*?(?:from|de|von|da)[^\S\n]*:",
    re.IGNORECASE | re.MULTILINE,
)
_RULE = re.compile(r"\s*[_-]{10,}\s*$")


@dataclass(frozen=True, slots=True)
class Split:
    """`text` is what was written now, `quoted` what was left out (None: nothing was)."""

    text: str
    quoted: str | None = None


def split_quotation(text: str) -> Split:
    """Cut the quotation off a reply's text."""
    if _ANY_SIGN.search(text) is None:  # most mails: nothing of what follows could find anything in them
        return Split(text.strip("\n"))
    lines = text.split("\n")
    if len(lines) > _MAX_LINES:
        lines = [*lines[:_MAX_LINES], "\n".join(lines[_MAX_LINES:])]
    begin = _begin_of_quotation(lines)
    if begin is None:
        return Split(text.strip("\n"))
    written, quoted = lines[:begin], lines[begin:]
    if not any(line.strip() for line in written):
        return _answer_below(lines, begin)
    return Split("\n".join(written).strip(), "\n".join(quoted).strip())


def _begin_of_quotation(lines: list[str]) -> int | None:
    """Where the quotation begins that reaches to the end of the mail; or the one at its very beginning."""
    for index, line in enumerate(lines):
        if _FORWARDED.match(line[:_MAX_LINE]):
            return None
        if _begins_original(lines, index) or _begins_header_block(lines, index):
            return _without_rule(lines, index)
        if _QUOTED.match(line) or _attribution_ends(lines, index) is not None:
            return index if _only_quotation_follows(lines, index) or not _written_before(lines, index) else None
    return None


def _written_before(lines: list[str], index: int) -> bool:
    return any(line.strip() for line in lines[:index])


def _attribution_ends(lines: list[str], index: int) -> int | None:
    """The line behind "On … wrote:", which may be broken over several lines, where quoted lines follow it."""
    first = lines[index].strip()[:_MAX_LINE]
    if not _WROTE_BEGINS.match(first) and not _WROTE.search(first):
        return None
    for end in range(index, min(index + _MAX_WRAPPED, len(lines))):
        line = lines[end].strip()[:_MAX_LINE]
        if end > index and (not line or _QUOTED.match(line)):
            return None
        if _WROTE.search(line):
            return end + 1 if _quoted_follows(lines, end + 1) else None
    return None


def _quoted_follows(lines: list[str], index: int) -> bool:
    for line in lines[index : index + 3]:
        if line.strip():
            return _QUOTED.match(line) is not None
    return False


def _only_quotation_follows(lines: list[str], index: int) -> bool:
    behind = _attribution_ends(lines, index)
    return all(not line.strip() or _QUOTED.match(line) for line in lines[behind if behind is not None else index :])


def _begins_original(lines: list[str], index: int) -> bool:
    """A line that says so, between rules, or with quotation below it."""
    line = lines[index][:_MAX_LINE]
    if not _ORIGINAL.match(line):
        return False
    following = next((below for below in range(index + 1, min(index + 4, len(lines))) if lines[below].strip()), index)
    return _RULED.match(line) is not None or _QUOTED.match(lines[following]) is not None or _begins_header_block(lines, following)


def _begins_header_block(lines: list[str], index: int) -> bool:
    """`From:` and at least two more lines of a mail's head, as Outlook puts above what it quotes.

    In Portuguese and Spanish `De:`, `Para:` and `Data:` are also how somebody asks for a journey, so an address or a subject
    has to be among them.
    """
    if not _SENDER_LINE.match(lines[index][:_MAX_LINE]):
        return False
    block = [line[:_MAX_LINE] for line in lines[index : index + 6]]
    if sum(_HEADER_LINE.match(line) is not None for line in block) < 3:
        return False
    return "@" in block[0] or any(_SUBJECT_LINE.match(line) for line in block)


def _without_rule(lines: list[str], index: int) -> int:
    before = index - 1
    while before >= 0 and not lines[before].strip():
        before -= 1
    return before if before >= 0 and _RULE.match(lines[before][:_MAX_LINE]) else index


def _answer_below(lines: list[str], begin: int) -> Split:
    """The quotation stands first: what follows it is the answer, unless more quotation follows that."""
    behind = _attribution_ends(lines, begin)
    end = behind if behind is not None else begin
    while end < len(lines) and (not lines[end].strip() or _QUOTED.match(lines[end])):
        end += 1
    answer = lines[end:]
    if end == begin or not any(line.strip() for line in answer) or any(_QUOTED.match(line) for line in answer):
        return Split("\n".join(lines).strip("\n"))
    return Split("\n".join(answer).strip(), "\n".join(lines[:end]).strip())
