"""Connectors whose provider answers for accounts alone: in error while all of their accounts step aside, told once each way."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import text

from services.health import writing
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType, TokenKind
from shared.domain.errors import Unavailable
from shared.management.accounts import change_account_status
from shared.management.pauses import pause_account, resume_account
from tests.integration.management import ACTOR
from tests.integration.services.health.scene import HealthScene
from tests.integration.services.health.test_writing import CHECKED, MOVED, plant

EVOLUTION = {"dialect": "evolution", "base_url": "https://evolution.example.org"}
IMAP = {"dialect": "imap", "imap_host": "mail.example.org"}
DOWN, UP = ("active", "error", "health_accounts_down", "health"), ("error", "active", "health_recovered", "health")


class Whole:
    """An active connector of that kind, with so many active accounts."""

    def __init__(self, scene: HealthScene, accounts: int, tipo: ConnectorType = ConnectorType.WHATSAPP_UNOFFICIAL) -> None:
        self.scene, management = scene, scene.management
        mail = tipo is ConnectorType.EMAIL
        self.id = management.connector(tipo=tipo, config=IMAP if mail else EVOLUTION)
        management.token(self.id, kind=TokenKind.SECRET if mail else TokenKind.API_KEY)
        management.check(self.id)
        management.status(self.id, ConnectorStatus.ACTIVE)
        self.accounts = []
        for number in range(1, accounts + 1):
            more: dict[str, Any] = {"config": {} if mail else {"instance": f"instance{number}"}}
            if mail:
                more["identidade"] = f"box{number}@example.org"
            account = management.account(self.id, **{"identidade": f"+55 11 90000-00{number:02}", **more})
            self.turn(account, AccountStatus.ACTIVE)
            self.accounts.append(account)

    def turn(self, account: str, status: AccountStatus) -> None:
        self.scene.management.run(lambda session: change_account_status(session, account, status, actor=ACTOR))

    def story(self, *accounts: str, letters: str) -> None:
        """Rounds in which these accounts have the same results, and all others pass."""
        for letter in letters:
            self.scene.round(dict.fromkeys(accounts, letter))

    @property
    def status(self) -> str:
        [(status,)] = self.scene.management.read("SELECT status::text FROM channel_connector WHERE id = :id", id=self.id)
        return str(status)

    @property
    def moved(self) -> list[tuple[str, ...]]:
        """What was told of it since it was activated."""
        told = self.scene.events(MOVED, self.id)
        return [(one["old_status"], one["new_status"], one["cause"], one["actor"]) for one in told if one["actor"] == "health"]

    def statuses(self) -> set[str]:
        return {row[0] for row in self.scene.management.read("SELECT status::text FROM channel_account")}


@pytest.mark.req(63, 68, 82)
@pytest.mark.parametrize("tipo", [ConnectorType.WHATSAPP_UNOFFICIAL, ConnectorType.EMAIL])
@pytest.mark.parametrize("number", [1, 3])
def test_all_accounts_down_are_an_error_of_the_whole_and_one_that_recovers_ends_it(
    scene: HealthScene, tipo: ConnectorType, number: int
) -> None:
    whole = Whole(scene, number, tipo)
    whole.story(*whole.accounts, letters="FF")
    assert whole.status == "active"
    whole.story(*whole.accounts, letters="FFF")
    assert (whole.status, whole.moved, whole.statuses()) == ("error", [DOWN], {"pending"})
    assert scene.checks(whole.id)[-1] == (
        "warning",
        "accounts: all accounts of the connector are paused. Look at the checks of its accounts.",
    )
    first, *others = whole.accounts
    whole.story(*others, letters="FF")
    assert (whole.status, whole.moved, whole.statuses()) == ("active", [DOWN, UP], {"active"})
    assert [scene.route(one)[0] for one in whole.accounts] == ["open"] + ["paused"] * len(others)
    whole.story(*others, letters="FF")
    assert whole.moved == [DOWN, UP]
    assert scene.checks(whole.id)[-1][0] == "passed"
    assert scene.route(first) == ("open", None)


@pytest.mark.req(63)
def test_some_bad_accounts_never_touch_the_connector(scene: HealthScene) -> None:
    whole = Whole(scene, 3)
    whole.story(*whole.accounts[:2], letters="FFFFF")
    assert (whole.status, whole.moved) == ("active", [])
    assert [scene.route(one)[0] for one in whole.accounts] == ["paused", "paused", "open"]


def test_accounts_down_one_after_the_other_are_counted_together(scene: HealthScene) -> None:
    whole = Whole(scene, 2)
    first, second = whole.accounts
    whole.story(first, letters="FFF")
    assert whole.status == "active"
    whole.story(first, second, letters="FFF")
    assert (whole.status, whole.moved) == ("error", [DOWN])


def test_accounts_that_are_off_or_were_never_on_do_not_count(scene: HealthScene) -> None:
    whole = Whole(scene, 2)
    first, second = whole.accounts
    whole.turn(second, AccountStatus.INACTIVE)
    scene.management.account(whole.id, "+55 11 90000-0099", config={"instance": "never-on"})
    whole.story(first, letters="FFF")
    assert (whole.status, whole.moved) == ("error", [DOWN])
    whole.turn(first, AccountStatus.INACTIVE)  # none is left that could be down
    whole.story(letters="P")
    assert (whole.status, whole.moved) == ("active", [DOWN, UP])


def test_where_the_provider_speaks_for_the_whole_accounts_do_not(scene: HealthScene) -> None:
    connector = scene.management.active_connector()  # Meta
    accounts = [scene.account(connector, number) for number in (1, 2)]
    for _ in range(5):
        scene.round(dict.fromkeys(accounts, "F"))
    assert [scene.route(one)[0] for one in accounts] == ["paused", "paused"]
    assert scene.management.read("SELECT status::text FROM channel_connector") == [("active",)]


@pytest.mark.req(82)
def test_when_too_many_connectors_fail_at_once_none_goes_to_error(scene: HealthScene) -> None:
    wholes = [Whole(scene, 1) for _ in range(6)]
    accounts = [one for whole in wholes for one in whole.accounts]
    for _ in range(5):
        written = scene.round(dict.fromkeys(accounts, "F"))
    assert scene.writer().egress()[1] is True
    assert sum(one.verdict is not None and one.verdict.held_back for one in written) == 6
    assert [one.moved for one in wholes] == [[]] * 6
    scene.round({accounts[0]: "F"})  # the others are back
    assert [one.moved for one in wholes] == [[DOWN]] + [[]] * 5


def test_a_person_who_activates_it_is_not_overruled_and_an_error_of_a_person_is_not_lifted(scene: HealthScene) -> None:
    whole = Whole(scene, 2)
    whole.story(*whole.accounts, letters="FFF")
    scene.management.status(whole.id, ConnectorStatus.ACTIVE)
    whole.story(*whole.accounts, letters="FFF")
    assert (whole.status, whole.moved) == ("active", [DOWN])
    scene.management.status(whole.id, ConnectorStatus.ERROR)  # now it is a person's
    whole.story(letters="PPP")
    assert (whole.status, whole.moved) == ("error", [DOWN])
    assert {scene.route(one)[0] for one in whole.accounts} == {"open"}


def test_a_route_that_a_person_resumes_brings_the_connector_back(scene: HealthScene) -> None:
    whole = Whole(scene, 2)
    whole.story(*whole.accounts, letters="FFF")
    scene.management.run(lambda session: resume_account(session, whole.accounts[0], actor=ACTOR))
    whole.story(*whole.accounts, letters="F")
    assert (whole.status, whole.moved) == ("active", [DOWN, UP])
    whole.story(*whole.accounts, letters="FFF")
    assert whole.moved == [DOWN, UP]


def test_an_account_that_a_person_paused_before_counts_once_it_fails(scene: HealthScene) -> None:
    whole = Whole(scene, 2)
    first, second = whole.accounts
    scene.management.run(lambda session: pause_account(session, first, "maintenance", actor=ACTOR))
    whole.story(second, letters="FFF")
    assert whole.status == "active"  # the first one's checks pass
    whole.story(first, second, letters="FFF")
    assert (whole.status, scene.route(first)) == ("error", ("paused", "maintenance"))


def test_it_comes_back_only_once_there_is_a_token_and_without_another_failure(scene: HealthScene) -> None:
    whole = Whole(scene, 1)
    whole.story(*whole.accounts, letters="FFF")
    scene.management.run(lambda session: session.execute(text("UPDATE channel_token SET expires_at = '2020-01-01'")))
    whole.story(letters="PPP")
    assert (whole.status, scene.route(whole.accounts[0])) == ("error", ("open", None))
    scene.management.token(whole.id, kind=TokenKind.API_KEY)
    whole.story(letters="P")
    assert (whole.status, whole.moved) == ("active", [DOWN, UP])


def test_two_that_open_at_the_same_time_tell_it_once(scene: HealthScene) -> None:
    whole = Whole(scene, 2)
    whole.story(*whole.accounts, letters="FF")
    taken = scene.take()
    start = threading.Barrier(2)

    def write(account: str) -> None:
        start.wait(10)
        scene.writer().write([scene.outcome(taken[account], "F")])

    threads = [threading.Thread(target=write, args=(one,)) for one in whole.accounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (whole.status, whole.moved) == ("error", [DOWN])


@pytest.mark.parametrize("step", ["insert_checks", "update_states", "pause_route", "move_connector", "hold_connector", "commit"])
def test_a_transaction_that_dies_at_any_step_changes_no_outcome(
    scene: HealthScene, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Each check of the story dies before and after the step; then it is run again."""
    whole = Whole(scene, 2)
    for letter in "FFFPP":
        taken = scene.take()
        ours = [scene.outcome(taken[one], letter) for one in whole.accounts] + [scene.outcome(taken[whole.id], "P")]
        for outcome in ours:
            for when in ("before", "after"):
                with monkeypatch.context() as patched:
                    plant(scene, patched, step, when, "raise")
                    with suppress(Unavailable, RuntimeError):
                        scene.writer().write([outcome])
            scene.writer().write([outcome])
    assert (whole.status, whole.moved) == ("active", [DOWN, UP])
    assert len(scene.events(CHECKED, whole.id)) == 15
    states = scene.management.read("SELECT DISTINCT owns, breaker FROM health_state")
    assert states == [(False, "closed")]


@pytest.mark.parametrize(
    ("on", "down", "status", "owns", "opened", "expected"),
    [
        (2, 2, "active", False, True, "error"),
        (2, 1, "active", False, True, None),
        (2, 2, "active", False, False, None),
        (0, 0, "active", False, True, None),
        (2, 2, "pending", False, True, None),
        (2, 2, "error", False, True, None),
        (2, 2, "error", True, True, None),
        (2, 1, "error", True, False, "active"),
        (2, 1, "error", False, False, None),
        (0, 0, "error", True, False, "active"),
        (2, 1, "archived", True, False, None),
    ],
)
def test_the_table_of_effects(on: int, down: int, status: str, owns: bool, opened: bool, expected: str | None) -> None:
    accounts = writing.Accounts(on=on, down=down)
    effect = writing.wholes.whole_effect(accounts, ConnectorStatus(status), owns=owns, opened=opened)
    assert (effect and effect.status.value) == expected
