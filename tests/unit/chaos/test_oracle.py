from __future__ import annotations

import json

import pytest

from tests.chaos.oracle import Emitted, StatusEvent, StatusLedger, Verdict, judge, judge_answers, judge_status
from tests.chaos.provider import Ledger
from tests.chaos.report import Plan, Report

LEDGER = Ledger(written={"p": ["a", "b", "c"], "q": ["d"]}, acknowledged={"a", "b", "d"}, order={"a": 1, "b": 2, "d": 3, "c": 4})
GOOD = [Emitted("p", "a", "1", "k"), Emitted("p", "b", "2", "k"), Emitted("q", "d", "3", "l")]


def judged(emitted, books=None, raw_items=None):
    total = len(emitted)
    return judge(LEDGER, emitted, {"emitted": total} if books is None else books, total if raw_items is None else raw_items)


def test_a_clean_run_is_clean():
    assert judged(GOOD).clean


def test_what_was_not_answered_may_come_out_or_not():
    assert judged([*GOOD[:2], Emitted("p", "c", "4", "k"), GOOD[2]]).clean


@pytest.mark.parametrize(
    ("emitted", "books", "raw", "kind"),
    [
        (GOOD[1:], None, None, "lost"),
        ([*GOOD, GOOD[0]], None, None, "doubled"),
        ([GOOD[1], GOOD[0], GOOD[2]], None, None, "out_of_order"),
        ([*GOOD, Emitted("q", "x", "9", "l")], None, None, "invented"),
        ([*GOOD[:2], Emitted("q", "d", "3", "l"), Emitted("q", "d", "3", "m")], None, None, "conversation_split"),
        (GOOD, {"emitted": 3, "duplicate": 1}, 5, "books_items"),
        (GOOD, {"emitted": 2, "duplicate": 1}, 3, "books_emitted"),
    ],
)
def test_each_fault_is_named(emitted, books, raw, kind):
    assert kind in judged(emitted, books, raw).counts


def test_the_first_message_that_shows_a_fault_is_told():
    assert judged([GOOD[0], GOOD[2], GOOD[2]]).first == {"lost": 2, "doubled": 3}


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
    judge_answers(verdict, Ledger(attempts={"200": 9, "503": 1, "RemoteDisconnected": 2}))
    assert verdict.counts == {"unanswered": 2}


def test_a_report_with_faults_can_be_written():
    report = Report(Plan(), verdict=judged(GOOD[1:]))
    assert json.loads(report.as_json())["verdict"]["counts"] == {"lost": 1}
    assert '"lost": 1' in report.as_text()
