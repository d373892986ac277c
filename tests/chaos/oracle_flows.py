"""What the oracle says of intake flows: asked once, before anything came out, and obeyed; the automation stand-in's answers stand
in their topic, and nothing but them is believed.

A patient flow has half an hour to answer, so its answers count whatever breaks. A hasty one has seconds: whether its answer was
in time depends on what was away at that moment, so both ends are right, if each shows what it needs (an answer; the time gone).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain.enums import IntakeOutcome
from shared.domain.records import IntakeCompleted
from tests.chaos.automation import decisive
from tests.chaos.finds import Asked, Emitted, Finds
from tests.chaos.ground_plan import FLOWS, HASTY_SECONDS, SALES
from tests.chaos.provider import Ledger, Route
from tests.chaos.talk import MESSAGES, Element, Kind
from tests.chaos.verdict import Verdict

_CLOCKS_MS = 50  # of one machine
_SETTLING = frozenset({IntakeOutcome.HANDLED, IntakeOutcome.DROP})


@dataclass(frozen=True, slots=True)
class Paused:
    """Numbers whose route was paused from before the first message until then."""

    numbers: frozenset[str]
    until_ms: int


def judge_pause(verdict: Verdict, ledger: Ledger, asked: Iterable[Asked], paused: Paused) -> None:
    """While a route is paused its flow is not asked; afterwards it is."""
    peers = {peer for peer, number in ledger.numbers.items() if number in paused.numbers}
    of_them = {one.id for peer in peers for one in ledger.written.get(peer, [])}
    for request in asked:
        if request.id in of_them and request.time_ms < paused.until_ms:
            verdict.add(
                "pause_ignored",
                f"{request.id}: asked {paused.until_ms - request.time_ms} ms before",
                number=ledger.order[request.id],
            )


def settled_by_flow(ledger: Ledger, finds: Finds) -> set[str]:
    """Messages whose flow has settled them: no event is to come of them."""
    found = set()
    for asked in finds.asked:
        answer = _decisive(finds, asked.request_id)
        if answer is not None and answer.outcome in _SETTLING and asked.id in ledger.order:
            found.add(asked.id)
    return found


def judge_flows(verdict: Verdict, ledger: Ledger, finds: Finds) -> None:
    """Requests doubled or invented; messages that came out unasked, too early, elsewhere than answered, or all the same."""
    elements = {
        one.id: (one, ledger.routes[peer]) for peer, ones in ledger.written.items() for one in ones if one.kind in MESSAGES
    }
    requests = Counter(asked.id for asked in finds.asked)
    for element_id, count in requests.items():
        number = ledger.order.get(element_id)
        if count > 1:
            verdict.add("request_doubled", f"{element_id} x{count}", count - 1, number=number)
        if not _is_asked(*elements.get(element_id, (Element("", Kind.POISON), Route.UNIT))):
            verdict.add("request_invented", element_id, number=number)
    first = {(asked.id, asked.request_id): asked for asked in reversed(finds.asked)}
    for event in finds.emitted:
        if event.id in elements and _is_asked(*elements[event.id]):
            fault = _fault(event, first.get((event.id, event.message_id)), elements[event.id][1], finds)
            if fault is not None:
                verdict.add(fault[0], f"{event.id}: {fault[1]}", number=ledger.order[event.id])


def _is_asked(element: Element, route: Route) -> bool:
    """What the company wrote itself asks nobody."""
    return route in FLOWS and element.kind in MESSAGES and element.kind is not Kind.ECHO


def _fault(event: Emitted, asked: Asked | None, route: Route, finds: Finds) -> tuple[str, str] | None:
    if asked is None or event.time_ms < asked.time_ms:
        return "unasked", f"came out by {event.reason}"
    if event.reason == "flow_routed":
        return _fault_of_routed(event, asked, finds)
    # Not from the request on: a router that dies between its two commits writes the request when the time is running already.
    gone_ms = event.time_ms - asked.received_at_ms
    if route is Route.PATIENT:
        answer = _decisive(finds, asked.request_id)
        kind = "settled_came_out" if answer is not None and answer.outcome in _SETTLING else "answer_ignored"
        return kind, f"{event.reason} after {gone_ms} ms"
    if gone_ms < HASTY_SECONDS * 1000 - _CLOCKS_MS:
        return "too_early", f"{event.reason} after {gone_ms} ms"
    if event.unit != SALES:
        return "misrouted", f"to {event.unit} at the deadline"
    return None


def _fault_of_routed(event: Emitted, asked: Asked, finds: Finds) -> tuple[str, str] | None:
    answers = finds.answers.get(asked.request_id, [])
    answer = _decisive(finds, asked.request_id)
    if answer is None:
        return "unanswered_came_out", f"routed to {event.unit} by nobody"
    if answer.outcome in _SETTLING:
        return "settled_came_out", answer.outcome.value
    if answer.org_unit_id != event.unit:
        return "misrouted", f"to {event.unit}, not {answer.org_unit_id}"
    if event.time_ms < min(at for at, one in answers if one is answer):
        return "too_early", "before its answer"
    return None


def _decisive(finds: Finds, request_id: str) -> IntakeCompleted | None:
    return decisive(answer for _, answer in finds.answers.get(request_id, []))
