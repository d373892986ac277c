from __future__ import annotations

import pytest

from shared.management.router_positions import Book, Found, Position, judged, needed

ID, OLD = "00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b"


def found(
    committed: int, *, log=(0, 100), book=(30, 40), emitted: int | None = 40, topic_id: str = ID
) -> list[tuple[Found, int, int]]:
    position = Position(
        partition=0,
        committed=committed,
        log_first=log[0],
        log_end=log[1],
        book=None if book is None else Book(topic_id=topic_id, first=book[0], end=book[1]),
        emitted=emitted,
    )
    return [(each.found, each.first, each.end) for each in judged(position, ID)]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (found(40), []),
        (found(30, emitted=30), []),  # a crash between the two commits: claimed up to 40, out up to 30
        (found(0, book=None, emitted=None), []),  # never worked on
        (found(35, emitted=None), []),  # the books are pruned; it lies within what the database knows
        (found(10), [(Found.REPEAT, 10, 40)]),
        (found(10, emitted=None), [(Found.REPEAT, 10, 30)]),
        (found(60), [(Found.SKIP, 40, 60)]),
        (found(60, emitted=60), [(Found.FORGET, 40, 60)]),
        (found(60, emitted=60, book=None), [(Found.FORGET, 0, 60)]),
        (found(70, emitted=60), [(Found.SKIP, 60, 70), (Found.FORGET, 40, 60)]),
        (found(50, emitted=60), [(Found.REPEAT, 50, 60), (Found.FORGET, 40, 50)]),
        (found(40, log=(45, 100)), [(Found.SKIP, 40, 45)]),  # retention was quicker
        (found(101), [(Found.BEYOND, 100, 101)]),
        (found(0, emitted=None, topic_id=OLD), [(Found.RECREATED, 30, 40)]),
        (found(5, emitted=None, topic_id=OLD), [(Found.RECREATED, 30, 40), (Found.SKIP, 0, 5)]),
    ],
)
def test_the_three_witnesses_say_what_adopting_means(
    told: list[tuple[Found, int, int]], wanted: list[tuple[Found, int, int]]
) -> None:
    assert told == wanted


def test_a_person_agrees_to_each_meaning_once_and_not_to_a_new_topic() -> None:
    position = Position(partition=0, committed=50, log_first=0, log_end=100, book=None, emitted=60)
    findings = [*judged(position, ID), *judged(position, ID)]
    assert needed(findings) == (Found.REPEAT, Found.FORGET)
