"""Which aliases are one person. Pure: unites alias sets in memory before any row is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

AliasSet = frozenset[str]


def unite(alias_sets: Iterable[tuple[str, ...]]) -> list[AliasSet]:
    """Join all sets that share an alias; the result is disjoint, each set one person of one connector."""
    alias_sets = dict.fromkeys(alias_sets)
    if all(len(aliases) == 1 for aliases in alias_sets):  # mostly a person has one name, and nothing to unite
        return [frozenset(aliases) for aliases in alias_sets]
    parent: dict[str, str] = {}

    def root(alias: str) -> str:
        while parent[alias] != alias:
            parent[alias] = parent[parent[alias]]
            alias = parent[alias]
        return alias

    for aliases in alias_sets:
        for alias in aliases:
            parent.setdefault(alias, alias)
        for other in aliases[1:]:
            parent[root(other)] = root(aliases[0])
    people: dict[str, set[str]] = {}
    for alias in parent:
        people.setdefault(root(alias), set()).add(alias)
    return [frozenset(aliases) for aliases in people.values()]


def choose(aliases: AliasSet, known: Mapping[str, str]) -> tuple[str | None, bool]:
    """The contact id for one person, and whether two older ids collide (then the oldest is used, nothing is merged).

    `known` maps alias keys to the contact ids that stand in the database; UUIDv7 text sorts by age.
    """
    if len(aliases) == 1:
        (alias,) = aliases
        return known.get(alias), False
    ids = sorted({known[alias] for alias in aliases if alias in known})
    return (ids[0] if ids else None), len(ids) > 1
