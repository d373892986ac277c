from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from shared.domain.enums import IntakeOutcome
from shared.domain.records import IntakeCompleted
from tests.chaos.finds import Asked, Delivered, Emitted, Finds
from tests.chaos.ground_plan import FLOWS, HASTY_SECONDS, SALES, UNITS
from tests.chaos.oracle import StatusEvent, StatusLedger, judge, judge_answers, judge_status
from tests.chaos.provider import Ledger, Route
from tests.chaos.report import Plan, Report
from tests.chaos.talk import Element, Kind
from tests.chaos.verdict import Verdict

ROUTES = {"p": Route.UNIT, "q": Route.PATIENT, "h": Route.HASTY}


def states(*names: str, about: str = "e", **more: bool) -> list[Element]:
    return [Element(f"{about}/{name}", Kind.STATE, about, name, **more) for name in names]


WRITTEN = {
    "p": [
        Element("a", Kind.TEXT),
        Element("r", Kind.REACTION, about="t", early=True),
        Element("b", Kind.TEXT),
        Element("t", Kind.TEXT),
        Element("x", Kind.POISON),
        *states("read", early=True),
        Element("e", Kind.ECHO),
        *states("sent", "read", "played"),
        *states("sent", about="nobody", early=True, ghost=True),
    ],
    "q": [Element("c", Kind.TEXT), Element("d", Kind.TEXT)],
    "h": [Element("f", Kind.TEXT)],
}
EVERYTHING = [one for elements in WRITTEN.values() for one in elements]
LEDGER = Ledger(
    written=WRITTEN,
    routes=ROUTES,
    acknowledged={one.id for one in EVERYTHING},
    order={one.id: number for number, one in reversed(list(enumerate(EVERYTHING, start=1)))},
)


def emitted(element_id: str, peer: str = "p", **more: object) -> Emitted:
    values = {"message_id": f"id-{element_id}", "conversation_id": peer, "contact_id": peer, "time_ms": 1_000}
    return Emitted(peer=peer, id=element_id, **(values | more))


def routed(element_id: str, peer: str, unit: str = UNITS[0], **more: object) -> Emitted:
    return emitted(element_id, peer, **{"reason": "flow_routed", "unit": unit, "time_ms": 3_000, **more})


def asked(element_id: str, flow: str) -> Asked:
    return Asked(id=element_id, request_id=f"id-{element_id}", flow=flow, received_at_ms=1_000, time_ms=1_500)


def said(outcome: IntakeOutcome, unit: str | None = None) -> list[tuple[int, IntakeCompleted]]:
    return [(2_000, IntakeCompleted(request_id="", outcome=outcome, org_unit_id=unit, completed_at_ms=0))]


def good() -> Finds:
    """`c` is routed, `d` settled by its flow; the flow of `f` says nothing."""
    finds = Finds(
        emitted=[
            *(emitted(one) for one in "abtre"),
            routed("c", "q"),
            emitted("f", "h", reason="intake_deadline", unit=SALES, time_ms=1_000 + HASTY_SECONDS * 1_000),
        ],
        asked=[asked("c", FLOWS[Route.PATIENT]), asked("d", FLOWS[Route.PATIENT]), asked("f", FLOWS[Route.HASTY])],
        answers={"id-c": said(IntakeOutcome.ROUTE, UNITS[0]), "id-d": said(IntakeOutcome.DROP)},
        delivered=[
            Delivered(about="e", state="read"),
            Delivered(about="e", state="played"),
            Delivered(about="nobody", state="sent", orphan=True),
        ],
        raw=15,
        hopeless={(0, 7, "/x")},
        letters=Counter({(0, 7, "/x"): 1}),
    )
    finds.books = Counter(emitted=9, orphaned=1, dead_lettered=1, settled_by_flow=1, superseded=1, duplicate=2, held=0)
    return finds


def broken(**changes: object) -> Finds:
    return replace(good(), **changes)


def test_a_clean_run_is_clean():
    assert judge(LEDGER, good()).clean


