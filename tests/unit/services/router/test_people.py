from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.router.people import choose, unite

alias_sets = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True).map(tuple), max_size=8)


@given(alias_sets)
def test_united_people_are_disjoint_and_keep_every_set_together(sets):
    people = unite(sets)
    everyone = [alias for person in people for alias in person]
    assert sorted(everyone) == sorted({alias for aliases in sets for alias in aliases})
    assert all(any(set(aliases) <= person for person in people) for aliases in sets)


@given(alias_sets)
def test_the_order_of_arrival_changes_nothing(sets):
    assert set(unite(sets)) == set(unite(list(reversed(sets))))


def test_a_chain_of_shared_aliases_is_one_person():
    assert unite([("a", "b"), ("b", "c"), ("d",)]) == [frozenset("abc"), frozenset("d")]


def test_two_known_contacts_collide_and_the_older_is_used():
    assert choose(frozenset("ab"), {"a": "2", "b": "1"}) == ("1", True)
    assert choose(frozenset("ab"), {"a": "2"}) == ("2", False)
    assert choose(frozenset("ab"), {}) == (None, False)
