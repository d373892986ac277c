"""The step in which a provider describes an account: its name and tier are taken over where no person has set them."""

from __future__ import annotations

import datetime as dt

import structlog
from sqlalchemy.orm import Session

from services.sync.planning import AccountFacts
from services.sync.steps import StepDone, Work
from shared.domain.errors import InvalidInput
from shared.domain.syncing import SyncOutcome, SyncResult
from shared.management.descriptions import apply_description
from shared.providers.contract import Provider
from shared.providers.describing import AccountDescription

ACTOR = "sync"


class Describe:
    """An `AccountStep`."""

    name = "describe"

    def fits(self, provider: Provider) -> bool:
        """Whether the provider describes its accounts."""
        return provider.describing is not None

    def run(self, work: Work, account: AccountFacts) -> StepDone:
        """Ask, and hand back what was told. Blocks for the calls."""
        describing = work.provider.describing
        assert describing is not None  # noqa: S101  `fits`
        context = work.context(account)
        try:
            calls = describing.build(context)
        except InvalidInput as error:
            return StepDone(failure=SyncResult(outcome=SyncOutcome.REFUSED, cause=error.reason, action="fix_config"))
        answers = work.ask(calls, account)
        if isinstance(answers, SyncResult):
            return StepDone(failure=answers)
        told = describing.read(answers, context)
        if told.fault is not None:
            return StepDone(failure=work.faulty(told.fault, answers))
        now = dt.datetime.fromtimestamp(context.now_ms / 1000, dt.UTC)
        return StepDone(write=lambda session: _write(session, account.id, told, now))


def _write(session: Session, account_id: str, told: AccountDescription, now: dt.datetime) -> None:
    described = apply_description(session, account_id, told, now=now, actor=ACTOR)
    if described.tier is not None:
        before, after = described.tier
        features = [feature.value for feature in described.features]
        structlog.get_logger().info("tier_changed", account_id=account_id, before=before, after=after, features=features)
