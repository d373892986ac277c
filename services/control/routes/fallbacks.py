"""`/v1/fallbacks`: where an account's traffic goes when its checks keep failing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import Response

from services.control.bodies import FallbackBody, FallbackPatch, given
from services.control.call import IdempotencyKey, IfMatch, Manager, Pages, Reader, paged, shown
from services.control.route import looks, router_of
from services.control.views import FallbackView, PageView, Shown
from shared.adapters.tables import ChannelAccount, ChannelFallback
from shared.management.fallbacks import NewFallback, create_fallback, delete_fallback, update_fallback
from shared.management.lists import FALLBACKS, list_fallbacks
from shared.management.ownership import looked_up

router = router_of("/v1", "fallbacks")


@router.get("/accounts/{account_id}/fallbacks", response_model=PageView[FallbackView])
@looks
def list_them(call: Reader, pages: Pages, account_id: UUID) -> Response:
    """Fallbacks of an account, oldest first."""
    listed = ("fallbacks", str(account_id))
    with call.looking() as reader:
        page = list_fallbacks(reader, call.tenant, str(account_id), pages.slice(listed, FALLBACKS))
        return paged(FallbackView, page, listed)


@router.post("/accounts/{account_id}/fallbacks", status_code=201, response_model=FallbackView)
def create(call: Manager, account_id: UUID, body: FallbackBody, idempotency_key: IdempotencyKey = None) -> Response:
    """Add one; a chain of numbers that comes back to where it began is 409 `fallback_cycle`."""

    def make(session: Any) -> Shown:
        parent = call.parent(session, ChannelAccount, account_id)
        return FallbackView.of(create_fallback(session, parent, NewFallback(**body.model_dump()), actor=call.actor))

    return call.create(idempotency_key, body, "/v1/fallbacks", make)


@router.get("/fallbacks/{fallback_id}", response_model=FallbackView)
@looks
def read(call: Reader, fallback_id: UUID) -> Response:
    """One fallback."""
    with call.looking() as reader:
        return shown(FallbackView.of(looked_up(reader, ChannelFallback, str(fallback_id), call.tenant)))


@router.patch("/fallbacks/{fallback_id}", response_model=FallbackView)
def change(call: Manager, fallback_id: UUID, body: FallbackPatch, if_match: IfMatch = None) -> Response:
    """Change where it leads, or turn it on or off."""
    with call.changing() as session:
        row = call.current(session, FallbackView, fallback_id, if_match)
        return shown(FallbackView.of(update_fallback(session, row.id, given(body), actor=call.actor)))


@router.delete("/fallbacks/{fallback_id}", status_code=204)
def delete(call: Manager, fallback_id: UUID, if_match: IfMatch = None) -> None:
    """Take it away; 409 `fallback_in_use` while it is a connector's default."""
    with call.changing() as session:
        delete_fallback(session, call.current(session, FallbackView, fallback_id, if_match).id, actor=call.actor)
