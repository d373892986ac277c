"""What a sync does beside webhooks: steps for each account, such as asking the provider to describe it.

A step makes its calls through `Work.ask`, which opens and places credentials and keeps to the job's time. What it learns it hands
back as `write`: that runs in the transaction that ends the job, under the connector's lock, for the connector's tenant, so that a
step's rows, `ultima_sync` and the job's end come together or not at all. `write` calls a use case, which must not ask for a sync.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.orm import Session

from services.sync.planning import AccountFacts, Facts
from shared.domain.syncing import SyncResult, TakenJob
from shared.providers.calling import CallContext, Fault, ProviderAnswer, ProviderCall
from shared.providers.contract import Provider


class Work(Protocol):
    """One job under way."""

    job: TakenJob
    facts: Facts
    provider: Provider

    def context(self, account: AccountFacts | None) -> CallContext:
        """For whom calls are built."""
        ...

    def ask(self, calls: Sequence[ProviderCall], account: AccountFacts | None) -> Mapping[str, ProviderAnswer] | SyncResult:
        """The answers by step, in order and no further than the first that failed to come; a SyncResult where a credential is
        missing or cannot be opened. Blocks for the calls."""
        ...

    def passing(self, cause: str) -> SyncResult:
        """A failure that is tried again later."""
        ...

    def faulty(self, fault: Fault, answers: Mapping[str, ProviderAnswer]) -> SyncResult:
        """What follows from a provider's refusal, or its silence."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """`failure`: the account is not synced, and why. `write`: what is to be stored of the answers."""

    failure: SyncResult | None = None
    write: Callable[[Session], None] | None = None


class ConnectorStep(Protocol):
    """One step for the connector as a whole, before those of its accounts. Must be idempotent, as an AccountStep.

    Its `write` is stored also beside a failure: what was done of several things stays done.
    """

    name: str

    def fits(self, provider: Provider) -> bool:
        """Whether connectors of this provider have anything to do here."""
        ...

    def run(self, work: Work) -> StepDone:
        """Do it; blocks. A `StepDone` without both: there was nothing to do. Raises Unavailable where PostgreSQL is away."""
        ...


class AccountStep(Protocol):
    """One step. Must be idempotent: a job that was interrupted is done again from its beginning."""

    name: str

    def fits(self, provider: Provider) -> bool:
        """Whether this provider has anything to ask."""
        ...

    def run(self, work: Work, account: AccountFacts) -> StepDone:
        """Ask; blocks. Never raises for what a provider answers."""
        ...
