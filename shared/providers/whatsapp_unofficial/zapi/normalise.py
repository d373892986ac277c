"""Splits one body of Z-API into items: the body itself is the element; a status names several messages in `ids`.

Source: https://developer.z-api.io/webhooks/introduction. `momment` is in milliseconds, in the example of a disconnection in
seconds. Taken for granted, neither documented nor seen from a live instance: an edit has the original's id in `messageId` and
its own in `editMessageId`; a revocation (`notification: "REVOKE"`) names the message that is gone in `referenceMessageId`, else
comes under that message's id (as the few public integrations that read it at all do; nobody has shown a body).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import to_builtins
from msgspec.structs import replace

from shared.domain.content import Content, Revoke
from shared.domain.enums import ConnectorEventName, DeliveryStatus, HealthStatus, MessageKind, WebhookEvent
from shared.domain.items import AnyItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed, fingerprint
from shared.providers.whatsapp_unofficial.fields import JsonObject, flag, milliseconds, text
from shared.providers.whatsapp_unofficial.jids import Jid, account_refs, parse_jid
from shared.providers.whatsapp_unofficial.origins import Origin, Written, edited, message, message_id_of, receipt
from shared.providers.whatsapp_unofficial.shapes import content_kind
from shared.providers.whatsapp_unofficial.zapi.contents import has_content, spoken

_STATUSES = {
    "PENDING": DeliveryStatus.ACCEPTED,
    "SENT": DeliveryStatus.SENT,
    "RECEIVED": DeliveryStatus.DELIVERED,
    "READ": DeliveryStatus.READ,
    "PLAYED": DeliveryStatus.PLAYED,
    "FAILED": DeliveryStatus.FAILED,
}
_PRESENCES = {
    "COMPOSING": "typing",
    "RECORDING": "recording",
    "PAUSED": "paused",
    "AVAILABLE": "online",
    "UNAVAILABLE": "offline",
}
_STATUS_EVENT = "messagestatuscallback"
_EVENTO = {
    "receivedcallback": WebhookEvent.MESSAGE_IN,
    _STATUS_EVENT: WebhookEvent.MESSAGE_STATUS,
    "deliverycallback": WebhookEvent.MESSAGE_STATUS,
}
# `notification` of a message that nobody wrote: by its beginning
_NOTES = (
    ("CALL_", ConnectorEventName.CALL),
    ("GROUP_", ConnectorEventName.GROUP_CHANGED),
    ("MEMBERSHIP_", ConnectorEventName.GROUP_CHANGED),
    ("REVOKED_MEMBERSHIP", ConnectorEventName.GROUP_CHANGED),
)
_PLACEHOLDERS = ("E2E_ENCRYPTED", "CIPHERTEXT", "BLUE_MSG", "BIZ_")


def items_of(document: JsonObject) -> Iterator[AnyItem]:
    """The items of one verified body."""
    type_, refs = document.get("type"), _account_refs(document)
    if not isinstance(type_, str):
        yield Origin(path="", event="missing", account_refs=refs, element=document).poison("event_missing")
        return
    event = clean_text(type_, MAX_CODE_CHARACTERS) or "missing"
    origin = Origin(path="", event=event, account_refs=refs, element=document)
    evento = _EVENTO.get(event.lower(), WebhookEvent.FALLBACK)
    ids = document.get("ids")
    if event.lower() == _STATUS_EVENT and isinstance(ids, list) and ids:
        for index, message_id in enumerate(ids):
            part = Origin(path=f"/ids/{index}", event=event, account_refs=refs, element=document)
            yield _guarded(part, evento, message_id)
    else:
        yield _guarded(origin, evento, None)


def _account_refs(document: JsonObject) -> tuple[str, ...]:
    instance = document.get("instanceId")
    number = document.get("phone") if document.get("type") == "ConnectedCallback" else document.get("connectedPhone")
    return account_refs(
        exact_text(instance, MAX_CODE_CHARACTERS) if isinstance(instance, str) else None,
        number if isinstance(number, str) else None,
    )


def _guarded(origin: Origin, evento: WebhookEvent, message_id: object) -> AnyItem:
    body: JsonObject = origin.element
    read = _READ.get(origin.event.lower())
    try:
        if origin.event.lower() == _STATUS_EVENT:
            return _status(origin, body, message_id)
        return origin.told(ConnectorEventName.UNKNOWN) if read is None else read(origin, body)
    except Malformed as fault:
        return origin.poison(fault.reason, evento)


def _received(origin: Origin, body: JsonObject) -> AnyItem:
    """`ReceivedCallback`: a message, an own one too if the instance is set so. What a call to this API sent is a receipt."""
    written = _written(body)
    if written.chat.is_audience or flag(body, "isNewsletter"):
        return origin.audience(written.chat if written.chat.is_audience else Jid(written.chat.user, "newsletter"))
    note = "CIPHERTEXT" if flag(body, "waitingMessage") else text(body, "notification")
    if note is not None and (note == "REVOKE" or _is_note(note) or not has_content(body)):
        return _noted(origin, written, body, note)
    if written.from_me and flag(body, "fromApi"):
        first, *others = (*written.addresses, None)
        return receipt(
            origin, written.message_id, DeliveryStatus.ACCEPTED, chat=first, others=tuple(others), time_ms=written.time_ms
        )
    return _edited(origin, written, body) if flag(body, "isEdit") else message(origin, written, spoken(body))


def _edited(origin: Origin, written: Written, body: JsonObject) -> AnyItem:
    own, found = text(body, "editMessageId"), spoken(body)
    if own is None or own == written.message_id:
        moment = written.time_ms if written.time_ms is not None else fingerprint(to_builtins(found.content))[:16]
        own = f"{written.message_id}:edit:{moment}"
    renamed = replace(written, message_id=message_id_of(own))
    return edited(origin, renamed, written.message_id, found)


def _is_note(note: str) -> bool:
    """Whether it is one that we know to come without words of anybody; a strange one may stand beside some."""
    return note.startswith((*_PLACEHOLDERS, *(prefix for prefix, _ in _NOTES)))


def _noted(origin: Origin, written: Written, body: JsonObject, note: str) -> AnyItem:
    """A message that nobody wrote: something was deleted, somebody called, a group changed."""
    if note == "REVOKE":
        target = message_id_of(text(body, "referenceMessageId") or written.message_id)
        return message(
            origin, written, content_kind(MessageKind.REVOKE, Content(revoke=Revoke(target_provider_message_id=target)))
        )
    code = clean_text(note, MAX_CODE_CHARACTERS)
    if note.startswith(_PLACEHOLDERS):
        return origin.left_out("placeholder")
    name = next((name for prefix, name in _NOTES if note.startswith(prefix)), ConnectorEventName.UNKNOWN)
    values: dict[str, object] = {"event": code}
    if name is ConnectorEventName.CALL:
        values |= {
            "direction": "inbound",
            "status": "missed" if "MISSED" in note else "received",
            "call_id": text(body, "callId"),
        }
    elif name is ConnectorEventName.GROUP_CHANGED:
        values["group_id"] = written.chat.group_id if written.chat.is_group else None
    return origin.told(name, values, time_ms=written.time_ms)


def _status(origin: Origin, body: JsonObject, message_id: object) -> AnyItem:
    """`MessageStatusCallback`, for one of its `ids`."""
    given = message_id if message_id is not None else body.get("id")
    if given is not None and not isinstance(given, str):
        raise Malformed("wrong_type")
    name = text(body, "status")
    if name == "READ_BY_ME":
        return origin.left_out("of_a_message_of_the_peer", WebhookEvent.MESSAGE_STATUS)
    status = _STATUSES.get(name or "")
    if status is None:
        raise Malformed("status_unknown")
    return _receipt(origin, body, message_id_of(given), status)


def _delivery(origin: Origin, body: JsonObject) -> AnyItem:
    """`DeliveryCallback`: the message left Z-API's queue for WhatsApp, or could not."""
    error = body.get("error")
    failed = isinstance(error, str) and error != ""
    status = DeliveryStatus.FAILED if failed else DeliveryStatus.SENT
    return _receipt(origin, body, message_id_of(text(body, "messageId")), status, error if failed else None)


