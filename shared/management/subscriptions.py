"""Confirms SNS subscriptions: Amazon sends nothing to an address before somebody has called the `SubscribeURL` it sent there.

Only that one call, on the SNS host of a topic that the connector allows, is ever made. The token in the address is good for three
days (https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.confirm.html); it reaches no log and no audit entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from shared.adapters.certificate_source import CertificateSource
from shared.adapters.tables import ChannelConnector
from shared.domain.errors import InvalidInput
from shared.management.certificates import allowed_topics
from shared.management.changes import audit_note, find
from shared.providers.email.sns import confirmed_topic


def confirm_subscription(session: Session, connector_id: str, url: str, source: CertificateSource, *, actor: str) -> str:
    """Call one `SubscribeURL`; gives the topic that is subscribed now. Blocks on the network.

    Raises NotFound, Conflict (`dialect`), InvalidInput (`subscribe_url`), and Unavailable, also for a token that has expired.
    Calling it twice does no harm.
    """
    connector = find(session, ChannelConnector, connector_id)
    topic = confirmed_topic(url)
    if topic is None or topic not in allowed_topics(connector):
        raise InvalidInput(
            "url must confirm a topic that the connector allows, on that topic's SNS host", reason="subscribe_url", pointer="/url"
        )
    source.get(url)
    audit_note(session, connector, "subscription.confirmed", {"topic": topic}, tenant_id=connector.tenant_id, actor=actor)
    return topic


def waiting_confirmations(bodies: Sequence[bytes], topics: Sequence[str]) -> dict[str, str]:
    """Topic → the newest `SubscribeURL` among webhook bodies (oldest first), for those of these topics that wait for one."""
    waiting: dict[str, str] = {}
    for body in bodies:
        try:
            document: Any = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if not isinstance(document, dict) or document.get("TopicArn") not in topics:
            continue
        url = document.get("SubscribeURL")
        if document.get("Type") == "SubscriptionConfirmation" and isinstance(url, str):
            waiting[document["TopicArn"]] = url
        elif document.get("Type") == "Notification":
            waiting.pop(document["TopicArn"], None)  # it has come through since
    return waiting
