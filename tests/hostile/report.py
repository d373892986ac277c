"""Writes what the campaign found: text, JSON (build/hostile.*), and docs/HOSTILE_CLIENTS.md for everybody.

The JSON keeps the last outcome of every part, so that a run of one part renews that part only.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tests.bench.machine import describe
from tests.bench.processes import ROOT
from tests.hostile.parts import Finding

TEXT, RECORD = ROOT / "build" / "hostile.txt", ROOT / "build" / "hostile.json"
PAGE = ROOT / "docs" / "HOSTILE_CLIENTS.md"
ORDER = ("slow", "idle", "forged", "schemes", "restarts", "fuzz", "matrix")
_HEAD = """# Hostile clients

Written by `make hostile`; do not edit. A small round of the same runs in `make test`.

Real `python -m services.ingest` processes on a real Kafka (acks=all), raw sockets on the loopback. Load, broker and edge share
the machine, and other work may do so too: times are to look at, counts are held by the run.

In the last table `kept` means that a further request on the same connection was answered rightly, `closed` that the server closed
it, `waiting` that it still waited when the client gave up. uvicorn and Granian run with their default limits and an application
that makes the same checks and stores nothing. 501 and 505 are what RFC 9110 names for a client's wish that nobody has to know.
"""


def as_text(finding: Finding) -> str:
    """One part for the terminal."""
    faults = [f"  FAULT {fault}" for fault in finding.faults]
    return "\n".join([finding.title, *(f"  {line}" for line in finding.lines), *faults])


def write(findings: dict[str, Finding], seconds: float) -> None:
    """Renew the parts that ran, in all three files."""
    known: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    context = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "seconds": round(seconds), "machine": describe()}
    known |= {name: asdict(finding) | {"context": context} for name, finding in findings.items()}
    ordered = {name: known[name] for name in ORDER if name in known}
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(ordered, indent=1) + "\n")
    TEXT.write_text("\n".join(_plain(part) for part in ordered.values()) + "\n")
    PAGE.write_text("\n".join([_HEAD, *(_section(part) for part in ordered.values())]))


def _plain(part: dict[str, Any]) -> str:
    return "\n".join([part["title"], *(f"  {line}" for line in part["lines"]), *(f"  FAULT {fault}" for fault in part["faults"])])


def _section(part: dict[str, Any]) -> str:
    lines = [
        f"## {part['title']}",
        "",
        *(f"- {line}" for line in part["lines"]),
        *(f"- FAULT: {fault}" for fault in part["faults"]),
    ]
    machine = part["context"]["machine"]
    shown = "; ".join(f"{name}: {machine[name]}" for name in ("processor", "memory", "system", "Python", "Kafka", "source"))
    lines += ["", f"{part['context']['date']}, `make hostile`; {shown}.", ""]
    if part["table"]:
        head, *rows = part["table"]
        lines += [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows), ""]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
