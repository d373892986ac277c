"""Splits one body of WAHA into items: one event per POST, whose element is `payload`.

Source: https://waha.devlike.pro/docs/how-to/events/. `message` and `message.any` tell of the same message under the same id, so
a session that has both subscribed yields repeats and nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shared.domain.enums import ConnectorEventName, WebhookEvent
from shared.domain.items import AnyItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed
from shared.providers.whatsapp_unofficial.fields import JsonObject
from shared.providers.whatsapp_unofficial.jids import account_refs
from shared.providers.whatsapp_unofficial.origins import Origin
from shared.providers.whatsapp_unofficial.waha.connection import called, group_changed, left_out, presence_updated, session_status
from shared.providers.whatsapp_unofficial.waha.messages import (
    message_acknowledged,
    message_edited,
    message_posted,
    message_revoked,
    message_waiting,
    poll_voted,
    reaction_posted,
)

Read = Callable[[Origin, JsonObject], AnyItem]

_IN, _STATUS, _OTHER = WebhookEvent.MESSAGE_IN, WebhookEvent.MESSAGE_STATUS, WebhookEvent.FALLBACK
_READ: dict[str, tuple[Read, WebhookEvent]] = {
    "message": (message_posted, _IN),
    "message.any": (message_posted, _IN),
    "message.waiting": (message_waiting, _IN),
    "message.reaction": (reaction_posted, _IN),
    "message.edited": (message_edited, _IN),
    "message.revoked": (message_revoked, _IN),
    "poll.vote": (poll_voted, _IN),
    "message.ack": (message_acknowledged, _STATUS),
    "message.ack.group": (message_acknowledged, _STATUS),
    "session.status": (session_status, _OTHER),
    "presence.update": (presence_updated, _OTHER),
    **dict.fromkeys(("call.received", "call.accepted", "call.rejected"), (called, _OTHER)),
    **dict.fromkeys(
        ("group.join", "group.leave", "group.v2.join", "group.v2.leave", "group.v2.update", "group.v2.participants"),
        (group_changed, _OTHER),
    ),
    **dict.fromkeys(
        (
            *("state.change", "engine.event", "chat.archive", "poll.vote.failed", "event.response", "event.response.failed"),
            *("label.upsert", "label.deleted", "label.chat.added", "label.chat.deleted"),
        ),
        (left_out, _OTHER),
    ),
}


def items_of(document: JsonObject) -> Iterator[AnyItem]:
    """The items of one verified body."""
    session, me, event = document.get("session"), document.get("me"), document.get("event")
    number = me.get("id") if isinstance(me, dict) else None
    own = number if isinstance(number, str) else None
    refs = account_refs(exact_text(session, MAX_CODE_CHARACTERS) if isinstance(session, str) else None, own)
    if not isinstance(event, str):
        yield Origin(path="", event="missing", account_refs=refs, element=document).poison("event_missing")
        return
    name = clean_text(event, MAX_CODE_CHARACTERS) or "missing"
    if "payload" not in document:
        yield Origin(path="", event=name, account_refs=refs, element=document).poison("payload_missing")
        return
    stamp = (document.get("id"), document.get("timestamp"))
    yield _item(Origin(path="/payload", event=name, account_refs=refs, element=document["payload"], stamp=stamp, own_address=own))


def _item(origin: Origin) -> AnyItem:
    read, evento = _READ.get(origin.event, (None, _OTHER))
    try:
        if read is None:
            return origin.told(ConnectorEventName.UNKNOWN)
        if not isinstance(origin.element, dict):
            return origin.poison("object_expected", evento)
        return read(origin, origin.element)
    except Malformed as fault:
        return origin.poison(fault.reason, evento)
