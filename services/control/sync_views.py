"""What callers see of syncs at the providers. Of a registered secret only its id."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel

from services.control.views import View
from shared.adapters.tables import SyncJob
from shared.domain.syncing import SyncOutcome, SyncState


class SyncAskedView(BaseModel):
    """A sync was asked for; one that has `started_at` at or after `requested_at_ms` (since 1970) answers it."""

    connector_id: str
    account_id: str | None
    requested_at_ms: int


class SyncView(View):
    """One registration at a provider and its last sync. `account_id` null: the connector's, for all of its accounts.

    `outcome` null: none has ended yet. `cause`, `action`: why the last one failed and what a person should do. `missing`: what
    the provider lacks (`callback_url`, `event:…`); `by_hand`: what no call can do. `state` `stopped`: it waits for a person.
    """

    TABLE = SyncJob
    connector_id: str
    account_id: str | None
    state: SyncState
    outcome: SyncOutcome | None
    cause: str | None
    action: str | None
    missing: list[str]
    by_hand: list[str]
    registered_url: str | None
    registered_secret: str | None
    attempt: int
    due_at: dt.datetime | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    succeeded_at: dt.datetime | None
