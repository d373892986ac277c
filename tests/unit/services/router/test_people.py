from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.people import MAX_MOVES, AliasRow, Mention, Move, News, People, choose
from shared.domain.enums import AliasKind
from shared.domain.items import Alias

pytestmark = pytest.mark.req(48)


def alias(name: str) -> Alias:
    kind = AliasKind.PHONE if name.islower() else AliasKind.BSUID
    return Alias(kind=kind, value=name)


def mention(offset: int, names: str, *, connector: str = "c", retiring: str = "", current: str = "") -> Mention:
    return Mention(
        place=(0, offset, 0),
        connector_id=connector,
        aliases=tuple(alias(name) for name in names),
        mine=(f"e/0/{offset}//m",),
        at_ms=offset,
        retiring=frozenset(alias(name).key for name in retiring),
        current=frozenset(alias(name).key for name in current),
    )


@dataclass
class World:
    """The rows as the database keeps them, written as `contacts` writes them; and all that was published."""

    rows: dict[tuple[str, str], AliasRow] = field(default_factory=dict)
    published: list[tuple[int, News]] = field(default_factory=list)
    ids: Iterable[int] = field(default_factory=lambda: count(1))

    def settle(self, *batch: Mention, publish: bool = True) -> None:
        wanted = {(one.connector_id, a.key) for one in batch for a in one.aliases}
        rows = {key: self._copy(row) for key, row in self.rows.items() if key in wanted}
        people = People(rows, lambda: f"{next(self.ids):06d}")  # type: ignore[call-overload]
        for one in batch:
            if one.current or people.may_learn(one.connector_id, one.aliases, one.mine):
                people.see(one)
        found = {(key[0], older, row.contact_id): by for key, row in self.rows.items() for older, by in row.collides.items()}
        list(people.remember(found))
        for key, row in people.rows.items():
            self.rows[key] = self._copy(row)
        if publish:
            self.published += [(place[1], news) for place, news in people.news()]

    def contacts(self, one: Mention) -> set[str]:
        return {self.rows[one.connector_id, a.key].contact_id for a in one.aliases}

    def told(self) -> list[tuple[int, str, str, str]]:
        """(offset, added, retired, younger contacts) of what was published, names only."""
        return [
            (offset, "".join(a.value for a in news.added), "".join(a.value for a in news.retired), ",".join(news.collided))
            for offset, news in self.published
        ]

    @staticmethod
    def _copy(row: AliasRow) -> AliasRow:
        return AliasRow(row.contact_id, row.by, row.moves, dict(row.collides))


def test_first_sight_tells_nothing_and_a_new_alias_is_told_once():
    world = World()
    world.settle(mention(0, "aA"))
    world.settle(mention(1, "aA"), mention(2, "ab"), mention(3, "ab"))
    world.settle(mention(4, "bA"))
    assert world.told() == [(2, "b", "", "")]
    assert {row.contact_id for row in world.rows.values()} == {"000001"}


def test_people_born_in_one_batch_become_one_and_the_item_that_linked_them_tells():
    world = World()
    world.settle(mention(0, "a"), mention(1, "bB"), mention(2, "ab"))
    assert {row.contact_id for row in world.rows.values()} == {"000001"}
    assert world.told() == [(1, "B", "", ""), (2, "b", "", "")]


def test_somebody_born_in_the_batch_joins_the_contact_that_stands():
    world = World()
    world.settle(mention(0, "a"))
    world.settle(mention(1, "b"), mention(2, "ab"))
    assert {row.contact_id for row in world.rows.values()} == {"000001"}
    assert world.told() == [(2, "b", "", "")]


def test_two_contacts_collide_are_told_once_and_stay_two():
    world = World()
    world.settle(mention(0, "a"), mention(1, "b"), mention(2, "B"))
    world.settle(mention(3, "ab"), mention(4, "ba"))
    world.settle(mention(5, "abC"))
    world.settle(mention(6, "aB"))
    assert world.contacts(mention(0, "ab")) == {"000001", "000002"}
    assert world.rows["c", "bsuid:C"].contact_id == "000001"
    assert world.told() == [(3, "", "", "000002"), (5, "C", "", ""), (6, "", "", "000003")]
    world.settle(mention(7, "AB"), mention(8, "bA"))  # b's and B's contacts: another pair, an alias that joins the older
    assert world.told()[3:] == [(7, "A", "", ""), (8, "", "", "000003")]


