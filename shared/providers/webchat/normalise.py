"""Splits one body of webchat into items: every element of `events` yields exactly one.

An event that is not what the protocol says becomes a PoisonItem and its neighbours go on. A message of a new type is kept
as unsupported, another event of a new type as `unknown`.
Protocol: docs/WEBCHAT.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from msgspec import ValidationError, convert

from shared.domain.enums import AliasKind, ConnectorEventName, DeliveryStatus, Direction, MessageKind, WebhookEvent
from shared.domain.items import (
    Alias,
    AnyItem,
    ConnectorEventItem,
    Content,
    MessageItem,
    Peer,
    PeopleChange,
    PoisonItem,
    ReceiptItem,
    Unsupported,
)
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text, exact_text
from shared.providers.contract import NOTHING
from shared.providers.documents import Malformed, at_most_max_items, decode_object, fingerprint, fragment_of
from shared.providers.webchat.contents import CONTENTS, referral_of
from shared.providers.webchat.payloads import Event

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SERVER = "server"
_LATEST_MS = 4_102_444_800_000  # the year 2100: later than that is no plausible time

_STATUSES = {"delivered": DeliveryStatus.DELIVERED, "read": DeliveryStatus.READ}
_PRESENCES = {"typing": "typing", "session.started": "session_started", "session.ended": "session_ended"}


@dataclass(frozen=True, slots=True)
class _Talk:
    """Who writes to which widget. Message ids are unique per visitor; a visitor's next session may repeat a post."""

    visitor_id: str
    session_id: str
    account_refs: tuple[str, ...]
    peer: Peer
    trusts_time: bool  # a server's clock is told; a browser's is a hint and left out


def normalise(body: bytes, headers: Mapping[str, str], settings: Mapping[str, Any] = NOTHING) -> Sequence[AnyItem]:  # noqa: ARG001 - the contract's signature
    """The items of one body, in its own order; raises UnparseableBody if it is not a JSON object in UTF-8."""
    document = decode_object(body)
    try:
        talk = _talk(document, settings)
    except Malformed as fault:
        return (_poison("", fault.reason, document, ()),)
    except ValidationError:
        return (_poison("", "wrong_type", document, ()),)
    events = document.get("events")
    if not isinstance(events, list):
        return (_poison("/events", "list_expected", document, talk.account_refs),)
    return at_most_max_items(_items(talk, events)) if events else (_nothing(talk, document),)


def _items(talk: _Talk, events: list[Any]) -> Iterator[AnyItem]:
    for index, element in enumerate(events):
        path = f"/events/{index}"
        try:
            yield _item(talk, path, element)
        except Malformed as fault:
            yield _poison(path, fault.reason, element, talk.account_refs)
        except ValidationError:
            yield _poison(path, "wrong_type", element, talk.account_refs)


def _talk(document: dict[str, Any], settings: Mapping[str, Any]) -> _Talk:
    widget, visitor, session = (_id(document.get(name), name) for name in ("widget_id", "visitor_id", "session_id"))
    found = [Alias(kind=AliasKind.USER, value=visitor)]
    external = document.get("external_user_id")
    if external is not None and not isinstance(external, str):
        raise Malformed("external_user_id_malformed")
    if external:
        exact = exact_text(external, 256)
        if exact is None:
            raise Malformed("external_user_id_malformed")
        found.append(Alias(kind=AliasKind.USER, value=f"external:{exact}"))  # a visitor's id holds no colon
    told = document.get("visitor")
    name = told.get("name") if isinstance(told, dict) else None  # for show only: anything else than a text is none
    return _Talk(
        visitor_id=visitor,
        session_id=session,
        account_refs=(f"widget_id:{widget}",),
        peer=Peer(aliases=tuple(found), name=clean_text(name, MAX_NAME_CHARACTERS) or None if isinstance(name, str) else None),
        trusts_time=settings.get("dialect") == _SERVER,
    )


def _id(value: object, name: str) -> str:
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        raise Malformed(f"{name}_malformed" if value else f"{name}_missing")
    return value


