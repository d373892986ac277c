"""What becomes of each item: a fold over a batch in order of arrival. Pure: facts in, events and endings out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from services.router.contact_events import contact_events
from services.router.context import Context
from services.router.facts import Candidate, Facts, Owner, owner_of, owns, raw_position
from services.router.keys import message_key, stable_id
from services.router.letters import dead_letter
from services.router.lookups import message_key_of, message_of_receipt, participant_of
from services.router.sync_requests import sync_request
from shared.domain.delivery import rank
from shared.domain.enums import ItemOutcome
from shared.domain.items import ConnectorEventItem, MessageItem, ReceiptItem, SendResultItem
from shared.domain.outcomes import Ending, Publish
from shared.domain.records import Decision, DeliveryUpdated, IntakeRequested, Message, MessageReceived
from shared.domain.topics import Topic

DUPLICATE = Ending(outcome=ItemOutcome.DUPLICATE, reason="claimed_before")
SUPERSEDED = Ending(outcome=ItemOutcome.SUPERSEDED, reason="older_state")
ORPHAN_REASON = "target_unknown"
CONTACT_UPDATED = Ending(outcome=ItemOutcome.EMITTED, reason="contact")
CONTACT_UNCHANGED = Ending(outcome=ItemOutcome.IGNORED, reason="contact_unchanged")


def decide(candidates: Sequence[Candidate], facts: Facts, context: Context) -> Iterator[Publish]:
    """Settle every candidate: the events, in order of arrival. A candidate has its ending once its events were taken."""
    places = {  # of receipts, which are compared with one another
        (candidate.opened.partition, candidate.opened.offset, candidate.item.path): candidate.index
        for candidate in candidates
        if not isinstance(candidate.item, MessageItem)
    }
    for candidate in candidates:
        publishes: list[Publish] = []
        if facts.news:
            publishes.extend(contact_events(candidate, facts, context.epoch))
        if candidate.asks is not None:
            publishes.append(_request(candidate, candidate.asks, facts, context))
        if candidate.ending is None:
            candidate.ending = _settle(candidate, facts, context, places, publishes)
        elif candidate.ending.outcome is ItemOutcome.DEAD_LETTERED:
            publishes.extend(dead_letter(candidate, candidate.ending.reason, context))
        elif candidate.ending.outcome is ItemOutcome.IGNORED:
            asked = sync_request(candidate, context)
            publishes.extend(() if asked is None else (asked,))
        yield from publishes


Places = dict[tuple[int, int, str], int]


def _settle(candidate: Candidate, facts: Facts, context: Context, places: Places, publishes: list[Publish]) -> Ending:
    if candidate.claim_key is None or not owns(facts.owners[candidate.claim_key], context.epoch, candidate):
        return DUPLICATE
    if isinstance(candidate.item, MessageItem):
        return _message(candidate, candidate.item, facts, context, publishes)
    if isinstance(candidate.item, ReceiptItem | SendResultItem):
        return _receipt(candidate, candidate.item, facts, context, places, publishes)
    if isinstance(candidate.item, ConnectorEventItem):
        told = candidate.order in facts.news
        return CONTACT_UPDATED if told else CONTACT_UNCHANGED
    raise TypeError(type(candidate.item).__name__)


def _message(candidate: Candidate, item: MessageItem, facts: Facts, context: Context, publishes: list[Publish]) -> Ending:
    decision = candidate.decision
    if decision is None:
        raise TypeError("the gate decides where a message goes that it lets pass")
    message = _normalised(candidate, item, facts, context)
    publishes.append(_about(message, Topic.MESSAGE_RECEIVED, MessageReceived(message=message, decision=decision), candidate))
    if candidate.orphan_reason is not None:
        return Ending(outcome=ItemOutcome.ORPHANED, reason=candidate.orphan_reason)
    return _emitted(decision.rule)


@lru_cache(maxsize=16)
def _emitted(rule: str) -> Ending:
    return Ending(outcome=ItemOutcome.EMITTED, reason=rule)


def _request(candidate: Candidate, asks: Decision, facts: Facts, context: Context) -> Publish:
    if not isinstance(candidate.item, MessageItem) or asks.intake_flow_id is None:
        raise TypeError("a flow is asked about messages")
    message = _normalised(candidate, candidate.item, facts, context)
    event = IntakeRequested(request_id=message.message_id, intake_flow_id=asks.intake_flow_id, message=message, decision=asks)
    return _about(message, Topic.INTAKE_REQUESTED, event, candidate)


def _about(message: Message, topic: Topic, event: MessageReceived | IntakeRequested, candidate: Candidate) -> Publish:
    opened = candidate.opened
    return Publish(
        topic=topic,
        key=message.conversation_id,
        event_id=message.message_id,
        subject=message.conversation_id,
        time_ms=opened.received_at_ms,
        event=event,
        connector_id=opened.connector_id,
        traceparent=opened.traceparent,
    )


def _normalised(candidate: Candidate, item: MessageItem, facts: Facts, context: Context) -> Message:
    account, opened = candidate.account, candidate.opened
    if account is None or opened.connector is None:
        raise TypeError("a claimed item has an account and a connector")
    connector = opened.connector_id
    own = facts.messages[connector, message_key_of(candidate, item)]
    contact = candidate.contact_id
    if contact is None:
        raise TypeError("a message has a peer with at least one alias")
    reply_to = None
    if item.reply_to_provider_message_id:
        key = message_key(account.account_id, item.chat_scope, item.reply_to_provider_message_id)
        reply_to = facts.messages.get((connector, key))
    return Message(
        message_id=own.message_id,
        tenant_id=opened.connector.tenant_id,
        connector_id=connector,
        account_id=account.account_id,
        conversation_id=facts.conversations[connector, candidate.conversation_key or ""],
        contact_id=contact,
        tipo=opened.connector.tipo,
        direction=item.direction,
        kind=item.kind,
        provider_message_id=item.provider_message_id,
        peer_aliases=item.peer.aliases,
        peer_name=item.peer.name,
        group_id=item.group_id,
        reply_to_provider_message_id=item.reply_to_provider_message_id,
        reply_to_message_id=reply_to.message_id if reply_to is not None else None,
        forwarded=item.forwarded,
        provider_time_ms=item.provider_time_ms,
        received_at_ms=opened.received_at_ms,
        content=item.content,
        raw=raw_position(context.epoch, candidate),
        peer_username=item.peer.username,
        frequently_forwarded=item.frequently_forwarded,
        forwarded_from=item.forwarded_from,
        group_name=item.group_name,
        chat_scope=item.chat_scope,
        orphan_reason=candidate.orphan_reason,
    )


def _receipt(
    candidate: Candidate,
    item: ReceiptItem | SendResultItem,
    facts: Facts,
    context: Context,
    places: Places,
    publishes: list[Publish],
) -> Ending:
    row = message_of_receipt(candidate, facts)
    if row is None:
        publishes.append(_delivery(candidate, item, None, None, context))
        return Ending(outcome=ItemOutcome.ORPHANED, reason=candidate.orphan_reason or ORPHAN_REASON)
    mine = owner_of(context.epoch, candidate)
    for known in facts.receipts[row.message_id, participant_of(item)]:
        if known.status is item.status:
            if known.owner != mine:
                return SUPERSEDED
        elif rank(known.status) > rank(item.status) and _earlier(known.owner, mine, places):
            return SUPERSEDED
    publishes.append(_delivery(candidate, item, row.message_id, row.conversation_id, context))
    return Ending(outcome=ItemOutcome.EMITTED, reason="delivery")


def _earlier(one: Owner, other: Owner, places: Places) -> bool:
    """Whether `one` arrived before `other`. Another epoch or partition is the past: a connector has one at a time."""
    if (one.epoch, one.partition) != (other.epoch, other.partition):
        return True
    if one.offset != other.offset:
        return one.offset < other.offset
    # an item that an earlier release found in this record and this one does not: as good as first
    return places.get((one.partition, one.offset, one.item), -1) < places[other.partition, other.offset, other.item]


def _delivery(
    candidate: Candidate,
    item: ReceiptItem | SendResultItem,
    message_id: str | None,
    conversation_id: str | None,
    context: Context,
) -> Publish:
    opened, account = candidate.opened, candidate.account
    if account is None or opened.connector is None or candidate.claim_key is None:
        raise TypeError("a claimed item has an account and a connector")
    receipt = item if isinstance(item, ReceiptItem) else None
    event = DeliveryUpdated(
        update_id=stable_id(candidate.claim_key),
        tenant_id=opened.connector.tenant_id,
        connector_id=opened.connector_id,
        account_id=account.account_id,
        message_id=message_id,
        conversation_id=conversation_id,
        provider_message_id=receipt.provider_message_id if receipt else next(iter(_provider_ids(item)), None),
        status=item.status,
        participant=participant_of(item),
        orphan_reason=None if message_id is not None else candidate.orphan_reason or ORPHAN_REASON,
        error_class=item.error_class,
        error_code=item.error_code,
        error_detail=receipt.error_detail if receipt else None,
        pricing_category=receipt.pricing_category if receipt else None,
        billable=receipt.billable if receipt else None,
        provider_time_ms=item.provider_time_ms,
        received_at_ms=opened.received_at_ms,
        raw=raw_position(context.epoch, candidate),
        pricing_model=receipt.pricing_model if receipt else None,
        pricing_type=receipt.pricing_type if receipt else None,
    )
    return Publish(
        topic=Topic.DELIVERY_UPDATED,
        key=conversation_id or account.account_id,
        event_id=event.update_id,
        subject=conversation_id or account.account_id,
        time_ms=opened.received_at_ms,
        event=event,
        connector_id=opened.connector_id,
        traceparent=opened.traceparent,
    )


def _provider_ids(item: ReceiptItem | SendResultItem) -> tuple[str, ...]:
    return item.provider_message_ids if isinstance(item, SendResultItem) else (item.provider_message_id,)
