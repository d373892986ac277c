"""Writes what was measured: text for the terminal, JSON for programs, `docs/PERFORMANCE.md` for everybody.

The JSON keeps the last outcome of every part, so that a run of one part renews that part's section only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.bench.measurement import Part, shorten
from tests.bench.processes import ROOT

PAGE = ROOT / "docs" / "PERFORMANCE.md"
RECORD = ROOT / "docs" / "performance.json"
ORDER = ("router", "ingest", "e2e", "memory", "normalise", "control", "redelivery", "health")

_HEAD = """# Performance

Written by `make bench`; do not edit. The same figures are in [performance.json](performance.json).

Every ratio compares two things measured side by side in one run, on a real Kafka (acks=all) and a real PostgreSQL, with
broker, database, load and servers sharing the machine named below. Values are medians of interleaved rounds; in brackets
the smallest and the largest round. The control compares a candidate with itself: its distance from 1 is the machine's drift, and
a ratio means nothing below it. The machines are often shared with other work, so compare ratios, not values, between sections.

`make bench` measures all of it in about a quarter of an hour, `make bench BENCH=router` one part
(the others: ingest, e2e, memory, normalise, control, redelivery, health).
"""


def keep(part: Part, context: dict[str, Any], record: Path = RECORD) -> dict[str, Any]:
    """Put the part's outcome into the record, and return the whole record."""
    known: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
    known[part.name] = {**part.as_dict(), "context": context}
    ordered = {name: known[name] for name in ORDER if name in known}
    record.write_text(json.dumps(ordered, indent=1) + "\n")
    return ordered


def as_text(part: dict[str, Any]) -> str:
    """One part for the terminal."""
    lines = [part["title"]]
    if part["series"]:
        lines += _aligned(_series_rows(part["series"]))
    if part["comparisons"]:
        lines += ["", *_aligned(_comparison_rows(part["comparisons"]))]
    for title, table in part["tables"].items():
        lines += ["", title, *(f"  {line}" for line in table)]
    return "\n".join([*lines, "", *(f"- {note}" for note in part["notes"])])


def write_page(record: dict[str, Any], page: Path = PAGE) -> None:
    """Render the page from the record."""
    page.write_text("\n".join([_HEAD, *(_section(part) for part in record.values())]))


def _section(part: dict[str, Any]) -> str:
    context = part["context"]
    lines = [f"## {part['title']}", "", f"{context['date']}, `{context['command']}`, {context['seconds']} s.", ""]
    if part["comparisons"]:
        lines += [*_markdown(_comparison_rows(part["comparisons"])), ""]
    if part["series"]:
        lines += [*_markdown(_series_rows(part["series"])), ""]
    for title, table in part["tables"].items():
        lines += [f"{title}:", "", "```", *table, "```", ""]
    lines += [f"- {note}" for note in part["notes"]]
    settings = "; ".join(f"{name}: {_plain(value)}" for name, value in part["settings"].items())
    machine = "; ".join(f"{name}: {value}" for name, value in context["machine"].items())
    return "\n".join([*lines, f"- Settings: {settings}.", f"- Measured on {machine}.", ""])


def _comparison_rows(comparisons: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("measure", "candidate", "value", "against", "value", "ratio", "target", "")]
    for one in comparisons:
        target = "" if one["target"] is None else f"{'≤' if one['at_most'] else '≥'} {one['target']:g}"
        ours, theirs = (f"{shorten(one[key])} {one['unit']}" for key in ("value", "rival_value"))
        rows.append((one["measure"], one["candidate"], ours, one["rival"], theirs, f"{one['ratio']:.3g}", target, one["verdict"]))
    return rows


def _series_rows(series: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("candidate", "measure", "median", "rounds")]
    for one in series:
        ordered = sorted(one["values"])
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        spread = f"{len(ordered)} ({shorten(ordered[0])} to {shorten(ordered[-1])})"
        rows.append((one["candidate"], one["measure"], f"{shorten(middle)} {one['unit']}", spread))
    return rows


def _markdown(rows: list[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _plain(value: object) -> str:
    return ", ".join(f"{name} {each}" for name, each in value.items()) if isinstance(value, dict) else str(value)