def _receipt(origin: Origin, body: JsonObject, message_id: str, status: DeliveryStatus, detail: str | None = None) -> AnyItem:
    chat = _chat(text(body, "phone"), flag(body, "isGroup"))
    if chat is not None and chat.is_audience:
        return origin.audience(chat)
    in_group = chat is not None and chat.is_group
    return receipt(
        origin,
        message_id,
        status,
        chat=f"{chat.user}@{chat.server}" if chat is not None else None,
        others=(text(body, "chatLid"),),
        participant=_person(text(body, "participantPhone") or text(body, "participant")) if in_group else None,
        time_ms=milliseconds(body.get("momment")),
        error_detail=detail,
    )


def _connection(origin: Origin, body: JsonObject) -> AnyItem:
    """`ConnectedCallback`, `DisconnectedCallback`. The text of the error stays in the record: codes only."""
    opened = origin.event.lower() == "connectedcallback" and flag(body, "connected")
    number = next((ref.removeprefix("phone:") for ref in origin.account_refs if ref.startswith("phone:")), None)
    return origin.told(
        ConnectorEventName.CONNECTION_STATE,
        {"state": "open" if opened else "close", "reason": None if opened else "disconnected", "number": number},
        health=HealthStatus.PASSED if opened else HealthStatus.FAILED,
        time_ms=milliseconds(body.get("momment")),
    )


