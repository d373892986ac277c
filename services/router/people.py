"""Which aliases are one person. Pure: unites alias sets in memory before any row is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

AliasSet = frozenset[str]


def unite(alias_sets: Iterable[tuple[str, ...]]) -> list[AliasSet]:
    """Join all sets that share an alias; the result is disjoint, each sorted set one person of one connector."""
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
    ids = sorted({known[alias] for alias in aliases if alias in known})
    return (ids[0] if ids else None), len(ids) > 1
