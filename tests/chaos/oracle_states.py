"""What the oracle says of delivery states: each that moved its message forward comes out once, no other does, in that order.

"Forward" is Meta's own order (failed only before delivered); which state moved its message is known by the order of arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.chaos.finds import Delivered
from tests.chaos.provider import Ledger
from tests.chaos.talk import Element, Kind
from tests.chaos.verdict import Verdict

_FORWARD = ("sent", "failed", "delivered", "read", "played")


def judge_states(verdict: Verdict, ledger: Ledger, delivered: Iterable[Delivered]) -> None:
    """States lost, doubled, gone back, invented, out of order; orphans whose message was there."""
    written: dict[str, list[Element]] = {}
    for elements in ledger.written.values():
        for one in elements:
            if one.kind is Kind.STATE and one.about is not None:
                written.setdefault(one.about, []).append(one)
    found: dict[str, list[Delivered]] = {}
    for event in delivered:
        found.setdefault(event.about, []).append(event)
    for about in found.keys() - written.keys():
        verdict.add("state_invented", about)
    for about, elements in written.items():
        _judge_message(verdict, ledger, elements, found.get(about, []))


def _judge_message(verdict: Verdict, ledger: Ledger, elements: list[Element], events: list[Delivered]) -> None:
    expected = _forward(elements)
    times = Counter(event.id for event in events)
    for one in expected:
        if one.id not in times and one.id in ledger.acknowledged:
            verdict.add("state_lost", one.id, number=ledger.order[one.id])
    there = {one.id for one in elements}
    forward = [one.id for one in expected]
    for element_id, count in times.items():
        number = ledger.order.get(element_id)
        if count > 1:
            verdict.add("state_doubled", f"{element_id} x{count}", count - 1, number=number)
        if element_id not in there:
            verdict.add("state_invented", element_id)
        elif element_id not in forward:
            verdict.add("state_back", f"{element_id} after {[one.state for one in elements]}", number=number)
    told = [event.id for event in events if event.id in forward]
    if list(dict.fromkeys(told)) != [one for one in forward if one in times]:
        verdict.add("state_out_of_order", f"{told}", number=ledger.order.get(told[0]))
    for event in events:
        ghost = next((one.ghost for one in elements if one.id == event.id), False)
        if event.orphan and not ghost and event.about in ledger.acknowledged:
            verdict.add("orphan_in_vain", event.id, number=ledger.order.get(event.id))


def _forward(elements: Iterable[Element]) -> list[Element]:
    """Those that moved their message forward, in the order of their first arrival."""
    moved: list[Element] = []
    highest = -1
    for one in elements:
        rank = _FORWARD.index(one.state)
        if rank > highest:
            moved.append(one)
            highest = rank
    return moved
