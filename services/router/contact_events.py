"""What is told of a contact: `contact.updated`, for each thing that an item brought about. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.router.facts import Candidate, Facts, raw_position
from services.router.keys import position_id
from shared.domain.items import Alias, ConnectorEventItem
from shared.domain.outcomes import Publish
from shared.domain.records import ContactUpdated
from shared.domain.topics import Topic

ALIAS_ADDED, PERSON_CHANGED, COLLISION = "alias_added", "person_changed", "collision"


@dataclass(frozen=True, slots=True)
class _Change:
    cause: str
    added: tuple[Alias, ...] = ()
    retired: tuple[Alias, ...] = ()
    other_contact_id: str | None = None


def contact_events(candidate: Candidate, facts: Facts, epoch: str) -> Iterator[Publish]:
    """The events of one item; none for the usual one. They come before what the item itself becomes."""
    news = facts.news.get(candidate.order)
    if news is None:
        return
    if news.added or news.retired:
        cause = PERSON_CHANGED if isinstance(candidate.item, ConnectorEventItem) else ALIAS_ADDED
        yield _updated(candidate, news.contact_id, _Change(cause, news.added, news.retired), epoch)
    for other in news.collided:
        yield _updated(candidate, news.contact_id, _Change(COLLISION, other_contact_id=other), epoch)


def _updated(candidate: Candidate, contact_id: str, change: _Change, epoch: str) -> Publish:
    opened, item = candidate.opened, candidate.item
    if opened.connector is None:
        raise TypeError("a claimed item has a connector")
    what = f"contact.updated|{change.cause}|{change.other_contact_id or ''}"
    event = ContactUpdated(
        update_id=position_id(epoch, opened.partition, opened.offset, item.path, what),
        tenant_id=opened.connector.tenant_id,
        connector_id=opened.connector_id,
        contact_id=contact_id,
        cause=change.cause,
        added=change.added,
        retired=change.retired,
        provider_time_ms=item.provider_time_ms,
        received_at_ms=opened.received_at_ms,
        raw=raw_position(epoch, candidate),
        other_contact_id=change.other_contact_id,
    )
    return Publish(
        topic=Topic.CONTACT_UPDATED,
        key=contact_id,
        event_id=event.update_id,
        subject=contact_id,
        time_ms=opened.received_at_ms,
        event=event,
        connector_id=opened.connector_id,
        traceparent=opened.traceparent,
    )
