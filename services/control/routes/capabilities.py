"""`/v1/connectors/{id}/capabilities`: what a connector can do, from its provider's preset and tier, changed by hand."""

from __future__ import annotations

from uuid import UUID

from fastapi import Response
from sqlalchemy.orm import Session

from services.control.bodies import CapabilityPatch
from services.control.call import Call, IfMatch, Manager, Pages, Reader, paged, shown
from services.control.etags import require_match
from services.control.route import looks, router_of
from services.control.views import CapabilityView, PageView, Shown
from shared.adapters.tables import ChannelCapability, ChannelConnector
from shared.domain.enums import Feature
from shared.management.capabilities import capability_of, set_capability
from shared.management.descriptions import follow_capability
from shared.management.lists import list_parts, part_order
from shared.management.ownership import owned, owned_for_change

router = router_of("/v1/connectors/{connector_id}/capabilities", "capabilities")


@router.get("", response_model=PageView[CapabilityView])
@looks
def list_them(call: Reader, pages: Pages, connector_id: UUID) -> Response:
    """Six rows, one per feature."""
    listed = ("capabilities", str(connector_id))
    with call.looking() as reader:
        asked = pages.slice(listed, part_order(ChannelCapability))
        page = list_parts(reader, call.tenant, ChannelCapability, str(connector_id), asked)
        return paged(CapabilityView, page, listed)


@router.get("/{feature}", response_model=CapabilityView)
def read(call: Reader, connector_id: UUID, feature: Feature) -> Response:
    """One feature."""
    with call.reading() as session:
        return shown(_view(call, session, connector_id, feature))


@router.patch("/{feature}", response_model=CapabilityView)
def change(call: Manager, connector_id: UUID, feature: Feature, body: CapabilityPatch, if_match: IfMatch = None) -> Response:
    """Turn it on or off, or change its limits. What you change no longer follows the provider (`manual`)."""
    with call.changing() as session:
        owned_for_change(session, ChannelConnector, str(connector_id), call.tenant)
        require_match(if_match, _view(call, session, connector_id, feature))
        limits = body.constraints
        if limits is None and "constraints" in body.model_fields_set:  # null takes them away
            limits = {}
        row = set_capability(session, str(connector_id), feature, enabled=body.enabled, constraints=limits, actor=call.actor)
        return shown(CapabilityView.of(row))


@router.post("/{feature}:follow", response_model=CapabilityView)
def follow(call: Manager, connector_id: UUID, feature: Feature, if_match: IfMatch = None) -> Response:
    """Give up what people set: it is the provider's preset again, with what its tier allows. Nothing set: no change."""
    with call.changing() as session:
        owned_for_change(session, ChannelConnector, str(connector_id), call.tenant)
        require_match(if_match, _view(call, session, connector_id, feature))
        return shown(CapabilityView.of(follow_capability(session, str(connector_id), feature, actor=call.actor)))


def _view(call: Call, session: Session, connector_id: UUID, feature: Feature) -> Shown:
    connector = owned(session, ChannelConnector, str(connector_id), call.tenant)
    return CapabilityView.of(capability_of(session, connector.id, feature))
