"""The seam where a sync does more than webhooks: steps for each account, what they store, and what one failure costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.sync.planning import AccountFacts, Policy
from services.sync.registering import RegistrarParts, _Running
from services.sync.steps import StepDone, Work
from shared.domain.enums import ConnectorType
from shared.domain.syncing import SyncOutcome, TakenJob
from shared.providers import provider_of
from shared.providers.contract import Provider
from tests.unit.services.sync.test_planning import facts

JOB = TakenJob(
    subject_id="c",
    tenant_id="t",
    connector_id="c",
    account_id=None,
    lease="l",
    lease_until_ms=10_000,
    attempt=1,
    causes=("requested",),
    registered_url=None,
    registered_secret=None,
)


class Clock:
    def now_ms(self) -> int:
        return 0


@dataclass
class Step:
    """Fails for the accounts named."""

    name: str = "describe"
    failing: tuple[str, ...] = ()
    fitting: bool = True
    seen: list[str] = field(default_factory=list)

    def fits(self, provider: Provider) -> bool:
        return self.fitting and provider.tipo is ConnectorType.WEBCHAT

    def run(self, work: Work, account: AccountFacts) -> StepDone:
        self.seen.append(account.id)
        if account.id in self.failing:
            return StepDone(failure=work.passing("provider_away"))
        return StepDone(write=lambda _: None)


def done(*steps: Step) -> Any:
    parts: dict[str, Any] = dict.fromkeys(("worker", "credential", "vault", "caller", "edge"))
    registrar = RegistrarParts(**parts, clock=Clock(), policy=Policy(), steps=steps, chance=lambda: 0.0)
    accounts = tuple(AccountFacts(id=one, identidade=one, config={}, webhook_url=None) for one in ("a", "b"))
    known = facts(tipo=ConnectorType.WEBCHAT, accounts=accounts)
    return _Running(registrar, JOB, known, provider_of(ConnectorType.WEBCHAT)).done()


def test_each_account_is_asked_about_and_what_is_learnt_is_stored_with_the_result() -> None:
    step = Step()
    found = done(step)
    assert step.seen == ["a", "b"]
    assert (found.result.outcome, found.synced, len(found.writes)) == (SyncOutcome.SYNCED, ("a", "b"), 2)


def test_one_that_fails_is_not_synced_and_the_others_are() -> None:
    found = done(Step(failing=("a",)))
    assert (found.result.outcome, found.result.cause) == (SyncOutcome.TRANSIENT, "provider_away")
    assert (found.synced, len(found.writes)) == (("b",), 1)


def test_without_anything_to_ask_nothing_is_synced() -> None:
    for steps in ((), (Step(fitting=False),)):
        found = done(*steps)
        assert (found.result.outcome, found.synced, found.writes) == (SyncOutcome.NOTHING, (), ())
