"""Streak x threshold, the breaker and its effects, on a clock of the test's own."""

from __future__ import annotations

import pytest

from services.health.decide import (
    Breaker,
    Egress,
    Finding,
    MoveConnector,
    Pause,
    Policy,
    Resume,
    Standing,
    Transition,
    Verdict,
    check_id,
    connector_effect,
    is_our_fault,
    judge,
    next_due_ms,
    route_effect,
    worst,
)
from shared.domain.enums import ConnectorStatus, HealthStatus

PASSED, WARNING, FAILED = HealthStatus.PASSED, HealthStatus.WARNING, HealthStatus.FAILED
GRADES = {"P": PASSED, "W": WARNING, "F": FAILED, "?": None}
STEP_MS = 300_000
START_MS = 1_767_225_600_000


def run(story: str, policy: Policy, *, may_open: bool = True, step_ms: int = STEP_MS) -> list[Verdict]:
    """One verdict for each letter: P passed, W warning, F failed, ? nobody could tell."""
    standing, verdicts = Standing(), []
    for number, letter in enumerate(story):
        finding = Finding(check="number", status=GRADES[letter], cause=f"cause_{letter if letter != '?' else 'unknown'}".lower())
        verdicts.append(judge(standing, finding, policy, START_MS + number * step_ms, may_open=may_open))
        standing = verdicts[-1].standing
    return verdicts


def states(story: str, policy: Policy, **more: bool) -> str:
    letters = {Breaker.CLOSED: "c", Breaker.OPEN: "o", Breaker.HALF_OPEN: "h"}
    return "".join(letters[one.standing.breaker] for one in run(story, policy, **more))


# threshold, passes to close, story, breaker after each check (a check every 5 minutes, open for 5 minutes at least)
TABLE = [
    (1, 1, "PFP", "coc"),
    (1, 2, "FPP", "ohc"),
    (1, 3, "FPPP", "ohhc"),
    (2, 2, "FPFP", "cccc"),
    (2, 2, "FFPP", "cohc"),
    (3, 2, "FF", "cc"),
    (3, 2, "FFF", "cco"),
    (3, 2, "FFPFF", "ccccc"),
    (3, 2, "FFWFFF", "ccccco"),
    (3, 2, "FFFPP", "ccohc"),
    (3, 2, "FFFWW", "ccohc"),
    (3, 2, "FFFPFPP", "ccohooc"),  # failed while half-open: open again, and twice as long
    (3, 3, "FFFPPP", "ccohhc"),
    (5, 2, "FFFFPFFFFF", "ccccccccco"),
    (3, 2, "F?F?F", "cccco"),  # what nobody could tell neither counts nor ends a streak
    (3, 2, "???", "ccc"),  # the third in a row is the first failure
    (3, 2, "?????", "cccco"),
    (3, 2, "??P??F", "cccccc"),
]


@pytest.mark.req(82)
@pytest.mark.parametrize(("threshold", "recover", "story", "expected"), TABLE)
def test_streak_times_threshold(threshold: int, recover: int, story: str, expected: str) -> None:
    assert states(story, Policy(threshold=threshold, recover=recover)) == expected


@pytest.mark.req(63, 82)
@pytest.mark.parametrize("threshold", range(1, 8))
@pytest.mark.parametrize("streak", range(9))
def test_a_breaker_opens_at_its_threshold_and_never_before(streak: int, threshold: int) -> None:
    opened = states("P" + "F" * streak, Policy(threshold=threshold))[-1]
    assert opened == ("o" if streak >= threshold else "c")


@pytest.mark.req(40)
def test_a_fault_on_the_way_keeps_the_last_grade_until_it_came_often_enough() -> None:
    grades = [one.grade for one in run("W???P", Policy(unreachable_after=3))]
    assert grades == [WARNING, WARNING, WARNING, FAILED, PASSED]
    assert [one.grade for one in run("?P", Policy())] == [WARNING, PASSED]  # nothing was known: nobody is told that all is well
    assert [one.grade for one in run("F?", Policy())] == [FAILED, FAILED]


def test_an_open_breaker_stays_open_for_its_least_time_whatever_passes() -> None:
    verdicts = run("FPPPPP", Policy(threshold=1, recover=2, min_open_seconds=900))
    assert [one.standing.breaker.value for one in verdicts] == ["open", "open", "open", "closed", "closed", "closed"]
    assert [one.transition for one in verdicts][3] is Transition.CLOSED


