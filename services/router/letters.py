"""Dead letters: what is told of an item that is set aside, and who is asked about an account that nobody knows. Pure."""

from __future__ import annotations

from dataclasses import replace

from services.router.context import Context
from services.router.facts import Candidate, raw_position
from services.router.keys import position_id
from services.router.sorting import UNKNOWN_ACCOUNT
from shared.domain.items import PoisonItem
from shared.domain.outcomes import Publish
from shared.domain.records import DeadLetter, SyncRequired
from shared.domain.topics import Topic


def dead_letter(candidate: Candidate, reason: str, context: Context) -> list[Publish]:
    """The letter of one item; beside it, where nobody knows its account, a request to sync if one is due."""
    opened, item = candidate.opened, candidate.item
    record = opened.record
    redrive = record.redrive if record is not None else None
    here = raw_position(context.epoch, candidate)
    event = DeadLetter(
        record_id=record.record_id if record else "",
        tenant_id=record.tenant_id if record else None,
        connector_id=opened.connector_id,
        account_id=candidate.account.account_id if candidate.account else None,
        origin=replace(redrive.origin, item=item.path or redrive.origin.item) if redrive is not None else here,
        origin_topic=context.raw_topic,
        reason=reason,
        detail=item.reason if isinstance(item, PoisonItem) else ",".join(item.account_refs),
        schema_version=context.schema_version,
        first_arrival_at_ms=opened.received_at_ms,
        dead_lettered_at_ms=context.now_ms,
        sealed_fragment=context.seal(candidate),
        attempt=redrive.attempt if redrive is not None else 1,
        tries=(*redrive.tries, here.offset) if redrive is not None else (),
    )
    event_id = position_id(context.epoch, opened.partition, opened.offset, item.path, "dead_letter")
    publishes = [
        Publish(
            topic=Topic.WEBHOOK_RECEIVED_DLQ,
            key=opened.connector_id,
            event_id=event_id,
            subject=opened.connector_id,
            time_ms=context.now_ms,
            event=event,
            connector_id=opened.connector_id,
            traceparent=opened.traceparent,
        )
    ]
    refs = ",".join(item.account_refs)
    if reason == UNKNOWN_ACCOUNT and record is not None and context.sync_due(opened.connector_id, refs):
        publishes.append(_sync_required(candidate, record.tenant_id, context))
    return publishes


def _sync_required(candidate: Candidate, tenant_id: str, context: Context) -> Publish:
    opened, item = candidate.opened, candidate.item
    return Publish(
        topic=Topic.SYNC_REQUIRED,
        key=opened.connector_id,
        event_id=position_id(context.epoch, opened.partition, opened.offset, item.path, "sync_required"),
        subject=opened.connector_id,
        time_ms=context.now_ms,
        event=SyncRequired(
            tenant_id=tenant_id,
            connector_id=opened.connector_id,
            account_id=None,
            cause=UNKNOWN_ACCOUNT,
            detail=",".join(item.account_refs),
            requested_at_ms=context.now_ms,
        ),
        connector_id=opened.connector_id,
        traceparent=opened.traceparent,
    )
