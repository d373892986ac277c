"""docs/CAMPAIGN.md: the parts that a run writes itself, each between two comments; everything else is written by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.chaos.planted.stage import Result
from tests.chaos.report import Report

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "CAMPAIGN.md"


def planted_tables(results: Sequence[Result]) -> str:
    """What is wrong, where it is planted, what caught it; and the controls."""
    faults = [one for one in results if not one.case.is_control]
    rows = ["| service | what is wrong | `planted/` | caught by | after |", "|---|---|---|---|---|"]
    for one in faults:
        case = one.case
        beside = "".join(f" + {module}" for module in case.beside.values())
        caught = one.caught if one.as_expected else f"**not as it must be**: {one.found}"
        rows.append(f"| {case.service} | {case.wrong} | {case.module}{beside} | {caught} | {one.after} |")
    rows += [
        "",
        "`after`: the number of the first element that shows it, of all that were posted; where none does, how many were posted.",
        "",
        "| service | control, to be clean | elements posted |",
        "|---|---|---|",
    ]
    for one in results:
        if one.case.is_control:
            told = "" if one.report.verdict.clean else f" ({one.found})"
            wrong = told if one.as_expected else f" **not as it must be**{told}"
            rows.append(f"| {one.case.service} | {one.case.wrong.removeprefix('control: ')}{wrong} | {one.report.posted} |")
    return "\n".join(rows)


def scenario_table(results: Sequence[Mapping[str, object]]) -> str:
    """What held and what repeated after each disaster."""
    rows = ["| after | holds | may be | was, in this run | verdict |", "|---|---|---|---|---|"]
    for one in results:
        happened = one["happened"]
        told = ", ".join(f"`{kind}` {count}" for kind, count in happened.items()) if isinstance(happened, Mapping) else ""
        verdict = "as promised" if one["clean"] else "**not as promised**"
        rows.append(f"| {one['name']} | {one['holds']} | {one['may']} | {told or 'nothing'} | {verdict} |")
    return "\n".join(rows)


def run_text(report: Report, seconds: float) -> str:
    """The report as it was printed."""
    return f"```\n{report.as_text()}\nall in {seconds:.0f} s\n```"


def write(parts: Mapping[str, str], document: Path = DOCUMENT) -> None:
    """Put each text between `<!-- name -->` and `<!-- end name -->`. Raises ValueError where the document has no such place."""
    text = document.read_text()
    for name, part in parts.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text, found = place.subn(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)
        if found != 1:
            raise ValueError(f"{document} has no place for {name}")
    document.write_text(text)
