"""What the oracle says of the books and of the dead letters: `channels.audit` against the raw bodies and against the topics."""

from __future__ import annotations

from tests.chaos.finds import Finds
from tests.chaos.verdict import Verdict


def judge_books(verdict: Verdict, finds: Finds) -> None:
    """Every element that arrived stands in the books once; each line is what the topics hold; no letter is missing or doubled."""
    books = finds.books
    orphans = sum(event.orphan for event in finds.emitted) + sum(event.orphan for event in finds.delivered)
    for kind, booked, there in (
        ("books_items", sum(books.values()), finds.raw),
        ("books_emitted", books["emitted"], len(finds.emitted) + len(finds.delivered) - orphans),
        ("books_orphaned", books["orphaned"], orphans),
        ("books_dead", books["dead_lettered"], finds.letters.total()),
        ("books_held", books["held"], len(finds.unfinished)),
    ):
        if booked != there:
            verdict.add(kind, f"booked {booked}, there are {there}", abs(booked - there))
    for place in sorted(finds.hopeless - finds.letters.keys()):
        verdict.add("letter_lost", str(place))
    for place, count in finds.letters.items():
        if place not in finds.hopeless:
            verdict.add("letter_invented", str(place), count)
        elif count > 1:
            verdict.add("letter_doubled", f"{place} x{count}", count - 1)
    if finds.answer_letters != finds.bad_answers:
        told = f"{finds.answer_letters} letters for {finds.bad_answers} answers that are none"
        verdict.add("answer_letters", told, abs(finds.answer_letters - finds.bad_answers))
