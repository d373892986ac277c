"""What sync at the providers is told in: states, outcomes, and which causes can change anything. Times: ms since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.domain.sync_causes import NAME_CHANGED, TIER_CHANGED

MISMATCH = "subscription_mismatch"
REQUESTED = "requested"  # a person asks: registers in any case
ROTATION = "secret_rotation"
SECRET_BEGAN = "secret_began"  # nobody asks: a secret that was there holds from now on
OVERTAKEN = "overtaken"  # somebody whose lease was over may have told the provider something after all
FORCING = frozenset({REQUESTED, OVERTAKEN})
"""Causes that register in any case, whatever is known to be registered."""

# Causes that somebody saw at the provider or in the traffic. They change nothing on our side, so they wake nobody who waits for a
# person: a credential that was refused is not shown again because of them.
OBSERVED = frozenset(
    {
        *(MISMATCH, "unknown_account", TIER_CHANGED, NAME_CHANGED),
        *("first", "server_changed", "uidvalidity_changed", "uids_went_back"),
    }
)


class SyncState(StrEnum):
    """Where a job stands."""

    IDLE = "idle"
    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"  # until a person has acted


class SyncOutcome(StrEnum):
    """How a sync ended."""

    SYNCED = "synced"
    NOTHING = "nothing"  # there is nothing to register: no active webhook, or the connector is archived
    MISMATCH = "mismatch"  # the provider still lacks something after registering
    REFUSED = "refused"  # the provider, or a rule of ours, says no: asking again changes nothing
    EDGE_BEHIND = "edge_behind"  # the edge could not be proven to know what would be registered, so nothing was
    RATE_LIMITED = "rate_limited"
    TRANSIENT = "transient"


GOOD = frozenset({SyncOutcome.SYNCED, SyncOutcome.NOTHING})


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """So many requests about one subject that came together."""

    connector_id: str
    account_id: str | None
    causes: tuple[str, ...]
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenJob:
    """A job under a lease: nobody else has it until `lease_until_ms`."""

    subject_id: str
    tenant_id: str
    connector_id: str
    account_id: str | None
    lease: str
    lease_until_ms: int
    attempt: int  # this one included, since the last that was good
    causes: tuple[str, ...]
    registered_url: str | None
    registered_secret: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What is stored of a sync. `due_ms`: when to try again (None: not by itself). `recheck_ms`: when to look
    again though nobody asks, however it ended. `missing`, `by_hand`: as SetupState.

    `registered_secret`: name of the secret that the provider has now, None where nothing was registered.
    """

    outcome: SyncOutcome
    cause: str | None = None
    action: str | None = None
    due_ms: int | None = None
    recheck_ms: int | None = None
    missing: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    registered_url: str | None = None
    registered_secret: str | None = None

    @property
    def good(self) -> bool:
        """Nobody has to be warned."""
        return self.outcome in GOOD
