"""Dead letters as `channels dlq` prints them: one line, one group, one letter; no payload in any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from services.cli.printing import print_json, printable
from shared.management.dead_letter_changes import EXPLAINED, Answer
from shared.management.dead_letter_fragments import masked_detail
from shared.management.dead_letters import Letter, Raw

COLUMNS = ("id", "dead_lettered_at", "age", "reason", "detail", "connector_id", "account_id", "attempt", "raw", "state")
GROUP_COLUMNS = ("count", "redrivable", "oldest", "newest", "example", "detail")
_SHOWN_IDS = 5
_OF = {
    "reason": lambda letter: letter.event.reason,
    "connector": lambda letter: letter.event.connector_id,
    "account": lambda letter: letter.event.account_id,
    "tenant": lambda letter: letter.event.tenant_id,
}
GROUPS = tuple(_OF)


@dataclass(slots=True)
class _Group:
    count: int = 0
    redrivable: int = 0  # open, and the raw record is there
    oldest_ms: int = 0
    newest: Letter | None = None


def line_of(letter: Letter, now: datetime) -> dict[str, Any]:
    """One row of a list; names of accounts are masked."""
    event = letter.event
    age = max(0, int(now.timestamp()) - event.dead_lettered_at_ms // 1000)
    return {
        "id": letter.id,
        "dead_lettered_at": time_of(event.dead_lettered_at_ms),
        "age_seconds": age,
        "age": _age(age),
        "tenant_id": event.tenant_id,
        "connector_id": event.connector_id,
        "account_id": event.account_id,
        "reason": event.reason,
        "detail": masked_detail(event.detail),
        "attempt": event.attempt,
        "raw": letter.raw.value,
        "state": letter.mark.outcome if letter.mark is not None else "open",
    }


def whole(letter: Letter, now: datetime) -> dict[str, Any]:
    """Everything about one letter but what its element says."""
    event, mark = letter.event, letter.mark
    sealed = event.sealed_fragment
    return {
        **line_of(letter, now),
        "detail": event.detail,
        "record_id": event.record_id,
        "first_arrival_at": time_of(event.first_arrival_at_ms) if event.first_arrival_at_ms else None,
        "origin": f"{event.origin.partition}/{event.origin.offset}",
        "item": event.origin.item or None,
        "tries": [f"{event.origin.partition}/{offset}" for offset in event.tries or (event.origin.offset,)],
        "raw_topic": event.origin_topic,
        "epoch": event.origin.epoch,
        "schema_version": event.schema_version,
        "fragment": None if sealed is None else f"<sealed {len(sealed)} bytes>",
        "by": mark.actor if mark is not None else None,
        "at": mark.at.isoformat() if mark is not None else None,
        "note": mark.note if mark is not None else None,
        "copy": _place(mark.copy) if mark is not None else None,
    }


def grouped(letters: Iterable[Letter], by: str) -> tuple[list[dict[str, Any]], dict[str, Letter]]:
    """One row for each value, the most frequent first; and the newest letter of each by its id."""
    groups: dict[str | None, _Group] = {}
    for letter in letters:
        group = groups.setdefault(_OF[by](letter), _Group(oldest_ms=letter.event.dead_lettered_at_ms))
        group.count += 1
        group.redrivable += letter.raw is Raw.THERE and letter.mark is None
        group.oldest_ms = min(group.oldest_ms, letter.event.dead_lettered_at_ms)
        if group.newest is None or letter.event.dead_lettered_at_ms >= group.newest.event.dead_lettered_at_ms:
            group.newest = letter
    rows: list[dict[str, Any]] = []
    examples: dict[str, Letter] = {}
    for value, group in sorted(groups.items(), key=lambda entry: -entry[1].count):
        if group.newest is not None:
            examples[group.newest.id] = group.newest
            rows.append(
                {
                    by: value,
                    "count": group.count,
                    "redrivable": group.redrivable,
                    "oldest": time_of(group.oldest_ms),
                    "newest": time_of(group.newest.event.dead_lettered_at_ms),
                    "example": group.newest.id,
                    "detail": masked_detail(group.newest.event.detail),
                }
            )
    return rows, examples


def tell_answers(answers: Sequence[Answer], done: str, *, dry_run: bool, as_json: bool) -> None:
    """What became of each letter: a document, or a line per kind of end."""
    if as_json:
        accepted = [{"id": one.letter.id, "copy": _place(one.copy)} for one in answers if one.refused is None]
        refused = [
            {"id": one.letter.id, "reason": one.refused, "told": EXPLAINED[one.refused]}
            for one in answers
            if one.refused is not None
        ]
        print_json({"dry_run": dry_run, done: accepted, "refused": refused})
        return
    count = sum(one.refused is None for one in answers)
    reasons = Counter(one.letter.event.reason for one in answers if one.refused is None)
    told = ", ".join(f"{number} {printable(reason)}" for reason, number in reasons.most_common())
    click.echo(f"{'would be ' if dry_run else ''}{done}: {count}" + (f" ({told})" if told else ""))
    for refusal in dict.fromkeys(one.refused for one in answers):
        if refusal is not None:
            ids = [one.letter.id for one in answers if one.refused == refusal]
            shown = ", ".join(ids[:_SHOWN_IDS]) + (", …" if len(ids) > _SHOWN_IDS else "")
            click.echo(f"not {done}: {len(ids)}: {EXPLAINED[refusal]} ({shown})", err=True)


def time_of(at_ms: int) -> str:
    """ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat()


def _age(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _place(place: tuple[int, int] | None) -> str | None:
    return f"{place[0]}/{place[1]}" if place is not None else None
