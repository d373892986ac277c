"""What one application of a manifest changes, per object and field by field, out of the changes that the use cases made.

Values come as the audit log has them: a secret is `***` on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.management.changes import Change
from shared.management.masking import MASK

# What moves with a change and is none by itself.
_SILENT = frozenset({"id", "connector_id", "account_id", "tenant_id", "created_at", "version", "fingerprint"})


class Action(StrEnum):
    """What happens to an object."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Field:
    """One field, old and new; None where there is no value."""

    old: Any
    new: Any


@dataclass(slots=True)
class Difference:
    """One object. `kind` is its table without `channel_`; members of JSON are fields of their own, with a dot."""

    action: Action
    kind: str
    id: str
    name: str
    parent_id: str | None
    fields: dict[str, Field] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unnamed:
    """One object that is in force and that the file does not name. `kind` as in a difference."""

    kind: str
    id: str
    name: str
    parent_id: str | None


def differences(changes: Iterable[Change]) -> list[Difference]:
    """One for each object, in the order of their first change; several changes to one object become one."""
    found: dict[tuple[str, str], tuple[Difference, dict[str, Any], dict[str, Any]]] = {}
    for change in changes:
        kind = change.subject_type.removeprefix("channel_")
        if (kind, change.subject_id) not in found:
            action = Action.CREATE if change.before is None else Action.CHANGE
            difference = Difference(action, kind, change.subject_id, change.name, change.parent_id)
            found[kind, change.subject_id] = (difference, {}, {})
        difference, before, after = found[kind, change.subject_id]
        difference.name = change.name
        if difference.action is not Action.CREATE:  # what a creation made is nothing old
            before |= {name: value for name, value in (change.before or {}).items() if name not in before}
        if change.after is None:
            difference.action = Action.REMOVE
            after.clear()
        after |= change.after or {}
    for difference, before, after in found.values():
        difference.fields = _fields(before, after)
    return [difference for difference, _, _ in found.values() if difference.fields or difference.action is not Action.CHANGE]


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Field]:
    old, new = dict(_flat(before)), dict(_flat(after))
    sides = {name: Field(old.get(name), new.get(name)) for name in {**old, **new} if name.rpartition(".")[2] not in _SILENT}
    # A masked column stands here because it did change; a masked member of JSON may be as it was.
    return {name: side for name, side in sides.items() if side.old != side.new or (side.new == MASK and "." not in name)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
