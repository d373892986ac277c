"""Confirms SNS subscriptions: Amazon sends nothing to an address before somebody has called the `SubscribeURL` it sent there.

Only that one call, on the SNS host of a topic that the connector allows, is ever made. The token in the address is good for three
days (https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.confirm.html); it reaches no log and no row: what is kept of a
confirmation is its topic and which raw record asked for it, so that one request leads to one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.adapters.certificate_source import CertificateSource
from shared.adapters.tables import AuditLog, ChannelConnector
from shared.domain.errors import InvalidInput
from shared.management.certificates import allowed_topics
from shared.management.changes import audit_note, find
from shared.providers.email.subscription import SUBSCRIPTION_TOKEN, Confirmation, confirmation_of

_CONFIRMED = "subscription.confirmed"


def requested_confirmation(session: Session, connector_id: str, record_id: str, body: bytes) -> Confirmation | None:
    """What this record of the connector asks to be confirmed; None where it was, or where it asks for nothing.

    Raises NotFound, Conflict (`dialect`), and InvalidInput (`subscribe_url`) for a topic that the connector does not allow (any
    more) and for an address that is not that one call on the topic's own host.
    """
    connector = find(session, ChannelConnector, connector_id)
    topics = allowed_topics(connector)
    if not _asks(body):
        return None
    found = confirmation_of(body)
    if found is None or found.topic not in topics:
        raise InvalidInput(
            "the address must confirm a topic that the connector allows, on that topic's SNS host", reason="subscribe_url"
        )
    return None if _was_confirmed(session, connector.id, record_id) else found


def call_confirmation(source: CertificateSource, confirmation: Confirmation) -> None:
    """Make the one call; blocks. Raises Unavailable, Conflict (`confirmation_refused`, `egress_refused`)."""
    source.confirm(confirmation.call(), {SUBSCRIPTION_TOKEN: confirmation.token})


def note_confirmed(session: Session, connector_id: str, record_id: str, topic: str, *, actor: str) -> None:
    """Write down that it was confirmed."""
    connector = find(session, ChannelConnector, connector_id)
    audit_note(
        session, connector, _CONFIRMED, {"topic": topic, "record_id": record_id}, tenant_id=connector.tenant_id, actor=actor
    )


def waiting_records(bodies: Sequence[tuple[str, bytes]], topics: Sequence[str]) -> dict[str, str]:
    """Topic → the record that asks last for it, of (record id, body) pairs, the oldest first. Topics that came through since
    wait for nothing."""
    waiting: dict[str, str] = {}
    for record_id, body in bodies:
        document = _document(body)
        topic = document.get("TopicArn")
        if not isinstance(topic, str) or topic not in topics:
            continue
        if document.get("Type") == "SubscriptionConfirmation":
            waiting[topic] = record_id
        elif document.get("Type") == "Notification":
            waiting.pop(topic, None)  # it has come through since
    return waiting


def _asks(body: bytes) -> bool:
    return _document(body).get("Type") == "SubscriptionConfirmation"


def _document(body: bytes) -> dict[str, Any]:
    try:
        document: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _was_confirmed(session: Session, connector_id: str, record_id: str) -> bool:
    row = select(AuditLog.id).where(
        AuditLog.subject_id == connector_id,
        AuditLog.action == _CONFIRMED,
        AuditLog.after["record_id"].astext == record_id,
    )
    return session.scalar(row.limit(1)) is not None
