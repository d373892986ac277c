"""Judges a run from outside: what was posted and answered, against what independent readers find. None of our policy is used.

Messages here; flows, states of delivery and books in modules of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tests.chaos.finds import Emitted, Finds
from tests.chaos.oracle_books import judge_books
from tests.chaos.oracle_flows import judge_flows, settled_by_flow
from tests.chaos.oracle_states import judge_states
from tests.chaos.provider import Ledger
from tests.chaos.talk import MESSAGES, Element
from tests.chaos.verdict import Verdict

OURS = "chaos:"  # how the actor of a change begins that the campaign itself made


@dataclass(frozen=True)
class StatusEvent:
    """One `channel.connector.status_changed`, in the topic's order per connector. Each change has an actor of its own."""

    connector_id: str
    old: str | None
    new: str
    actor: str


@dataclass
class StatusLedger:
    """What the administrator knows: changes that were committed for sure, and those that ended in an error."""

    sure: list[str] = field(default_factory=list)  # actors
    unsure: list[str] = field(default_factory=list)


def judge(ledger: Ledger, finds: Finds) -> Verdict:
    """Everything that can be said of a run."""
    verdict = Verdict()
    settled = settled_by_flow(ledger, finds)
    judge_messages(verdict, ledger, finds.emitted, settled)
    judge_flows(verdict, ledger, finds)
    judge_states(verdict, ledger, finds.delivered)
    judge_books(verdict, finds)
    ended = finds.books["settled_by_flow"]
    if ended != len(settled):
        verdict.add("books_settled", f"booked {ended}, flows settled {len(settled)}", abs(ended - len(settled)))
    for row in finds.unfinished:
        verdict.add("stuck_rows", row)
    if finds.breaches:
        verdict.add("breach", "held_copy_lost_its_claim in the routers' logs", finds.breaches)
    return verdict


def judge_messages(verdict: Verdict, ledger: Ledger, emitted: Sequence[Emitted], settled: Collection[str]) -> None:
    """Lost, doubled, out of order, before their target, orphans in vain, invented; conversations and contacts split.

    `settled`: messages that a flow has settled, for which no event is needed.
    """
    seen: dict[str, list[Emitted]] = {}
    times: Counter[str] = Counter()
    for event in emitted:
        seen.setdefault(event.peer, []).append(event)
        times[event.id] += 1
    written = {one.id: one for elements in ledger.written.values() for one in elements if one.kind in MESSAGES}
    for element_id in sorted((ledger.acknowledged & written.keys()) - times.keys() - set(settled)):
        verdict.add("lost", element_id, number=ledger.order[element_id])
    for element_id, count in times.items():
        if count > 1:
            verdict.add("doubled", f"{element_id} x{count}", count - 1, number=ledger.order.get(element_id))
        if element_id not in written:
            verdict.add("invented", element_id)
    ids: dict[str, str] = {}
    for event in emitted:
        if ids.setdefault(event.id, event.message_id) != event.message_id:
            verdict.add("ids_changed", f"{event.id}: {ids[event.id]}, then {event.message_id}", number=ledger.order.get(event.id))
    for peer, events in seen.items():
        split = len({event.conversation_id for event in events}) > 1  # another fault; they may lie in several partitions then
        in_order = sorted(events, key=lambda event: event.time_ms) if split else events
        _judge_peer(verdict, ledger, peer, in_order, settled)


def _judge_peer(verdict: Verdict, ledger: Ledger, peer: str, events: list[Emitted], settled: Collection[str]) -> None:
    for kind, found in (
        ("conversation_split", {event.conversation_id for event in events}),
        ("contact_split", {event.contact_id for event in events}),
    ):
        if len(found) > 1:
            verdict.add(kind, f"{peer}: {sorted(found)}")
    elements = [one for one in ledger.written.get(peer, []) if one.kind in MESSAGES]
    came_out = [one for one in elements if one.id not in settled]  # of the others that they came out is the fault, not when
    loose = _loose(elements)
    place = {event.id: index for index, event in reversed(list(enumerate(events)))}  # where it came first
    late = _out_of_order([event.id for event in events], [one.id for one in came_out if one.id not in loose])
    if late is not None:
        verdict.add("out_of_order", f"{peer}: {late}", number=ledger.order.get(late))
    lines: dict[str, list[str]] = {}
    for one in came_out:
        if one.about is None or one.about in settled:
            continue
        if one.id in place and place[one.id] < place.get(one.about, -1):
            verdict.add("before_target", f"{peer}: {one.id} about {one.about}", number=ledger.order.get(one.id))
        if one.id in loose:
            lines.setdefault(one.about, []).append(one.id)
    for line in lines.values():
        late = _out_of_order([event.id for event in events], line)
        if late is not None:
            verdict.add("out_of_order", f"{peer}: {late} about the same", number=ledger.order.get(late))
    _judge_orphans(verdict, ledger, came_out, {event.id for event in events if event.orphan})


def _judge_orphans(verdict: Verdict, ledger: Ledger, elements: Iterable[Element], orphans: Collection[str]) -> None:
    for one in elements:
        if one.id in orphans and not one.ghost and one.about in ledger.acknowledged:
            verdict.add("orphan_in_vain", f"{one.id} about {one.about}", number=ledger.order.get(one.id))
        elif one.ghost and one.id in ledger.acknowledged and one.id not in orphans:
            verdict.add("orphan_untold", one.id, number=ledger.order.get(one.id))


def _loose(elements: Iterable[Element]) -> set[str]:
    """What may come out after messages that were written later: it, or one before it about the same message, came too early."""
    waited_for: set[str] = set()
    found: set[str] = set()
    for one in elements:
        if one.about is not None and (one.early or one.about in waited_for):
            waited_for.add(one.about)
            found.add(one.id)
    return found


def judge_status(verdict: Verdict, ledger: StatusLedger, logged: Collection[str], events: Iterable[StatusEvent]) -> None:
    """Each committed change of a status exactly once, and in order. `logged`: actors of the changes in the audit log."""
    times: Counter[str] = Counter()
    states: dict[str, str | None] = {}
    for event in events:
        if event.actor.startswith(OURS):
            times[event.actor] += 1
        if event.old != states.get(event.connector_id):
            verdict.add("status_out_of_order", f"{event.actor}: from {event.old}, not {states.get(event.connector_id)}")
        states[event.connector_id] = event.new
    for actor in ledger.sure:
        if actor not in logged:
            verdict.add("status_undone", actor)
    for actor in logged:
        if actor not in times:
            verdict.add("status_lost", actor)
        elif times[actor] > 1:
            verdict.add("status_doubled", f"{actor} x{times[actor]}", times[actor] - 1)
    for actor in times.keys() - set(logged):
        verdict.add("status_invented", actor)


def judge_answers(verdict: Verdict, ledger: Ledger) -> None:
    """For a run in which nothing was killed: every post must have been answered (a 503 is an answer, an end is none)."""
    for outcome, count in ledger.attempts.items():
        if not outcome.isdigit():
            verdict.add("unanswered", outcome, count)


def _out_of_order(found: Iterable[str], written: Iterable[str]) -> str | None:
    """The first that comes after one that was written later (a doubled one is another fault)."""
    place = {element_id: index for index, element_id in enumerate(written)}
    latest = -1
    for element_id in dict.fromkeys(found):
        if element_id in place:
            if place[element_id] < latest:
                return element_id
            latest = place[element_id]
    return None