def test_a_pair_of_contacts_is_told_once_whatever_aliases_name_it():
    world = World()
    world.settle(mention(0, "aA"), mention(1, "bB"))
    world.settle(mention(2, "ab"))
    world.settle(mention(3, "AB"))
    world.settle(mention(3, "AB"))
    world.settle(mention(2, "ab"))
    assert world.told() == [(2, "", "", "000002"), (2, "", "", "000002")]  # the second is the replay of the same


def test_a_change_retires_the_old_and_adds_the_new_and_both_lead_on():
    world = World()
    world.settle(mention(0, "a"))
    world.settle(mention(1, "ab", retiring="a", current="b"), mention(2, "b"), mention(3, "a"))
    assert world.told() == [(1, "b", "a", "")]
    assert {row.contact_id for row in world.rows.values()} == {"000001"}
    assert [world.rows["c", f"phone:{name}"].retired for name in "ab"] == [True, False]


def test_a_change_of_nobody_known_makes_rows_and_tells_nothing():
    world = World()
    world.settle(mention(0, "ab", retiring="a", current="b"))
    world.settle(mention(0, "ab", retiring="a", current="b"))
    assert world.told() == []
    assert [world.rows["c", f"phone:{name}"].retired for name in "ab"] == [True, False]


def test_a_change_back_is_told_and_a_replay_of_both_says_both_again():
    world = World()
    there, back = mention(1, "ab", retiring="a", current="b"), mention(2, "ba", retiring="b", current="a")
    world.settle(mention(0, "a"))
    world.settle(there, back, publish=False)
    world.settle(there)
    world.settle(back)
    assert world.told() == [(1, "b", "a", ""), (2, "a", "b", "")]
    assert [len(world.rows["c", f"phone:{name}"].moves) for name in "ab"] == [2, 1]  # written once each
    assert [world.rows["c", f"phone:{name}"].retired for name in "ab"] == [False, True]


def test_a_change_between_two_known_contacts_collides_and_moves_nothing():
    world = World()
    world.settle(mention(0, "a"), mention(1, "b"))
    world.settle(mention(2, "ab", retiring="a", current="b"))
    assert world.told() == [(2, "", "", "000002")]
    assert not world.rows["c", "phone:a"].retired


def test_rows_without_an_owner_are_nobodys():
    world = World()
    world.rows["c", "phone:a"] = world.rows["c", "bsuid:A"] = AliasRow("000000")
    world.settle(mention(0, "aA"))
    world.settle(mention(1, "aAb"))
    assert world.told() == [(1, "b", "", "")]


def test_another_writers_row_wins_and_ours_follow():
    given = {("c", "phone:a"): AliasRow("000005", "e/0/0//m", added_at_ms=0)}
    theirs = {("c", "bsuid:A"): AliasRow("000003", "e/1/7//m")}
    people = People(theirs, lambda: "000009", given)
    people.see(mention(0, "aA"))
    people.see(mention(1, "b"))
    assert people.rows["c", "phone:a"].contact_id == "000003"
    assert people.rows["c", "phone:b"].contact_id == "000009"
    assert dict(people.news()) == {(0, 0, 0): News(contact_id="000003", added=(alias("a"),))}


def test_a_redriven_copy_tells_what_its_first_try_wrote():
    world = World()
    world.settle(mention(0, "a"))
    world.settle(mention(1, "ab"), publish=False)
    copy = mention(9, "ab")
    world.settle(Mention(**{name: getattr(copy, name) for name in copy.__slots__} | {"mine": (*copy.mine, "e/0/1//m")}))
    assert world.told() == [(9, "b", "", "")]


def test_moves_are_bounded_and_keep_their_sense():
    row = AliasRow("1")
    for number in range(MAX_MOVES + 5):
        row.move(number, str(number))
        assert row.retired is (number % 2 == 0)
    assert len(row.moves) <= MAX_MOVES
    assert row.moves[-1] == Move(MAX_MOVES + 4, str(MAX_MOVES + 4))