def _written(body: JsonObject) -> Written:
    """Who wrote a message. Raises Malformed (`id_missing`, `chat_missing`)."""
    message_id = message_id_of(text(body, "messageId"))
    from_me = flag(body, "fromMe")
    chat = _chat(text(body, "phone"), flag(body, "isGroup"))
    if chat is None:
        raise Malformed("chat_missing")
    sender_lid = None if from_me else text(body, "senderLid")  # on an own message it is our own
    if chat.is_group:
        addresses = (_person(text(body, "participantPhone")), text(body, "participantLid"), sender_lid)
    else:
        addresses = (f"{chat.user}@{chat.server}", text(body, "chatLid"), sender_lid)
    return Written(
        message_id=message_id,
        from_me=from_me,
        chat=chat,
        addresses=addresses,
        name=text(body, "senderName"),
        time_ms=milliseconds(body.get("momment")),
        group_name=text(body, "chatName"),
    )


def _chat(phone: str | None, is_group: bool) -> Jid | None:
    """`phone` is digits, `<id>-group`, in older groups `<creator>-<time>`, or an address as WhatsApp writes it."""
    if not phone:
        return None
    if "@" in phone:
        return parse_jid(phone)
    if phone.endswith("-group") or is_group:
        return parse_jid(f"{phone.removesuffix('-group')}@g.us")
    return parse_jid(f"{phone}@s.whatsapp.net")


def _person(phone: str | None) -> str | None:
    return phone if phone is None or "@" in phone else f"{phone}@s.whatsapp.net"


def _presence(origin: Origin, body: JsonObject) -> AnyItem:
    state = text(body, "status")
    return origin.told(ConnectorEventName.PRESENCE, {"state": _PRESENCES.get(state or "", state)})


_READ: dict[str, Callable[[Origin, JsonObject], AnyItem]] = {
    "receivedcallback": _received,
    "deliverycallback": _delivery,
    "connectedcallback": _connection,
    "disconnectedcallback": _connection,
    "presencechatcallback": _presence,
}
