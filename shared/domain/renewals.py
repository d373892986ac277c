"""What the schedule of renewals is made of: facts about tokens without their values, and plans. Times: ms since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.enums import ConnectorStatus, ConnectorType, RenewalStanding, RenewalState, RenewalTask, TokenKind


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """One token. `account`: the identidade that it is for (None: all of the connector's); `name`: what a secret is called.

    `notes`: its metadata, without what is ours.
    """

    token_id: str
    kind: TokenKind
    created_ms: int
    expires_ms: int | None
    account: str | None = None
    name: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorTokens:
    """A connector and all its tokens, oldest first."""

    connector_id: str
    tenant_id: str
    tipo: ConnectorType
    status: ConnectorStatus
    settings: Mapping[str, Any]
    tokens: tuple[TokenFacts, ...]

    def token(self, token_id: str) -> TokenFacts | None:
        """The token of this id."""
        return next((token for token in self.tokens if token.token_id == token_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """When people are to be told that a token ends, and how many seconds before its end that is."""

    at_ms: int
    threshold_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalPlan:
    """A row of the schedule, made anew: nothing was tried and nobody was told yet."""

    token_id: str
    task: RenewalTask
    service: str = ""
    planned_for_ms: int | None = None  # the token's own end that the plan was made from
    due_ms: int | None = None
    ends_ms: int | None = None  # until when it must have happened
    notice: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the schedule says of a token now."""

    token_id: str
    task: RenewalTask
    service: str
    state: RenewalState
    planned_for_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row that was taken: its intent is committed, and nobody else has it until its lease is over."""

    token_id: str
    connector_id: str
    task: RenewalTask
    service: str
    intent: str
    attempt: int  # this one included, since the last success
    unknown_calls: int  # earlier calls whose answer nobody has
    due_ms: int
    ends_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueNotice:
    """A token of which people are to be told now. `renewal`: planned, failing, stopped, none."""

    token_id: str
    connector_id: str
    tenant_id: str
    kind: TokenKind
    ends_ms: int
    threshold_seconds: int
    renewal: str
    cause: str | None
    action: str | None


def standing_of(task: RenewalTask, state: RenewalState, attempt: int) -> RenewalStanding:
    """A row of the schedule in one word. `attempt` counts tries since the last success, with the one under way."""
    if state is RenewalState.STOPPED:
        return RenewalStanding.STOPPED
    match task:
        case RenewalTask.RETIRE:
            return RenewalStanding.RETIRING
        case RenewalTask.WATCH:
            return RenewalStanding.WATCHED
        case RenewalTask.NONE:
            return RenewalStanding.NONE
        case RenewalTask.RENEW | RenewalTask.TEST:
            failed = attempt - (state is RenewalState.CALLING)
            return RenewalStanding.FAILING if failed > 0 else RenewalStanding.PLANNED
