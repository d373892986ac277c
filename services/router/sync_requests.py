"""Words of a provider about an account that ask for a sync: somebody shall look there, and take over what is new. Pure.

A repeat of the same word asks once in a while (`Context.sync_due`); the next change is another word, and asks at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.router.context import Context
from services.router.facts import Candidate, raw_position
from services.router.keys import position_id
from shared.domain.enums import ConnectorEventName
from shared.domain.items import ConnectorEventItem
from shared.domain.outcomes import Publish
from shared.domain.records import SyncRequired
from shared.domain.sync_causes import NAME_CHANGED, SUBSCRIPTION_PENDING, TIER_CHANGED, position_text
from shared.domain.topics import Topic

_CAUSES: Mapping[ConnectorEventName, str] = {
    ConnectorEventName.ACCOUNT_LIMIT: TIER_CHANGED,
    ConnectorEventName.ACCOUNT_NAME: NAME_CHANGED,
    ConnectorEventName.SUBSCRIPTION: SUBSCRIPTION_PENDING,
}


def sync_request(candidate: Candidate, context: Context) -> Publish | None:
    """The request that one item brings about; None for nearly all."""
    opened, item = candidate.opened, candidate.item
    cause = _cause_of(item) if isinstance(item, ConnectorEventItem) else None
    if cause is None or opened.connector is None or not context.sync_due(opened.connector_id, f"{cause}:{item.dedup_key}"):
        return None
    account = candidate.account if cause != SUBSCRIPTION_PENDING else None  # a topic is the connector's
    account_id = account.account_id if account is not None else None
    here = raw_position(context.epoch, candidate)
    subject = account_id or opened.connector_id
    return Publish(
        topic=Topic.SYNC_REQUIRED,
        key=subject,
        event_id=position_id(context.epoch, opened.partition, opened.offset, item.path, "sync_required"),
        subject=subject,
        time_ms=context.now_ms,
        event=SyncRequired(
            tenant_id=opened.connector.tenant_id,
            connector_id=opened.connector_id,
            account_id=account_id,
            cause=cause,
            detail=position_text(here) if cause == SUBSCRIPTION_PENDING else ",".join(item.account_refs),
            requested_at_ms=context.now_ms,
        ),
        connector_id=opened.connector_id,
        traceparent=opened.traceparent,
    )


def _cause_of(item: ConnectorEventItem) -> str | None:
    if item.name is ConnectorEventName.SUBSCRIPTION and item.values.get("state") != "pending":
        return None  # it has ended: health tells people, no call brings it back
    return _CAUSES.get(item.name)
