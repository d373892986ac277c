"""Settings of a token rotator process."""

from __future__ import annotations

from pydantic import Field

from services.token_rotator.app import Rhythm
from services.token_rotator.decide import Policy
from shared.adapters.renewal_rows import Budget
from shared.runtime.settings import DatabaseSettings, HttpSettings, LogSettings, VaultSettings


class TokenRotatorSettings(DatabaseSettings, VaultSettings, HttpSettings, LogSettings):
    """Any number of processes may run against one database; all of them should have the same figures."""

    token_rotator_operations_host: str = "127.0.0.1"
    token_rotator_operations_port: int = Field(default=9086, ge=0, le=65535)
    token_rotator_margin_seconds: int = Field(default=300, ge=10, le=86_400)  # what a token has left when it is renewed, at least
    token_rotator_overlap_seconds: int = Field(default=3_600, ge=0, le=604_800)  # a token that was replaced stays usable
    token_rotator_thresholds: str = "604800,86400,3600,300"  # seconds before the end at which people are told
    token_rotator_first_backoff_seconds: int = Field(default=30, ge=1, le=3_600)
    token_rotator_longest_backoff_seconds: int = Field(default=3_600, ge=1, le=86_400)
    token_rotator_test_seconds: int = Field(default=21_600, ge=60, le=604_800)  # how often a key without an end is tried
    token_rotator_budget_calls: int = Field(default=600, ge=1, le=1_000_000)  # to each service, in each window, by all processes
    token_rotator_budget_window_seconds: int = Field(default=60, ge=1, le=86_400)
    token_rotator_calls: int = Field(default=16, ge=1, le=500)  # under way at once, in this process
    # Beyond a call's own limit and the time to store its answer: afterwards another process asks once more.
    token_rotator_lease_seconds: float = Field(default=90, ge=1, le=3_600)
    token_rotator_poll_seconds: float = Field(default=1.0, gt=0, le=60)
    token_rotator_plan_seconds: float = Field(default=5.0, gt=0, le=600)  # a new token is seen within it
    token_rotator_replan_seconds: float = Field(default=600, gt=0, le=86_400)  # everything is looked at again
    token_rotator_tell_seconds: float = Field(default=5.0, gt=0, le=600)
    token_rotator_settle_seconds: float = Field(
        default=10.0, ge=0, le=600
    )  # after an outage, before others' leases count as over
    token_rotator_drain_seconds: float = 30.0

    def policy(self) -> Policy:
        """The figures behind the rules. Raises ValueError for thresholds that are no numbers."""
        thresholds = tuple(sorted({int(one) for one in self.token_rotator_thresholds.split(",") if one.strip()}, reverse=True))
        return Policy(
            margin=self.token_rotator_margin_seconds,
            overlap=self.token_rotator_overlap_seconds,
            thresholds=thresholds,
            first_backoff=self.token_rotator_first_backoff_seconds,
            longest_backoff=self.token_rotator_longest_backoff_seconds,
            test_every=self.token_rotator_test_seconds,
        )

    def budget(self) -> Budget:
        """What each service may be asked."""
        return Budget(calls=self.token_rotator_budget_calls, window_seconds=self.token_rotator_budget_window_seconds)

    def rhythm(self) -> Rhythm:
        """How often what is looked at."""
        return Rhythm(
            poll=self.token_rotator_poll_seconds,
            plan=self.token_rotator_plan_seconds,
            replan=self.token_rotator_replan_seconds,
            tell=self.token_rotator_tell_seconds,
            settle=self.token_rotator_settle_seconds,
        )
