"""Sending by Meta's Cloud API: an order becomes `POST /{phone_number_id}/messages`, after an upload where bytes are given.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages and …/media
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.domain.enums import AliasKind, ErrorClass
from shared.domain.items import Alias
from shared.providers.calling import (
    CallContext,
    Carry,
    Fault,
    Part,
    ProviderAnswer,
    ProviderCall,
    TransportFault,
    json_object,
)
from shared.providers.cleaning import exact_text
from shared.providers.sending import (
    Accepted,
    OutboundKind,
    Proceed,
    Rejected,
    Sending,
    SendOrder,
    SendOutcome,
    UnknownOutcome,
)
from shared.providers.whatsapp_official.bodies import MEDIA_KINDS, body_of, refuse
from shared.providers.whatsapp_official.graph import fault_of, graph_call, number_id
from shared.providers.whatsapp_official.people import aliases

_UPLOADED = "the id of the upload"


def build_send(order: SendOrder, context: CallContext) -> tuple[ProviderCall, ...]:
    """The calls of one order; raises InvalidInput (`cannot_send`, `setting_missing`)."""
    path = f"{number_id(context)}/messages"
    if order.kind in (OutboundKind.READ, OutboundKind.TYPING):
        return (graph_call("mark", "POST", context, path, body=_mark(order), idempotent=True),)
    media = order.content.media
    if order.kind not in MEDIA_KINDS or media is None or media.data is None:
        return (graph_call("send", "POST", context, path, body=_message(order, None)),)
    mime_type = media.mime_type or refuse("an upload needs its MIME type", "/content/media/mime_type")
    parts = (
        Part(name="messaging_product", content=b"whatsapp"),
        Part(name="type", content=mime_type.encode("ascii", "replace")),
        Part(name="file", content=media.data, filename=media.filename or "file", mime_type=mime_type),
    )
    upload = graph_call("upload", "POST", context, f"{number_id(context)}/media", body=parts, idempotent=True)
    send = graph_call("send", "POST", context, path, body=_message(order, _UPLOADED))
    return upload, replace(send, carries=(Carry(step="upload", pointer="/id", marker=_UPLOADED),))


def _mark(order: SendOrder) -> dict[str, Any]:
    target = order.target_provider_message_id
    if target is None:
        refuse("read and typing are about a message of the peer", "/target_provider_message_id")
    mark: dict[str, Any] = {"messaging_product": "whatsapp", "status": "read", "message_id": target}
    if order.kind is OutboundKind.TYPING:
        mark["typing_indicator"] = {"type": "text"}
    return mark


def _message(order: SendOrder, uploaded: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {"messaging_product": "whatsapp", **_recipient(order), **body_of(order, uploaded)}
    message["biz_opaque_callback_data"] = order.message_id  # comes back in every status: an unknown outcome is settled by it
    if order.reply_to_provider_message_id is not None:
        message["context"] = {"message_id": order.reply_to_provider_message_id}
    return message


def _recipient(order: SendOrder) -> dict[str, str]:
    if order.group_id is not None:
        return {"recipient_type": "group", "to": order.group_id}
    by_kind = {alias.kind: alias.value for alias in reversed(order.recipient)}  # the first of a kind wins
    if AliasKind.PHONE in by_kind:
        return {"recipient_type": "individual", "to": by_kind[AliasKind.PHONE]}
    user_id = by_kind.get(AliasKind.BSUID) or refuse("neither a phone nor a business-scoped id", "/recipient")
    return {"recipient_type": "individual", "recipient": user_id}


def read_send(call: ProviderCall, answer: ProviderAnswer) -> SendOutcome:
    """What became of one call. An upload or a mark leaves nothing behind, so only `send` can be of unknown outcome."""
    fault = fault_of(answer)
    if fault is not None:
        return _not_accepted(call, fault)
    document = {} if isinstance(answer, TransportFault) else json_object(answer.body)
    if call.step == "upload":
        named = exact_text(str(document.get("id") or "")) is not None
        return Proceed() if named else Rejected(fault=Fault(error_class=ErrorClass.RETRYABLE, code="upload_without_id"))
    ids = () if call.step == "mark" else _message_ids(document)
    if not ids and call.step != "mark":  # Meta said yes and not to what: the status webhook will tell
        return UnknownOutcome(fault=Fault(error_class=ErrorClass.UNKNOWN_OUTCOME, code="no_message_id"))
    return Accepted(provider_message_ids=ids, recipient=_answered_recipient(document))


def _not_accepted(call: ProviderCall, fault: Fault) -> SendOutcome:
    if fault.error_class is not ErrorClass.UNKNOWN_OUTCOME:
        return Rejected(fault=fault)
    if call.idempotent:
        return Rejected(fault=Fault(error_class=ErrorClass.RETRYABLE, code=fault.code, detail=fault.detail, scope="account"))
    return UnknownOutcome(fault=fault)


def _message_ids(document: dict[str, Any]) -> tuple[str, ...]:
    listed = document.get("messages")
    ids = [entry.get("id") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return tuple(text for value in ids if isinstance(value, str) and (text := exact_text(value)))


def _answered_recipient(document: dict[str, Any]) -> tuple[Alias, ...]:
    """`contacts[0]`: the number as WhatsApp spells it, and the business-scoped id."""
    listed = document.get("contacts")
    contact = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    wa_id, user_id = contact.get("wa_id"), contact.get("user_id")
    return aliases(wa_id if isinstance(wa_id, str) else None, user_id if isinstance(user_id, str) else None)


SENDING = Sending(
    kinds=frozenset(OutboundKind) - {OutboundKind.EMAIL, OutboundKind.EDIT, OutboundKind.REVOKE},
    build=build_send,
    read=read_send,
)