def test_what_was_not_answered_may_come_out_or_not():
    ledger = replace(LEDGER, acknowledged=LEDGER.acknowledged - {"b"})
    without = broken(emitted=[one for one in good().emitted if one.id != "b"])
    assert "lost" not in judge(ledger, without).counts
    assert judge(ledger, good()).clean


GOOD = good()
FIRST, REST = GOOD.emitted[:5], GOOD.emitted[5:]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"emitted": GOOD.emitted[1:]}, "lost"),
        ({"emitted": [*GOOD.emitted, emitted("a")]}, "doubled"),
        ({"emitted": [*GOOD.emitted, emitted("a", message_id="another")]}, "ids_changed"),
        ({"emitted": [FIRST[1], FIRST[0], *GOOD.emitted[2:]]}, "out_of_order"),
        ({"emitted": [*FIRST[:2], FIRST[3], FIRST[2], *GOOD.emitted[4:]]}, "before_target"),
        ({"emitted": [*GOOD.emitted, emitted("?")]}, "invented"),
        ({"emitted": [emitted("a", conversation_id="2"), *GOOD.emitted[1:]]}, "conversation_split"),
        ({"emitted": [emitted("a", contact_id="2"), *GOOD.emitted[1:]]}, "contact_split"),
        ({"emitted": [*FIRST[:3], emitted("r", orphan=True), FIRST[4], *REST]}, "orphan_in_vain"),
        ({"emitted": [*FIRST, routed("c", "q", UNITS[1]), REST[1]]}, "misrouted"),
        ({"emitted": [*FIRST, routed("c", "q", time_ms=1_900), REST[1]]}, "too_early"),
        ({"emitted": [*FIRST, routed("c", "q", reason="intake_deadline"), REST[1]]}, "answer_ignored"),
        ({"emitted": [*GOOD.emitted, routed("d", "q")]}, "settled_came_out"),
        ({"emitted": [*FIRST, REST[0], replace(REST[1], time_ms=5_000)]}, "too_early"),
        ({"emitted": [*FIRST, REST[0], replace(REST[1], unit=UNITS[0])]}, "misrouted"),
        ({"emitted": [*FIRST, REST[0], routed("f", "h")]}, "unanswered_came_out"),
        ({"asked": GOOD.asked[1:]}, "unasked"),
        ({"asked": [*GOOD.asked, GOOD.asked[0]]}, "request_doubled"),
        ({"asked": [*GOOD.asked, asked("a", "")]}, "request_invented"),
        ({"delivered": GOOD.delivered[1:]}, "state_lost"),
        ({"delivered": [*GOOD.delivered, GOOD.delivered[0]]}, "state_doubled"),
        ({"delivered": [*GOOD.delivered, Delivered(about="e", state="sent")]}, "state_back"),
        ({"delivered": [*GOOD.delivered, Delivered(about="?", state="sent")]}, "state_invented"),
        ({"delivered": [GOOD.delivered[1], GOOD.delivered[0], GOOD.delivered[2]]}, "state_out_of_order"),
        ({"delivered": [replace(GOOD.delivered[0], orphan=True), *GOOD.delivered[1:]]}, "orphan_in_vain"),
        ({"raw": 16}, "books_items"),
        ({"books": GOOD.books + Counter(emitted=1)}, "books_emitted"),
        ({"books": GOOD.books + Counter(orphaned=1)}, "books_orphaned"),
        ({"books": GOOD.books + Counter(dead_lettered=1)}, "books_dead"),
        ({"books": GOOD.books + Counter(held=1)}, "books_held"),
        ({"books": GOOD.books + Counter(settled_by_flow=1)}, "books_settled"),
        ({"letters": Counter()}, "letter_lost"),
        ({"letters": GOOD.letters + GOOD.letters}, "letter_doubled"),
        ({"letters": GOOD.letters + Counter({(0, 8, "/y"): 1})}, "letter_invented"),
        ({"bad_answers": 2}, "answer_letters"),
        ({"unfinished": ["sent intake attempt 1"]}, "stuck_rows"),
        ({"breaches": 1}, "breach"),
    ],
)
def test_each_fault_is_named(changes, kind):
    assert kind in judge(LEDGER, broken(**changes)).counts


