"""The contacts that a batch is about: found by the aliases its items name, or given once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.router.facts import Candidate, Facts
from services.router.lookups import people_of
from services.router.people import choose, unite
from shared.adapters import mapping_rows as mappings


class Contacts:
    """One batch's look at the rows of contacts. `cursor` is the store's."""

    def __init__(self, cursor: Any, new_id: Callable[[], str], on_collision: Callable[[str, int], None]) -> None:
        self._cursor = cursor
        self._new_id = new_id
        self._on_collision = on_collision

    def resolve(self, mine: Sequence[Candidate], facts: Facts) -> None:
        """Sets `facts.contacts`; rows that are missing are written on the way."""
        alias_sets: dict[str, list[tuple[str, ...]]] = {}
        for candidate in mine:
            aliases = people_of(candidate)
            if aliases:
                alias_sets.setdefault(candidate.opened.connector_id, []).append(tuple(alias.key for alias in aliases))
        wanted = {(connector, key) for connector, sets in alias_sets.items() for keys in sets for key in keys}
        found = {key: row[0] for key, row in mappings.find_mappings(self._cursor, "contact", wanted).items()}
        inserts: list[mappings.MappingInsert] = []
        people = [(connector, person) for connector, sets in alias_sets.items() for person in unite(sets)]
        given: dict[tuple[str, str], str] = {}
        for connector, person in people:
            known = {alias: found[connector, alias] for alias in person if (connector, alias) in found}
            contact, collides = choose(person, known)
            if collides:
                self._on_collision(connector, len(set(known.values())))
            contact = contact or self._new_id()
            for alias in person:
                if alias not in known:
                    given[connector, alias] = contact
                    inserts.append(_contact_row(connector, alias, contact))
        standing = {key: row[0] for key, row in mappings.insert_mappings(self._cursor, "contact", inserts).items()}
        found.update(self._repointed(people, found, given, standing))
        facts.contacts = found

    def _repointed(
        self,
        people: list[tuple[str, frozenset[str]]],
        found: dict[tuple[str, str], str],
        given: dict[tuple[str, str], str],
        standing: dict[tuple[str, str], str],
    ) -> dict[tuple[str, str], str]:
        """Where another writer was first with one alias, the rows we just added follow its contact."""
        if standing == given:
            return standing
        moved: list[tuple[str, str, str]] = []
        for connector, person in people:
            ours = [alias for alias in person if standing.get((connector, alias)) == given.get((connector, alias), "")]
            theirs = {**found, **standing}
            older = {alias: theirs[connector, alias] for alias in person if alias not in ours and (connector, alias) in theirs}
            winner, _ = choose(person, older)
            if winner is None:
                continue
            moved += [(connector, alias, winner) for alias in ours if standing[connector, alias] != winner]
        mappings.repoint_contacts(self._cursor, moved)
        return standing | {(connector, alias): contact for connector, alias, contact in moved}


def _contact_row(connector: str, alias: str, contact: str) -> mappings.MappingInsert:
    return mappings.MappingInsert(connector, None, alias, contact, kind=alias.partition(":")[0])
