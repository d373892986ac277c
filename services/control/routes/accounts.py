"""`/v1/accounts` and `/v1/connectors/{id}/accounts`: register, route, turn on and off."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from services.control.bodies import AccountBody, AccountPatch, Name, PauseBody, given
from services.control.call import Call, IdempotencyKey, IfMatch, Manager, Pages, Paging, Reader, paged, shown, written
from services.control.route import changes, looks, router_of
from services.control.status_views import AccountStatusView, DescriptionView
from services.control.sync_views import SyncView
from services.control.views import AccountView, CapabilityView, HealthCheckView, Json, PageView, Shown, WebhookView
from shared.adapters.event_loop import off_loop
from shared.adapters.tables import ChannelAccount, ChannelConnector, DescribedAccount
from shared.domain.enums import AccountStatus
from shared.domain.errors import Unavailable
from shared.management.account_status import AccountStatusReport, account_status
from shared.management.accounts import NewAccount, change_account_status, create_account, update_account
from shared.management.lists import ACCOUNTS, AccountFilter, list_accounts
from shared.management.ownership import looked_up
from shared.management.pauses import pause_account, resume_account
from shared.management.removal import delete_account

router = router_of("/v1", "accounts")
_DESCRIBED = tuple(name for name in DescriptionView.model_fields if name != "nome_exibicao_manual")


@router.get("/accounts", response_model=PageView[AccountView])
@looks
def list_all(
    call: Reader,
    pages: Pages,
    connector_id: UUID | None = None,
    status: AccountStatus | None = None,
    identidade: Annotated[Name | None, Query()] = None,
    org_unit_id: UUID | None = None,
    intake_flow_id: UUID | None = None,
) -> Response:
    """Accounts of the tenant, by connector, oldest first."""
    wanted = AccountFilter(
        connector_id=_text(connector_id),
        status=status,
        identidade=identidade,
        org_unit_id=_text(org_unit_id),
        intake_flow_id=_text(intake_flow_id),
    )
    return _listed(call, pages, wanted)


@router.get("/connectors/{connector_id}/accounts", response_model=PageView[AccountView])
@looks
def list_of_connector(call: Reader, pages: Pages, connector_id: UUID, status: AccountStatus | None = None) -> Response:
    """Accounts of one connector, oldest first."""
    return _listed(call, pages, AccountFilter(connector_id=str(connector_id), status=status))


@router.post("/connectors/{connector_id}/accounts", status_code=201, response_model=AccountView)
@changes
def create(call: Manager, connector_id: UUID, body: AccountBody, idempotency_key: IdempotencyKey = None) -> Response:
    """Register an account, pending; `webhook_url` is its own address at the edge."""

    def make(session: Any) -> Shown:
        parent = call.parent(session, ChannelConnector, connector_id)
        new = NewAccount(**body.model_dump())
        return AccountView.of(create_account(session, parent, new, public_url=call.parts.edge_url, actor=call.actor))

    return call.create(idempotency_key, body, "/v1/accounts", make)


@router.get("/accounts/{account_id}", response_model=AccountView)
@looks
def read(call: Reader, account_id: UUID) -> Response:
    """One account."""
    with call.looking() as reader:
        row = looked_up(reader, ChannelAccount, str(account_id), call.tenant)
        return shown(AccountView.of(row))


@router.get("/accounts/{account_id}/status", response_model=AccountStatusView)
@looks
def status_of(call: Reader, account_id: UUID) -> Response:
    """What is known right now: connectivity, route, limits, webhooks, what waits to be routed."""
    with call.looking() as reader:
        known = account_status(reader, call.tenant, str(account_id))
    return written(_status(known) | {"queue": _queue(call, known.account)})  # without holding a connection to the database


@router.patch("/accounts/{account_id}", response_model=AccountView)
@changes
def change(call: Manager, account_id: UUID, body: AccountPatch, if_match: IfMatch = None) -> Response:
    """Change it, or turn it on or off. `nome_exibicao` null or empty: it has its provider's name again."""
    changes: dict[str, Any] = given(body)
    status = changes.pop("status", None)
    with call.changing() as session:
        row = call.current(session, AccountView, account_id, if_match)
        if changes:
            update_account(session, row.id, changes, actor=call.actor)
        if status is not None:
            change_account_status(session, row.id, status, actor=call.actor)
        return shown(AccountView.of(row))


