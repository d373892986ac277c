"""The contacts that a batch is about: found by the aliases its items name, or given once, and what is new about them.

A batch whose people are known and have no new alias costs one statement. Whatever `people` decides is written here: new aliases,
aliases that were retired, which collisions were reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from services.router.facts import Candidate, Facts
from services.router.lookups import change_of, contact_of, people_of
from services.router.own_faults import OWN_EXCEPTION
from services.router.people import AliasKey, AliasRow, Mention, Move, Pair, People
from shared.adapters import alias_rows as store
from shared.adapters.alias_rows import AliasWrite
from shared.domain.items import Alias, PeopleChange


class Seen(NamedTuple):
    """An item and the people it names; `keys` are those of the aliases."""

    candidate: Candidate
    aliases: tuple[Alias, ...]
    keys: tuple[str, ...]
    change: PeopleChange | None


class Contacts:
    """One batch's look at the rows of contacts. `cursor` is the store's."""

    def __init__(self, cursor: Any, epoch: str, new_id: Callable[[], str], on_collision: Callable[[str, int], None]) -> None:
        self._cursor = cursor
        self._epoch = epoch
        self._new_id = new_id
        self._on_collision = on_collision

    def resolve(self, mine: Sequence[Candidate], facts: Facts) -> None:
        """Sets `facts.contacts`, `facts.news` and each candidate's contact; rows that are missing are written on the way."""
        seen = [_seen(one, aliases) for one in mine if (aliases := people_of(one))]
        wanted = {(one.candidate.opened.connector_id, key) for one in seen for key in one.keys}
        changing = {(one.candidate.opened.connector_id, key) for one in seen if one.change is not None for key in one.keys}
        people = self._fold(seen, wanted - changing, changing)
        new = {key: row for key, row in people.rows.items() if row.added_at_ms is not None}
        if not store.insert_aliases(self._cursor, [_write(key, row, _whole(key, row)) for key, row in new.items()]):
            people = self._fold_again(seen, wanted, new)
        self._remember_collisions(people)
        changed = [(key, row) for key, row in people.rows.items() if row.changed and row.added_at_ms is None]
        store.update_aliases(self._cursor, [_write(key, row, _memory(row)) for key, row in changed])
        facts.contacts = {key: row.contact_id for key, row in people.rows.items()}
        facts.news = dict(people.news())
        for one in seen:
            one.candidate.contact_id = contact_of(one.candidate, one.keys, facts)

    def _fold(
        self,
        seen: Iterable[Seen],
        wanted: set[AliasKey],
        locked: set[AliasKey],
        given: Mapping[AliasKey, AliasRow] | None = None,
    ) -> People:
        """`locked` are the keys whose rows may be changed: nobody else may change them meanwhile."""
        found = store.find_aliases(self._cursor, locked, lock=True) | store.find_aliases(self._cursor, wanted)
        rows = {key: _row(*row) for key, row in found.items()}
        for key, row in (given or {}).items():
            if (rows[key].contact_id, rows[key].by) == (row.contact_id, row.by):
                del rows[key]  # we have just added it: not a row of somebody else
        people = People(rows, self._new_id, given)
        for candidate, aliases, keys, change in seen:
            mine = self._positions(candidate)
            if change is not None or people.may_learn(candidate.opened.connector_id, keys, mine):
                people.see(_mention(candidate, aliases, change, mine))
        return people

    def _fold_again(self, seen: Iterable[Seen], wanted: set[AliasKey], given: dict[AliasKey, AliasRow]) -> People:
        """Another writer was first with one of the aliases: look again, and let the rows we just added follow its contact."""
        people = self._fold(seen, set(), wanted, given)
        ours = [(key, row) for key, row in people.rows.items() if row.added_at_ms is not None]
        store.update_aliases(self._cursor, [_write(key, row, _whole(key, row)) for key, row in ours])
        return people

    def _remember_collisions(self, people: People) -> None:
        unknown = [pair for pair, collision in people.collisions.items() if not collision.known]
        found: dict[Pair, str] = store.find_collisions(self._cursor, unknown)
        for connector, _, _ in people.remember(found):
            self._on_collision(connector, 2)

    def _positions(self, candidate: Candidate) -> tuple[str, ...]:
        opened, item = candidate.opened, candidate.item
        own = f"{self._epoch}/{opened.partition}/{opened.offset}/{item.path}"
        redrive = opened.record.redrive if opened.record is not None else None
        if redrive is None or redrive.reason != OWN_EXCEPTION:
            return (own,)
        # its first tries may have written the rows, and then could not write the events
        at = redrive.origin
        return (own, *(f"{at.epoch}/{at.partition}/{offset}/{item.path}" for offset in redrive.tries))


def _seen(candidate: Candidate, aliases: tuple[Alias, ...]) -> Seen:
    keys = (aliases[0].key,) if len(aliases) == 1 else tuple([alias.key for alias in aliases])
    return Seen(candidate, aliases, keys, change_of(candidate.item))


def _mention(candidate: Candidate, aliases: tuple[Alias, ...], change: PeopleChange | None, mine: tuple[str, ...]) -> Mention:
    retiring: frozenset[str] = frozenset()
    current: frozenset[str] = frozenset()
    if change is not None:
        kinds = {alias.kind for alias in change.new}
        current = frozenset(alias.key for alias in change.new)
        # a number is not given up because the person's id is another one: only what has a successor is retired
        retiring = frozenset(alias.key for alias in change.old if alias.kind in kinds) - current
    return Mention(
        place=candidate.order,
        connector_id=candidate.opened.connector_id,
        aliases=aliases,
        mine=mine,
        at_ms=candidate.opened.received_at_ms,
        retiring=retiring,
        current=current,
    )


def _row(contact_id: str, by: str | None, memory: str | None) -> AliasRow:
    if memory is None:
        return AliasRow(contact_id, by or "")
    kept = json.loads(memory)
    moves = tuple(Move(_milliseconds(at), who) for at, who in kept.get("moves", ()))
    return AliasRow(contact_id, by or "", moves, kept.get("collides", {}))


def _write(key: AliasKey, row: AliasRow, metadata: dict[str, Any]) -> AliasWrite:
    return AliasWrite(*key, row.contact_id, json.dumps(metadata, separators=(",", ":")))


def _whole(key: AliasKey, row: AliasRow) -> dict[str, Any]:
    return {"kind": key[1].partition(":")[0], "since": _iso(row.added_at_ms or 0), "by": row.by} | _memory(row)


def _memory(row: AliasRow) -> dict[str, Any]:
    """What is remembered of an alias beyond its beginning."""
    memory: dict[str, Any] = {}
    if row.moves:
        memory["moves"] = [(_iso(move.at_ms), move.by) for move in row.moves]
    if row.retired:
        memory["until"] = _iso(row.moves[-1].at_ms)
    if row.collides:
        memory["collides"] = row.collides
    return memory


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")


def _milliseconds(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1_000)