def test_the_first_element_that_shows_a_fault_is_told():
    found = judge(LEDGER, broken(emitted=[*GOOD.emitted[1:], emitted("b"), emitted("t")])).first
    assert (found["lost"], found["doubled"]) == (LEDGER.order["a"], LEDGER.order["b"])


def test_two_conversations_of_one_peer_are_compared_by_time_not_by_partition():
    """They may lie in different partitions, which are read one after the other."""
    late = [replace(one, conversation_id="2", time_ms=9_000) for one in FIRST[1:]]
    assert "out_of_order" not in judge(LEDGER, broken(emitted=[*late, FIRST[0], *REST])).counts
    early = [replace(one, conversation_id="2", time_ms=500) for one in FIRST[1:]]
    assert "out_of_order" in judge(LEDGER, broken(emitted=[FIRST[0], *early, *REST])).counts


def test_what_a_flow_had_settled_is_wrong_to_come_out_but_not_late():
    """After a database was restored the flow's answer is forgotten, and what it settled comes out behind younger messages."""
    ledger = replace(
        LEDGER,
        written=WRITTEN | {"q": [*WRITTEN["q"], Element("y", Kind.TEXT), Element("z", Kind.REACTION, about="d")]},
        acknowledged=LEDGER.acknowledged | {"y", "z"},
        order=LEDGER.order | {"y": 90, "z": 91},
    )
    found = judge(ledger, broken(emitted=[*GOOD.emitted, routed("y", "q"), routed("z", "q"), routed("d", "q")])).counts
    assert "settled_came_out" in found
    assert not {"out_of_order", "before_target"} & found.keys()


def test_kinds_that_may_be_are_left_out():
    verdict = judge(LEDGER, broken(emitted=[*GOOD.emitted, emitted("a")]))
    assert verdict.without(frozenset({"doubled", "books_emitted"})).clean


CHANGES = [
    StatusEvent("k", None, "pending", "cli:x"),
    StatusEvent("k", "pending", "active", "chaos:1"),
    StatusEvent("k", "active", "error", "chaos:2"),
]


def judged_status(events, sure=("chaos:1", "chaos:2"), logged=("chaos:1", "chaos:2"), unsure=()):
    verdict = Verdict()
    judge_status(verdict, StatusLedger(list(sure), list(unsure)), logged, events)
    return verdict


def test_each_change_once_and_in_order_is_clean():
    assert judged_status(CHANGES).clean
    assert judged_status(CHANGES, sure=("chaos:1",), unsure=("chaos:2",)).clean


@pytest.mark.parametrize(
    ("events", "logged", "kind"),
    [
        (CHANGES[:2], ("chaos:1", "chaos:2"), "status_lost"),
        ([*CHANGES, CHANGES[2]], ("chaos:1", "chaos:2"), "status_doubled"),
        ([CHANGES[0], CHANGES[2], CHANGES[1]], ("chaos:1", "chaos:2"), "status_out_of_order"),
        (CHANGES, ("chaos:1",), "status_invented"),
        (CHANGES, ("chaos:1",), "status_undone"),
    ],
)
def test_each_fault_of_a_status_change_is_named(events, logged, kind):
    assert kind in judged_status(events, logged=logged).counts


def test_a_post_without_an_answer_is_named_where_all_must_have_one():
    verdict = Verdict()
    judge_answers(verdict, Ledger(attempts=Counter({"200": 9, "503": 1, "RemoteDisconnected": 2})))
    assert verdict.counts == {"unanswered": 2}


def test_a_report_with_faults_can_be_written():
    report = Report(Plan(), verdict=judge(LEDGER, broken(emitted=GOOD.emitted[1:])))
    assert json.loads(report.as_json())["verdict"]["counts"]["lost"] == 1
    assert '"lost": 1' in report.as_text()
