"""How `channels apply` shows what it changes: per object, field by field, old -> new, for people and for programs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from services.cli.printing import printable
from shared.management.manifest_diff import Action, Difference
from shared.management.manifest_pass import AppliedConnector, Report

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.REMOVE: "-"}
# What a new connector brings along by itself: one line for all of a kind.
_BROUGHT = {"capability": "capabilities, as the provider's preset has them", "health_check": "first check"}
_HIDDEN = {"data_key"}  # made on first need; there is nothing to see of it


def told(report: Report, *, dry_run: bool) -> str:
    """Everything, for a person."""
    names = _names(report)
    lines = list(_lines(report, names, dry_run=dry_run))
    lines += [*([""] if lines else []), *_summary(report, dry_run=dry_run)]
    if report.unnamed:
        lines.append(f"in force and not in the file: {len(report.unnamed)}, left as they are (`--prune` takes them out of force)")
        lines += [f"  {one.kind} {_of(one.name, one.parent_id, names)}  {one.id}" for one in report.unnamed]
    for connector in report.connectors:
        lines += _standing(connector, report.invented if dry_run else frozenset())
    return "\n".join([*lines, *(f"note: {printable(note)}" for note in report.notes)])


def as_data(report: Report, *, dry_run: bool) -> dict[str, Any]:
    """Everything, for a program. In a dry run the ids that it made up are null: another run makes up others."""
    gone = report.invented if dry_run else frozenset()
    counts = Counter(one.action for one in report.differences)
    data = {
        "dry_run": dry_run,
        "counts": {**{action.value: counts[action] for action in Action}, "unchanged": report.unchanged},
        "differences": [asdict(one) for one in report.differences],
        "not_in_file": [asdict(one) for one in report.unnamed],
        "tenants": [asdict(one) for one in report.tenants],
        "connectors": [asdict(one) for one in report.connectors],
        "notes": report.notes,
        "changes": [
            {"action": one.action, "subject_type": one.subject_type, "subject_id": one.subject_id} for one in report.changes
        ],
    }
    cleaned: dict[str, Any] = _without(data, gone)
    return cleaned


def _lines(report: Report, names: dict[str, str], *, dry_run: bool) -> Iterator[str]:
    new_connectors = {one.id for one in report.differences if one.kind == "connector" and one.action is Action.CREATE}
    gone = report.invented if dry_run else frozenset()
    brought: Counter[tuple[str, str | None]] = Counter()
    for one in report.differences:
        if one.kind in _BROUGHT and one.action is Action.CREATE and one.parent_id in new_connectors:
            brought[one.kind, one.parent_id] += 1
        elif one.kind not in _HIDDEN:
            yield from _difference(one, names, gone)
    for (kind, parent_id), count in brought.items():
        yield f"+ {count} {_BROUGHT[kind]}, of {names.get(parent_id or '', '?')}"


def _difference(one: Difference, names: dict[str, str], gone: frozenset[str]) -> Iterator[str]:
    yield f"{_SIGNS[one.action]} {one.kind} {_of(one.name, one.parent_id, names)}  {_known(one.id, gone)}"
    for name, side in one.fields.items():
        if one.action is Action.CREATE and side.new is not None:
            yield f"    {printable(name)}: {_known(_value(side.new), gone)}"
        elif one.action is Action.CHANGE:
            yield f"    {printable(name)}: {_known(_value(side.old), gone)} -> {_known(_value(side.new), gone)}"


def _known(text: str, gone: frozenset[str]) -> str:
    # Ids that a dry run made up: the next one makes up others.
    return _ID.sub(lambda found: "(new)" if found[0] in gone else found[0], text) if gone else text


def _summary(report: Report, *, dry_run: bool) -> Iterable[str]:
    counts = Counter(one.action for one in report.differences if one.kind not in _HIDDEN)
    if not counts:
        return [f"nothing to change: everything is as the file says ({report.unchanged} objects)"]
    tense = "to be " if dry_run else ""
    parts = [f"{counts[action]} {tense}{action.value}d" for action in Action if counts[action]]
    end = "  (dry run: nothing was written)" if dry_run else ""
    return [f"{', '.join(parts)}, {report.unchanged} unchanged{end}"]


def _standing(connector: AppliedConnector, gone: frozenset[str]) -> Iterator[str]:
    if connector.id in gone:
        return  # its address is not known yet
    yield f"\n{printable(connector.nome)} ({connector.tipo}, {connector.status})  {connector.id}"
    yield f"  webhook  {connector.webhook_url}"
    for account in connector.accounts:
        yield f"  account  {printable(account.identidade)} ({account.status})  {_known(account.id, gone)}"


def _names(report: Report) -> dict[str, str]:
    names = {one.id: one.name for one in report.differences} | {one.id: one.name for one in report.unnamed}
    names |= {account.id: account.identidade for connector in report.connectors for account in connector.accounts}
    names |= {connector.id: connector.nome for connector in report.connectors}
    return {row_id: _value(name) for row_id, name in names.items()}


def _of(name: str, parent_id: str | None, names: dict[str, str]) -> str:
    parent = names.get(parent_id or "")
    return f"{_value(name)} of {parent}" if parent else _value(name)


def _value(value: object) -> str:
    if value is None:
        return "-"
    return printable("***" if value == "***" else json.dumps(value, ensure_ascii=False))


def _without(value: Any, gone: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(part, gone) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without(part, gone) for part in value]
    return None if isinstance(value, str) and gone & set(_ID.findall(value)) else value
