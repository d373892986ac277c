"""Checks written to a real PostgreSQL, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from services.health.decide import Finding, Policy
from services.health.writing import CheckWriter, Outcome, Written
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.health_rows import SubjectRow, plan_subjects, take_due
from shared.domain.enums import AccountStatus, HealthStatus
from shared.management.accounts import change_account_status
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, Management, management_of

START_MS = 1_767_225_600_000
_GRADES = {"P": HealthStatus.PASSED, "W": HealthStatus.WARNING, "F": HealthStatus.FAILED, "?": None}


@dataclass
class HealthScene:
    """`management` registers, `check` runs one check of a subject with a given result, five minutes after the last."""

    database: DatabaseUnderTest
    management: Management
    worker: Engine
    policy: Policy = field(default_factory=lambda: Policy(threshold=3, recover=2))
    now_ms: int = START_MS

    def writer(self, **more: Any) -> CheckWriter:
        return CheckWriter(self.worker, self.management.engine, **more)

    def take(self, step_ms: int = 400_000, lease_ms: int = 60_000) -> dict[str, SubjectRow]:
        """Let time pass, and take what is due."""
        self.now_ms += step_ms
        with unit_of_work(self.worker) as session:
            plan_subjects(session, now_ms=self.now_ms - 1, spread_seconds=0, most=10_000)
            taken = take_due(session, now_ms=self.now_ms, lease_ms=lease_ms, most=1_000)
            session.commit()
        return {one.subject_id: one for one in taken}

    def outcome(self, subject: SubjectRow, letter: str, cause: str = "auth") -> Outcome:
        finding = Finding(check="number", status=_GRADES[letter], cause="ok" if letter == "P" else cause)
        return Outcome(subject=subject, finding=finding, policy=self.policy, at_ms=self.now_ms, duration_ms=12)

    def round(self, letters: dict[str, str], **more: Any) -> list[Written]:
        """One round of checks of everything: the letter of each subject, P for those not named."""
        taken = self.take()
        outcomes = [self.outcome(one, letters.get(one.subject_id, "P")) for one in taken.values()]
        return self.writer(**more).write(outcomes)

    def story(self, subject: str, story: str, **more: Any) -> None:
        for letter in story:
            self.round({subject: letter}, **more)

    def account(self, connector: str, number: int = 1, **more: Any) -> str:
        """An active account."""
        config = {"phone_number_id": f"1000000000000{number:02}"}
        account = self.management.account(connector, f"+55 11 90000-00{number:02}", **{"config": config, **more})
        self.management.run(lambda session: change_account_status(session, account, AccountStatus.ACTIVE, actor=ACTOR))
        return account

    def forget_leases(self) -> None:
        """As if the lease of a process that died were over."""
        with unit_of_work(self.worker) as session:
            session.execute(text("UPDATE health_state SET lease_until = NULL"))
            session.commit()

    def route(self, account: str) -> tuple[str | None, str | None]:
        found = self.management.read("SELECT route, route_cause FROM account_state WHERE account_id = :id", id=account)
        return tuple(found[0]) if found else ("open", None)  # type: ignore[return-value]

    def checks(self, subject: str) -> list[tuple[Any, ...]]:
        return self.management.read(
            "SELECT status::text, mensagem FROM channel_health_check WHERE coalesce(account_id, connector_id) = :id"
            " AND mensagem <> 'for the test' ORDER BY executado_em",
            id=subject,
        )

    def events(self, topic: str, subject: str) -> list[dict[str, Any]]:
        return [detail for told, detail in self.management.notices(subject) if told == topic]


@contextmanager
def scene_on(database: DatabaseUnderTest, keys: Path) -> Iterator[HealthScene]:
    worker = create_engine_for(database.worker_url, pool_size=4)
    with management_of(database.api_url, keys) as management:
        yield HealthScene(database, management, worker)
    worker.dispose()
