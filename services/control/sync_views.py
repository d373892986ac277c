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

    `state` other than `idle`: a sync was asked for at `asked_since` and is not done. `causes`: what it is asked for and has not
    begun with; `taken_causes`: what the one under way, or tried again at `due_at`, answers. `stopped`: it waits for a person.
    `outcome` null: none has ended yet. `cause`, `action`: why the last one failed and what a person should do. `missing`: what
    the provider lacks (`callback_url`, `event:…`); `by_hand`: what no call can do. `recheck_at`: when it is looked at again
    though nobody asks, because a receiving secret begins to hold.
    """

    TABLE = SyncJob
    connector_id: str
    account_id: str | None
    state: SyncState
    asked_since: dt.datetime
    causes: list[str]
    taken_causes: list[str]
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
    recheck_at: dt.datetime | None