def _item(talk: _Talk, path: str, element: Any) -> AnyItem:
    event = convert(element, Event)
    if event.type in _STATUSES:
        return _receipt(talk, path, event)
    if event.type in _PRESENCES or (event.client_message_id is None and event.type not in CONTENTS):
        return _told(talk, path, event, element)
    return _message(talk, path, event)


def _message(talk: _Talk, path: str, event: Event) -> MessageItem:
    message_id = _id(event.client_message_id, "client_message_id")
    known = CONTENTS.get(event.type or "")
    content = None if known is None else known[1](event)
    if known is None or content is None:
        kind = MessageKind.UNSUPPORTED
        content = Content(unsupported=Unsupported(provider_type=clean_text(event.type, MAX_CODE_CHARACTERS) or "missing"))
    else:
        kind = known[0]
    if event.page is not None:
        content = replace(content, referral=referral_of(event.page))
    return MessageItem(
        path=path,
        evento=WebhookEvent.MESSAGE_IN,
        account_refs=talk.account_refs,
        dedup_key=f"{talk.visitor_id}:{message_id}",
        provider_time_ms=_time_ms(talk, event),
        direction=Direction.INBOUND,
        kind=kind,
        provider_message_id=message_id,
        peer=talk.peer,
        content=content,
        chat_scope=talk.visitor_id,
        reply_to_provider_message_id=exact_text(event.in_reply_to),
    )


def _receipt(talk: _Talk, path: str, event: Event) -> ReceiptItem:
    """`read` names the last message that was seen; what came before it was seen as well."""
    message_id = _id(event.up_to_message_id or event.message_id, "message_id")
    status = _STATUSES[event.type or ""]
    return ReceiptItem(
        path=path,
        evento=WebhookEvent.MESSAGE_STATUS,
        account_refs=talk.account_refs,
        dedup_key=f"{talk.visitor_id}:{message_id}:{status.value}",
        provider_time_ms=_time_ms(talk, event),
        provider_message_id=message_id,
        status=status,
        recipient=talk.peer.aliases,
        chat_scope=talk.visitor_id,
    )


def _told(talk: _Talk, path: str, event: Event, element: Any) -> ConnectorEventItem:
    named = clean_text(event.type, MAX_CODE_CHARACTERS) or "missing"
    state = _PRESENCES.get(event.type or "")
    return ConnectorEventItem(
        path=path,
        evento=WebhookEvent.CONTACT_UPDATE if state else WebhookEvent.FALLBACK,
        account_refs=talk.account_refs,
        dedup_key=fingerprint(talk.visitor_id, talk.session_id, element),
        provider_time_ms=_time_ms(talk, event),
        name=ConnectorEventName.PRESENCE if state else ConnectorEventName.UNKNOWN,
        provider_event=named,
        values={"state": state} if state else {"event": named},
        people=PeopleChange(old=(), new=talk.peer.aliases) if state else None,
    )


def _nothing(talk: _Talk, document: dict[str, Any]) -> ConnectorEventItem | PoisonItem:
    try:
        key = fingerprint(document)
    except Malformed as fault:
        return _poison("/events", fault.reason, document, talk.account_refs)
    return ConnectorEventItem(
        path="/events",
        evento=WebhookEvent.FALLBACK,
        account_refs=talk.account_refs,
        dedup_key=key,
        name=ConnectorEventName.NOTHING,
        provider_event="events",
    )


def _time_ms(talk: _Talk, event: Event) -> int | None:
    """ISO-8601 with its zone, in milliseconds; None for a browser's clock and for what is no time."""
    if not talk.trusts_time or not event.sent_at or len(event.sent_at) > 40:
        return None
    try:
        moment = datetime.fromisoformat(event.sent_at)
        time_ms = None if moment.tzinfo is None else round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return time_ms if time_ms is not None and 0 < time_ms < _LATEST_MS else None


def _poison(path: str, reason: str, element: object, refs: tuple[str, ...]) -> PoisonItem:
    fragment, evento = fragment_of(element), WebhookEvent.MESSAGE_IN
    try:
        key = fingerprint(reason, element)
    except Malformed:
        key = fingerprint(reason, path, fragment.decode("ascii"))
    return PoisonItem(path=path, evento=evento, account_refs=refs, dedup_key=key, reason=reason, fragment=fragment)