@router.post("/accounts/{account_id}:pause", response_model=AccountView)
@changes
def pause(call: Manager, account_id: UUID, body: PauseBody, if_match: IfMatch = None) -> Response:
    """Pause its route: its flow is not asked; inbound goes to its unit, or waits. Paused for that already: no change."""
    with call.changing() as session:
        row = call.current(session, AccountView, account_id, if_match)
        return shown(AccountView.of(pause_account(session, row.id, body.cause, actor=call.actor)))


@router.post("/accounts/{account_id}:resume", response_model=AccountView)
@changes
def resume(call: Manager, account_id: UUID, if_match: IfMatch = None) -> Response:
    """Open its route again; what waited comes out. Open already: no change."""
    with call.changing() as session:
        row = call.current(session, AccountView, account_id, if_match)
        return shown(AccountView.of(resume_account(session, row.id, actor=call.actor)))


@router.delete("/accounts/{account_id}", status_code=204)
def delete(call: Manager, account_id: UUID, if_match: IfMatch = None) -> None:
    """Delete one that never carried anything; otherwise 409 `account_in_use`: turn it off instead."""
    with call.changing() as session:
        row = call.current(session, AccountView, account_id, if_match)
        delete_account(session, row.id, actor=call.actor)


def _status(known: AccountStatusReport) -> Json:
    # An AccountStatusView, but for its queue.
    account, state = known.account, known.state
    return {
        "account_id": account.id,
        "connector_id": account.connector_id,
        "connectivity": {
            "connector": known.connector.status,
            "account": account.status,
            "cause": state.cause if state else None,
            "since": state.since if state else None,
            "ultimo_heartbeat": known.connector.ultimo_heartbeat,
            "last_check": HealthCheckView.told(known.check) if known.check else None,
        },
        "route": {
            "org_unit_id": account.org_unit_id,
            "intake_flow_id": account.intake_flow_id,
            "state": state.route if state else "open",
            "pause_cause": state.route_cause if state else None,
            "paused_since": state.route_since if state else None,
            "fallback": state.fallback if state else None,
        },
        "described": {"nome_exibicao_manual": known.name_held} | _described(known.description),
        "limits": {
            "capabilities": [CapabilityView.told(row) for row in known.capabilities],
            "today": known.today,
            "used_today": dict(known.used_today),
        },
        "webhooks": [WebhookView.told(row) for row in known.webhooks],
        "syncs": [SyncView.told(row) for row in known.syncs],
    }


def _described(told: DescribedAccount | None) -> Json:
    return {name: getattr(told, name, None) for name in _DESCRIBED}


def _queue(call: Call, account: ChannelAccount) -> Json | None:
    backlog = call.parts.backlog
    if backlog is None:
        return None
    try:
        waiting = (backlog.of if backlog.is_fresh() else partial(off_loop, backlog.of))(account.connector_id, account.id)
    except Unavailable:
        return None
    return {
        "depth": waiting.records,
        "to_own_address": waiting.to_address,
        "complete": waiting.complete,
        "oldest_at": _utc(waiting.oldest_at_ms) if waiting.oldest_at_ms is not None else None,
        "counted_at": _utc(waiting.counted_at_ms),
    }


def _utc(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


def _listed(call: Call, pages: Paging, wanted: AccountFilter) -> Response:
    with call.looking() as reader:
        page = list_accounts(reader, call.tenant, wanted, pages.slice(wanted, ACCOUNTS))
        return paged(AccountView, page, wanted)


def _text(value: UUID | None) -> str | None:
    return str(value) if value else None
