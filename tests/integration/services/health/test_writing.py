"""One check, one transaction: its row, the streak, the breaker, and what follows, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import text

from services.health import writing
from services.health.decide import Policy
from shared.adapters.database import unit_of_work
from shared.adapters.health_rows import prune_checks
from shared.domain.enums import ConnectorStatus, FallbackType
from shared.domain.errors import InvalidInput, Unavailable
from shared.management.fallbacks import NewFallback, create_fallback
from shared.management.pauses import pause_account, resume_account
from tests.integration.management import ACTOR
from tests.integration.services.health.scene import HealthScene

ROUTE, CHECKED, MOVED = "channel.route.status_changed", "channel.health.checked", "channel.connector.status_changed"


@pytest.mark.req(63, 72)
def test_two_failures_do_nothing_the_third_pauses_and_passes_resume(scene: HealthScene) -> None:
    account = scene.account(scene.management.active_connector())
    made = NewFallback(tipo=FallbackType.EMAIL_FORWARD, destino="desk@example.org")
    fallback = scene.management.run(lambda session: create_fallback(session, account, made, actor=ACTOR)).id
    scene.story(account, "FF")
    assert scene.route(account) == ("open", None)
    version = scene.management.version(account)
    scene.story(account, "F")
    opened_ms = scene.now_ms
    assert scene.route(account) == ("paused", "health_auth")
    assert scene.management.read("SELECT fallback FROM account_state") == [(fallback,)]
    assert scene.management.version(account) == version + 1
    scene.story(account, "P")
    assert scene.route(account) == ("paused", "health_auth")
    scene.story(account, "P")
    assert scene.route(account) == ("open", None)
    paused, resumed = scene.events(ROUTE, account)
    assert (paused["status"], paused["why"], paused["since_ms"]) == ("paused", "health_auth", opened_ms)
    assert (paused["fallback_id"], resumed["fallback_id"]) == (fallback, None)
    assert (resumed["status"], resumed["why"], resumed["since_ms"]) == ("resumed", "health_auth", scene.now_ms)
    assert [status for status, _ in scene.checks(account)] == ["failed"] * 3 + ["passed"] * 2


@pytest.mark.req(63)
def test_one_bad_account_never_pauses_its_neighbours_nor_its_connector(scene: HealthScene) -> None:
    connector = scene.management.active_connector()
    accounts = [scene.account(connector, number) for number in range(1, 11)]
    scene.story(accounts[0], "FFFFF")
    assert [scene.route(one)[0] for one in accounts] == ["paused"] + ["open"] * 9
    assert scene.management.read("SELECT status::text FROM channel_connector") == [("active",)]


def test_thresholds_are_each_accounts_own(scene: HealthScene) -> None:
    connector = scene.management.active_connector()
    quick, slow = scene.account(connector, 1), scene.account(connector, 2)
    for _ in range(2):
        outcomes = [scene.outcome(one, "F" if one.account_id else "P") for one in scene.take().values()]
        for number, one in enumerate(outcomes):
            policy = Policy(threshold=2 if one.subject.subject_id == quick else 4)
            outcomes[number] = writing.Outcome(
                subject=one.subject, finding=one.finding, policy=policy, at_ms=one.at_ms, duration_ms=1
            )
        scene.writer().write(outcomes)
    assert (scene.route(quick)[0], scene.route(slow)[0]) == ("paused", "open")


def test_a_pause_by_a_person_is_neither_taken_over_nor_lifted(scene: HealthScene) -> None:
    account = scene.account(scene.management.active_connector())
    scene.management.run(lambda session: pause_account(session, account, "maintenance", actor=ACTOR))
    scene.story(account, "FFFFPPPP")
    assert scene.route(account) == ("paused", "maintenance")
    scene.management.run(lambda session: resume_account(session, account, actor=ACTOR))
    scene.story(account, "FFF")
    scene.management.run(lambda session: pause_account(session, account, "maintenance", actor=ACTOR))
    scene.story(account, "PPPP")
    assert scene.route(account) == ("paused", "maintenance")
    with pytest.raises(InvalidInput, match="health"):
        scene.management.run(lambda session: pause_account(session, account, "health_auth", actor=ACTOR))


@pytest.mark.req(63)
def test_a_connector_as_a_whole_goes_to_error_and_comes_back_with_one_event_each(scene: HealthScene) -> None:
    connector = scene.management.active_connector()
    account = scene.account(connector)
    before = len(scene.events(MOVED, connector))
    scene.story(connector, "FFF")
    assert scene.management.read("SELECT status::text FROM channel_connector") == [("error",)]
    assert scene.management.read("SELECT status::text FROM channel_account") == [("pending",)]
    scene.story(connector, "PP")
    assert scene.management.read("SELECT status::text FROM channel_connector") == [("active",)]
    assert scene.management.read("SELECT status::text FROM channel_account") == [("active",)]
    moved = [
        (one["old_status"], one["new_status"], one["cause"], one["actor"]) for one in scene.events(MOVED, connector)[before:]
    ]
    assert moved == [("active", "error", "health_auth", "health"), ("error", "active", "health_recovered", "health")]
    assert scene.route(account) == ("open", None)


def test_an_error_that_somebody_else_set_is_not_lifted(scene: HealthScene) -> None:
    connector = scene.management.active_connector()
    scene.management.status(connector, ConnectorStatus.ERROR)
    scene.story(connector, "FFFPPPP")
    assert scene.management.read("SELECT status::text FROM channel_connector") == [("error",)]


def test_a_connector_whose_token_is_gone_meanwhile_comes_back_once_there_is_one(scene: HealthScene) -> None:
    connector = scene.management.active_connector()
    scene.story(connector, "FFF")
    scene.management.run(lambda session: session.execute(text("UPDATE channel_token SET expires_at = '2020-01-01'")))
    scene.story(connector, "PP")
    assert scene.management.read("SELECT status::text FROM channel_connector") == [("error",)]
    scene.management.token(connector)
    scene.story(connector, "P")
    assert scene.management.read("SELECT status::text FROM channel_connector") == [("active",)]


def test_when_too_many_connectors_fail_at_once_nothing_opens(scene: HealthScene) -> None:
    connectors = [scene.management.active_connector() for _ in range(6)]
    everything = dict.fromkeys(connectors, "F")
    for _ in range(5):
        written = scene.round(everything)
    assert scene.writer().egress()[1] is True
    assert all(one.verdict is not None and one.verdict.held_back for one in written)
    assert scene.management.read("SELECT DISTINCT status::text FROM channel_connector") == [("active",)]
    scene.round({connectors[0]: "F"})  # the others are back
    assert scene.management.read("SELECT count(*) FROM channel_connector WHERE status = 'error'") == [(1,)]


def test_a_check_that_is_written_twice_counts_once(scene: HealthScene) -> None:
    account = scene.account(scene.management.active_connector())
    subject = scene.take()[account]
    outcome = scene.outcome(subject, "F")
    first, second = scene.writer().write([outcome]), scene.writer().write([outcome])
    assert first[0].verdict is not None
    assert second[0].verdict is None
    assert len(scene.checks(account)) == 1
    assert scene.management.read("SELECT failures FROM health_state WHERE account_id IS NOT NULL") == [(1,)]


def test_what_one_process_took_another_leaves_until_the_lease_ends(scene: HealthScene) -> None:
    account = scene.account(scene.management.active_connector())
    assert account in scene.take(lease_ms=60_000)
    assert scene.take(step_ms=30_000) == {}
    assert account in scene.take(step_ms=31_000)


def test_a_subject_that_is_gone_is_passed_over(scene: HealthScene) -> None:
    account = scene.account(scene.management.active_connector())
    outcome = scene.outcome(scene.take()[account], "F")
    with unit_of_work(scene.worker) as session:
        session.execute(text("DELETE FROM health_state WHERE subject_id = :id"), {"id": account})
        session.commit()
    assert scene.writer().write([outcome])[0].verdict is None


STEPS = (
    "insert_checks",
    "update_states",
    "tell_checks",
    "tell_own_checks",
    "lock_states",
    "pause_route",
    "failing_connectors",
    "commit",
)


@pytest.mark.parametrize("how", ["raise", "backend"])
@pytest.mark.parametrize("step", STEPS)
def test_a_transaction_that_dies_at_any_step_changes_no_outcome(
    scene: HealthScene, monkeypatch: pytest.MonkeyPatch, step: str, how: str
) -> None:
    """Each check of the story dies before and after the step; then it is run again. The end is that of an untroubled run."""
    connector = scene.management.active_connector()
    account, calm = scene.account(connector, 1), scene.account(connector, 2)
    for letter in "FFFPP":
        taken = scene.take()
        for when in ("before", "after"):
            with monkeypatch.context() as patched:
                plant(scene, patched, step, when, how)
                with suppress(Unavailable, RuntimeError):
                    scene.writer().write([scene.outcome(taken[account], letter)])
        scene.writer().write([scene.outcome(one, letter) for one in taken.values()])
    untroubled = scene.checks(calm)
    assert [status for status, _ in untroubled] == ["failed"] * 3 + ["passed"] * 2
    assert scene.checks(account) == untroubled
    assert [one["status"] for one in scene.events(ROUTE, account)] == ["paused", "resumed"]
    assert scene.events(ROUTE, account)[0]["why"] == scene.events(ROUTE, calm)[0]["why"]
    assert len(scene.events(CHECKED, connector)) == 15
    states = scene.management.read(
        "SELECT failures, passes, breaker, open_seconds FROM health_state WHERE account_id IS NOT NULL ORDER BY subject_id"
    )
    assert states[0] == states[1] == (0, 2, "closed", 300)


@pytest.mark.parametrize("step", ["insert_checks", "update_states", "tell_own_checks", "move_connector", "commit"])
def test_a_connectors_transaction_that_dies_at_any_step_changes_no_outcome(
    scene: HealthScene, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    connector = scene.management.active_connector()
    before = len(scene.events(MOVED, connector))
    for letter in "FFFPP":
        subject = scene.take()[connector]
        for when in ("before", "after"):
            with monkeypatch.context() as patched:
                plant(scene, patched, step, when, "raise")
                with suppress(Unavailable, RuntimeError):
                    scene.writer().write([scene.outcome(subject, letter)])
        scene.writer().write([scene.outcome(subject, letter)])
    moved = [(one["old_status"], one["new_status"]) for one in scene.events(MOVED, connector)[before:]]
    assert moved == [("active", "error"), ("error", "active")]
    assert len(scene.checks(connector)) == len(scene.events(CHECKED, connector)) == 5
    assert scene.management.read("SELECT owns, breaker FROM health_state") == [(False, "closed")]


def plant(scene: HealthScene, patched: pytest.MonkeyPatch, step: str, when: str, how: str) -> None:
    def die() -> None:
        if how == "raise":
            raise RuntimeError("planted")
        with scene.management.work() as session:
            pid = session.connection().connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        from tests.integration.rows import connect

        with connect(scene.database.superuser_url) as rows:
            rows.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> %s AND state LIKE 'idle in%%'",
                (scene.database.name, pid),
            )

    if step == "commit":
        real_work = writing.unit_of_work

        def work(*args: Any, **more: Any) -> Any:
            return _Dying(real_work(*args, **more), when, die)

        patched.setattr(writing, "unit_of_work", work)
        return
    real: Callable[..., Any] = getattr(writing, step)

    def planted(*args: Any, **more: Any) -> Any:
        if when == "before":
            die()
        result = real(*args, **more)
        if when == "after":
            die()
        return result

    patched.setattr(writing, step, planted)


class _Dying:
    """A unit of work whose commit dies before, or right after, it is done."""

    def __init__(self, inner: Any, when: str, die: Callable[[], None]) -> None:
        self._inner, self._when, self._die = inner, when, die

    def __enter__(self) -> Any:
        session = self._inner.__enter__()
        commit = session.commit

        def dying() -> None:
            if self._when == "before":
                self._die()
            commit()
            if self._when == "after":
                self._die()

        session.commit = dying
        return session

    def __exit__(self, *error: Any) -> Any:
        return self._inner.__exit__(*error)


@pytest.mark.req(39)
def test_old_checks_are_deleted_in_small_batches_and_new_ones_stay(scene: HealthScene) -> None:
    account = scene.account(scene.management.active_connector())
    scene.story(account, "PPP")
    cut_ms = scene.now_ms
    scene.story(account, "PP")
    deleted = []
    while True:
        with unit_of_work(scene.worker) as session:
            deleted.append(prune_checks(session, before_ms=cut_ms, most=3))
            session.commit()
        if not deleted[-1]:
            break
    assert max(deleted) <= 3
    assert len(scene.checks(account)) == 3
