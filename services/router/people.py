"""Which aliases are one person: a fold over a batch in order of arrival. Pure: rows and mentions in, rows and news out.

An alias belongs to the item by which it came to its contact (`by`, a position of the raw topic in text), and so do the moments
at which it was retired or came back. That alone decides who publishes what is new: a replay finds its own positions and says the
same again, a repeat finds another's and is silent. Contacts that were born in this batch may still become one; contacts that
stand in the database never do, they collide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.domain.items import Alias

AliasKey = tuple[str, str]  # connector, alias key
Pair = tuple[str, str, str]  # connector, older contact, younger contact
Place = tuple[int, int, int]  # order of arrival
MAX_MOVES = 16  # of one alias that are remembered; even, so that dropping the two oldest changes nothing


class Move(NamedTuple):
    """An alias was retired, or (each second time) came back into use."""

    at_ms: int
    by: str


@dataclass(slots=True)
class AliasRow:
    """One alias as it stands. `by` is empty for rows of releases that did not write it: they are nobody's.

    `collides`: older contact -> who found that the alias's own contact may be the same person.
    """

    contact_id: str
    by: str = ""
    moves: tuple[Move, ...] = ()
    collides: dict[str, str] = field(default_factory=dict)
    added_at_ms: int | None = None  # set while the row is not in the database yet
    changed: bool = False

    @property
    def retired(self) -> bool:
        """Used no more, as the provider said; it leads to its contact all the same."""
        return len(self.moves) % 2 == 1

    def move(self, at_ms: int, by: str) -> None:
        """Retire it, or bring it back."""
        self.moves = (*self.moves[2 if len(self.moves) == MAX_MOVES else 0 :], Move(at_ms, by))
        self.changed = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One item's word about a person: all `aliases` are the same one. `mine` are the positions that the item stands for
    (its own first); `retiring` and `current` are keys of aliases that the provider says are used no more, or now."""

    place: Place
    connector_id: str
    aliases: tuple[Alias, ...]
    mine: tuple[str, ...]
    at_ms: int
    retiring: frozenset[str] = frozenset()
    current: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What one item brought about for a contact known before. `collided` are younger contacts that may be the same person."""

    contact_id: str
    added: tuple[Alias, ...] = ()
    retired: tuple[Alias, ...] = ()
    collided: tuple[str, ...] = ()


@dataclass(slots=True)
class Collision:
    """Two contacts of the database that an item took for one person. `key` is an alias of the younger that was in hand."""

    by: str
    key: AliasKey
    known: bool


@dataclass(slots=True)
class _Born:
    number: int
    keys: list[AliasKey]


class People:
    """The people of one batch. `rows` are those of the database and become those that are to stand there.

    `given` are ids that this batch has written already (a second look, after another writer was first with one of the aliases).
    """

    def __init__(
        self, rows: dict[AliasKey, AliasRow], new_id: Callable[[], str], given: Mapping[AliasKey, AliasRow] | None = None
    ) -> None:
        self.rows = rows
        self.collisions: dict[Pair, Collision] = {}
        self._new_id = new_id
        self._given = given or {}
        self._born: dict[str, _Born] = {}
        self._mentions: list[Mention] = []

    def may_learn(self, connector: str, keys: Iterable[str], mine: tuple[str, ...]) -> bool:
        """Whether there is anything to see: mostly all aliases lead to one contact already, and not since this item."""
        contact = None
        for key in keys:
            row = self.rows.get((connector, key))
            if row is None or row.by in mine or (contact is not None and row.contact_id != contact):
                return True
            contact = row.contact_id
        return False

    def see(self, mention: Mention) -> None:
        """Take in the next item. Its unknown aliases join its contact; contacts born in this batch that it names become one."""
        rows, connector = self.rows, mention.connector_id
        keys = [(connector, alias.key) for alias in mention.aliases]
        standing = [row for key in keys if (row := rows.get(key)) is not None]
        ids = {row.contact_id for row in standing}
        older = sorted(ids - self._born.keys())
        target = older[0] if older else self._youth(ids, keys[0])
        joined = {key for one in ids & self._born.keys() if one != target for key in self._join(one, target)}
        for key in keys:
            if key not in rows:
                rows[key] = AliasRow(target, mention.mine[0], added_at_ms=mention.at_ms)
                self._remember_born(target, (key,))
            elif key in joined:
                rows[key].by = mention.mine[0]
        if len(older) > 1:
            self._collide(mention, older, keys)
        elif mention.current:
            self._change(mention)
        if len(keys) > 1:
            self._mentions.append(mention)

    def news(self) -> Iterator[tuple[Place, News]]:
        """What the items of the batch have to tell, once the collisions are known."""
        for mention in self._mentions:
            news = self._news(mention)
            if news.added or news.retired or news.collided:
                yield mention.place, news

    def remember(self, found: Mapping[Pair, str]) -> Iterator[Pair]:
        """Learn which collisions were reported before, and by whom; yields those that are new. Marks a row of each."""
        for pair, collision in self.collisions.items():
            if collision.known:
                continue
            if pair in found:
                collision.by = found[pair]
            else:
                yield pair
            row = self.rows[collision.key]
            row.collides = {**row.collides, pair[1]: collision.by}
            row.changed = True

    def _youth(self, ids: set[str], key: AliasKey) -> str:
        """The first born of these contacts, else a new one."""
        if ids:
            return min(ids, key=lambda one: self._born[one].number)
        given = self._given.get(key)
        new = given.contact_id if given is not None and given.contact_id not in self._born else self._new_id()
        self._born[new] = _Born(len(self._born), [])
        return new

    def _join(self, one: str, target: str) -> list[AliasKey]:
        keys, number = self._born[one].keys, self._born[one].number
        for key in keys:
            self.rows[key].contact_id = target
        self._remember_born(target, keys)
        self._born[one] = _Born(number, [])  # keeps its number: numbers are counted
        return keys

    def _remember_born(self, target: str, keys: Iterable[AliasKey]) -> None:
        if target in self._born:
            self._born[target].keys.extend(keys)

    def _collide(self, mention: Mention, older: list[str], keys: list[AliasKey]) -> None:
        for younger in older[1:]:
            pair = mention.connector_id, older[0], younger
            key = next(key for key in keys if self.rows[key].contact_id == younger)
            told = next((row.collides[older[0]] for row in map(self.rows.__getitem__, keys) if _knows(row, pair)), None)
            self.collisions.setdefault(pair, Collision(told or mention.mine[0], key, told is not None))

    def _change(self, mention: Mention) -> None:
        for alias in mention.aliases:
            row = self.rows[mention.connector_id, alias.key]
            if any(move.by in mention.mine for move in row.moves):
                continue  # a replay: it has said so already, whatever came after
            retires = alias.key in mention.retiring and not row.retired
            returns = alias.key in mention.current and row.retired and row.by not in mention.mine
            if retires or returns:
                row.move(mention.at_ms, mention.mine[0])

    def _news(self, mention: Mention) -> News:
        rows = [(alias, self.rows[mention.connector_id, alias.key]) for alias in mention.aliases]
        ids = sorted({row.contact_id for _, row in rows})
        collided = tuple(one for one in ids[1:] if self._told_by(mention, ids[0], one))
        if all(row.by in mention.mine for _, row in rows):
            return News(contact_id=ids[0], collided=collided)  # first sight: the message itself says it all
        moved = {alias for alias, row in rows if any(move.by in mention.mine for move in row.moves)}
        retired = tuple(alias for alias, _ in rows if alias in moved and alias.key in mention.retiring)
        added = tuple(a for a, row in rows if a not in retired and (a in moved or row.by in mention.mine))
        return News(contact_id=ids[0], added=added, retired=retired, collided=collided)

    def _told_by(self, mention: Mention, older: str, younger: str) -> bool:
        collision = self.collisions.get((mention.connector_id, older, younger))
        return collision is not None and collision.by in mention.mine


def _knows(row: AliasRow, pair: Pair) -> bool:
    return row.contact_id == pair[2] and pair[1] in row.collides


def choose(aliases: frozenset[str], known: Mapping[str, str]) -> tuple[str | None, bool]:
    """The contact id for one person, and whether two older ids collide (then the oldest is used, nothing is merged).

    `known` maps alias keys to the contact ids that stand in the database; UUIDv7 text sorts by age.
    """
    if len(aliases) == 1:
        (alias,) = aliases
        return known.get(alias), False
    ids = sorted({known[alias] for alias in aliases if alias in known})
    return (ids[0] if ids else None), len(ids) > 1
