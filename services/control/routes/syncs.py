"""`:sync` of accounts and connectors, and what sync knows of a connector: what is registered at the provider, and what is not."""

from __future__ import annotations

from uuid import UUID

from fastapi import Response

from services.control.call import Manager, Pages, Reader, paged, written
from services.control.route import looks, router_of
from services.control.sync_views import SyncAskedView, SyncView
from services.control.views import PageView
from shared.adapters.tables import ChannelAccount, ChannelConnector
from shared.management.ownership import owned_for_change
from shared.management.sync_requests import SYNCS, list_syncs, sync_account, sync_connector

router = router_of("/v1", "syncs")


@router.post("/connectors/{connector_id}:sync", status_code=202, response_model=SyncAskedView)
def sync_whole(call: Manager, connector_id: UUID) -> Response:
    """Have sync register its webhook at the provider (of each account, where each has its own) and read it back. Asked for
    again meanwhile, it is done once."""
    with call.changing() as session:
        row = owned_for_change(session, ChannelConnector, str(connector_id), call.tenant)
        return written(sync_connector(session, row.id, actor=call.actor), 202)


@router.post("/accounts/{account_id}:sync", status_code=202, response_model=SyncAskedView)
def sync_one(call: Manager, account_id: UUID) -> Response:
    """The same for one account; where its connector has one registration for all of them, that one."""
    with call.changing() as session:
        row = owned_for_change(session, ChannelAccount, str(account_id), call.tenant)
        return written(sync_account(session, row.id, actor=call.actor), 202)


@router.get("/connectors/{connector_id}/syncs", response_model=PageView[SyncView])
@looks
def list_them(call: Reader, pages: Pages, connector_id: UUID) -> Response:
    """What is registered at the provider as far as sync knows: of the connector, or of each of its accounts."""
    listed = ("syncs", str(connector_id))
    with call.looking() as reader:
        page = list_syncs(reader, call.tenant, str(connector_id), pages.slice(listed, SYNCS))
        return paged(SyncView, page, listed)