def test_of_two_known_contacts_the_older_is_used():
    assert choose(frozenset("ab"), {"a": "2", "b": "1"}) == ("1", True)
    assert choose(frozenset("ab"), {"a": "2"}) == ("2", False)
    assert choose(frozenset("ab"), {}) == (None, False)


NAMES = "abcdABCD"
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map("".join)
changes = st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True).map("".join)
stories = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("xy"), names, st.just(False)),
        st.tuples(st.sampled_from("xy"), changes, st.just(True)),
    ),
    min_size=1,
    max_size=14,
)
attempts = st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=40)  # size of the next batch, whether Kafka commits


def played(story: list[tuple[str, str, bool]]) -> list[Mention]:
    return [
        mention(offset, word, connector=connector, retiring=word[:1] if change else "", current=word[1:] if change else "")
        for offset, (connector, word, change) in enumerate(story)
    ]


def run(world: World, items: list[Mention], tries: list[tuple[int, bool]]) -> None:
    """Settle everything: a batch whose Kafka transaction is lost begins again at the same place, cut anywhere."""
    place, left = 0, list(tries)
    while place < len(items):
        size, commits = left.pop(0) if left else (3, True)
        before = {key: row.contact_id for key, row in world.rows.items()}
        world.settle(*items[place : place + size], publish=commits)
        assert before.items() <= {key: row.contact_id for key, row in world.rows.items()}.items()  # nobody is moved
        place += size if commits else 0


@given(stories, attempts)
def test_whatever_the_batches_and_crashes_each_new_fact_is_told_exactly_once(story, tries):
    world, items = World(), played(story)
    run(world, items, tries)
    connectors = [{row.contact_id for key, row in world.rows.items() if key[0] == one} for one in "xy"]
    assert not connectors[0] & connectors[1]
    told = Counter(
        (offset, a.key, what) for offset, news in world.published for what in ("added", "retired") for a in getattr(news, what)
    )
    assert set(told.values()) <= {1}
    collided = Counter((news.contact_id, one) for _, news in world.published for one in news.collided)
    assert set(collided.values()) <= {1}
    for one in items:
        rows = {a.key: world.rows[one.connector_id, a.key] for a in one.aliases}
        contacts = {row.contact_id for row in rows.values()}
        oldest = min(contacts)
        assert all(collided[oldest, other] == 1 for other in contacts - {oldest})  # apart only if it was told
        offset, mine = one.place[1], one.mine[0]
        first_sight = all(row.by == mine for row in rows.values())
        for key, row in rows.items():
            moved = any(move.by == mine for move in row.moves)
            retired = moved and key in one.retiring and not first_sight
            assert told[offset, key, "retired"] == retired
            assert told[offset, key, "added"] == ((row.by == mine or moved) and not retired and not first_sight)
    # an alias of a contact is told, or its own item is one of a single alias or a first sight: then the message says it
    for (connector, key), row in world.rows.items():
        (owner,) = (one for one in items if one.mine[0] == row.by)
        assert (connector, key) in {(owner.connector_id, a.key) for a in owner.aliases}


@given(stories, attempts)
def test_one_item_at_a_time_it_does_what_a_plain_book_of_names_says(story, tries):
    world, items = World(), played(story)
    run(world, items, [(1, commits) for _, commits in tries] + [(1, True)] * len(items))
    book: dict[tuple[str, str], int] = {}
    retired: set[tuple[str, str]] = set()
    pairs: set[tuple[int, int]] = set()
    expected = []
    for offset, (connector, word, change) in enumerate(story):
        known = sorted({book[connector, name] for name in word if (connector, name) in book})
        contact = known[0] if known else max(book.values(), default=0) + 1
        new = {name for name in word if (connector, name) not in book}
        book |= {(connector, name): contact for name in new}
        away, back = "", set()
        if change and len(known) < 2:
            away = word[0] if (connector, word[0]) not in retired else ""
            back = {name for name in word[1:] if (connector, name) in retired}
            retired |= {(connector, name) for name in away}
            retired -= {(connector, name) for name in back}
        younger = [one for one in known[1:] if (known[0], one) not in pairs]
        pairs |= {(known[0], one) for one in younger}
        added = "".join(name for name in word if name in new | back and name not in away)
        if known and (added or away or younger):
            expected.append((offset, added, away, ",".join(f"{one:06d}" for one in younger)))
    assert world.told() == expected
