"""Tables for people: columns that align whatever script they hold, and no control character that a terminal would obey."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence

import click

_MOST_COLUMNS = 60  # of one cell


def print_json(value: object) -> None:
    """One document, indented; text stays readable."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """One line per row under a line of names; a missing value is `-`, a long one is cut, but text of the last column is not."""
    lines = [list(columns)]
    for row in rows:
        cells = [cell(row[column]) for column in columns]
        whole = isinstance(row[columns[-1]], str)  # such as an address: nothing stands behind it
        lines.append([*map(_cut, cells[:-1]), cells[-1] if whole else _cut(cells[-1])])
    widths = [max(width(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        click.echo("  ".join(padded(text, wide) for text, wide in zip(line, widths, strict=True)).rstrip())


def print_fields(row: Mapping[str, object]) -> None:
    """One line per field, uncut."""
    widest = max(width(name) for name in row)
    for name, value in row.items():
        click.echo(f"{padded(name, widest)}  {cell(value)}")


def cell(value: object) -> str:
    """A value on one line; nothing is `-`, what is no text is JSON."""
    if value is None:
        return "-"
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def printable(text: str) -> str:
    """Control and format characters spelled out: a name that a stranger chose must not move the cursor."""
    return "".join(
        letter if unicodedata.category(letter) not in {"Cc", "Cf", "Zl", "Zp"} else letter.encode("unicode_escape").decode()
        for letter in text
    )


def width(text: str) -> int:
    """How many columns of a terminal the text takes: none for a combining mark, two for a wide character."""
    return sum(_width(letter) for letter in text)


def padded(text: str, wide: int) -> str:
    """With spaces behind it, up to so many columns."""
    return text + " " * (wide - width(text))


def _width(letter: str) -> int:
    if unicodedata.category(letter) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _cut(text: str) -> str:
    if width(text) <= _MOST_COLUMNS:
        return text
    kept, taken = [], 0
    for letter in text:
        taken += _width(letter)
        if taken >= _MOST_COLUMNS:
            break
        kept.append(letter)
    return "".join(kept) + "…"