def test_flapping_is_bounded_by_doubling_up_to_a_cap_and_forgotten_after_calm() -> None:
    policy = Policy(threshold=1, recover=1, min_open_seconds=300, max_open_seconds=2_000, calm_seconds=3_600)
    standing, now, lasted = Standing(), START_MS, []
    for _ in range(5):
        standing = judge(standing, Finding(check="x", status=FAILED, cause="down"), policy, now).standing
        opened = now
        while standing.breaker is not Breaker.CLOSED:
            now += 60_000
            standing = judge(standing, Finding(check="x", status=PASSED, cause="ok"), policy, now).standing
        lasted.append((now - opened) // 1000)
        now += 60_000
    assert lasted == [300, 600, 1_200, 2_040, 2_040]  # to the next check after the cap
    now += 3_700_000
    assert judge(standing, Finding(check="x", status=FAILED, cause="down"), policy, now).standing.open_seconds == 300


def test_one_that_flaps_at_every_check_changes_its_route_a_bounded_number_of_times() -> None:
    day = 288
    changes = [one.transition for one in run("FP" * (day // 2), Policy(threshold=1, recover=1))]
    assert sum(one in (Transition.OPENED, Transition.CLOSED) for one in changes) <= 24


def test_when_too_many_fail_at_once_nothing_opens_and_nothing_is_forgotten() -> None:
    held = run("FFFFF", Policy(threshold=3), may_open=False)
    assert [one.held_back for one in held] == [False, False, True, True, True]
    assert held[-1].standing.breaker is Breaker.CLOSED
    later = judge(held[-1].standing, Finding(check="x", status=FAILED, cause="down"), Policy(threshold=3), START_MS)
    assert later.transition is Transition.OPENED


@pytest.mark.parametrize(
    ("failing", "connectors", "ours"),
    [(0, 0, False), (4, 4, False), (5, 16, True), (5, 17, False), (30, 100, False), (31, 100, True), (5, 5, True)],
)
def test_our_own_egress_is_blamed_above_a_share_and_a_handful(failing: int, connectors: int, ours: bool) -> None:
    assert is_our_fault(Egress(failing=failing, connectors=connectors), share=0.3, at_least=5) is ours


@pytest.mark.req(63)
def test_three_failures_pause_and_recovery_resumes() -> None:
    policy = Policy(threshold=3, recover=2)
    verdicts = run("FFFPP", policy)
    assert [route_effect(one, policy, None, paused=False) for one in verdicts[:3]] == [None, None, Pause(cause="health_cause_f")]
    assert route_effect(verdicts[3], policy, "health_cause_f", paused=True) is None
    assert route_effect(verdicts[4], policy, "health_cause_f", paused=True) == Resume(cause="health_cause_f")


def test_a_pause_of_an_administrator_is_neither_taken_over_nor_lifted() -> None:
    policy = Policy(threshold=1, recover=1)
    for verdict in run("FPPPP", policy):
        assert route_effect(verdict, policy, "maintenance", paused=True) is None
        assert route_effect(verdict, policy, None, paused=True) is None


def test_a_connector_is_moved_to_error_and_back_only_by_whoever_put_it_there() -> None:
    opened = run("F", Policy(threshold=1))[0]
    assert connector_effect(opened, ConnectorStatus.ACTIVE) == MoveConnector(status=ConnectorStatus.ERROR, cause="health_cause_f")
    for status in (ConnectorStatus.PENDING, ConnectorStatus.ERROR, ConnectorStatus.ARCHIVED):
        assert connector_effect(opened, status) is None
    closed = run("FPP", Policy(threshold=1, recover=2))[-1]
    assert connector_effect(closed, ConnectorStatus.ERROR) is None
    ours = Verdict(standing=Standing(owns=True), grade=PASSED, transition=Transition.CLOSED)
    assert connector_effect(ours, ConnectorStatus.ERROR) == MoveConnector(status=ConnectorStatus.ACTIVE, cause="health_recovered")
    assert connector_effect(ours, ConnectorStatus.PENDING) is None


def test_slots_have_one_id_and_follow_each_other_with_jitter() -> None:
    policy, subject = Policy(every_seconds=300), "0190a000-0000-7000-8000-000000000002"
    assert check_id(subject, 1) == check_id(subject, 1) != check_id(subject, 2)
    gaps = {next_due_ms(subject, START_MS + n, START_MS + n, policy) - START_MS - n for n in range(200)}
    assert min(gaps) >= 270_000
    assert max(gaps) <= 330_000
    assert len(gaps) > 100
    after_an_outage = next_due_ms(subject, START_MS, START_MS + 86_400_000, policy)
    assert START_MS + 86_340_000 < after_an_outage < START_MS + 86_440_000


def test_the_worst_finding_counts() -> None:
    passed, warned = Finding(check="a", status=PASSED, cause="ok"), Finding(check="b", status=WARNING, cause="red")
    unknown, failed = Finding(check="c", status=None, cause="away"), Finding(check="d", status=FAILED, cause="gone")
    assert worst((passed, warned, unknown, failed)) is failed
    assert worst((passed, warned, unknown)) is unknown
    assert worst((passed, warned)) is warned
    assert worst(()).cause == "nothing_to_ask"
