"""Statuses: what Meta says about the messages that we sent."""

from __future__ import annotations

from msgspec import convert

from shared.domain.enums import DeliveryStatus, WebhookEvent
from shared.domain.items import Alias, ReceiptItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed
from shared.providers.whatsapp_official.changes import Change, milliseconds
from shared.providers.whatsapp_official.errors import class_of, explanation
from shared.providers.whatsapp_official.payloads import JsonObject, Status
from shared.providers.whatsapp_official.people import aliases

_STATUSES = {
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    "played": DeliveryStatus.PLAYED,
    "failed": DeliveryStatus.FAILED,
}


def receipt(change: Change, path: str, element: JsonObject) -> ReceiptItem:
    """One element of `value.statuses`. Raises Malformed, or ValidationError for a field of a wrong type.

    A status that we do not know is malformed, so that it waits in the dead-letter topic for the release that knows it.
    """
    payload = convert(element, Status)
    message_id = exact_text(payload.id)
    if message_id is None:
        raise Malformed("id_malformed" if payload.id else "id_missing")
    status = _STATUSES.get(payload.status or "")
    if status is None:
        raise Malformed("status_unknown")
    member = aliases(
        payload.recipient_participant_id,
        payload.recipient_participant_user_id,
        payload.recipient_participant_parent_user_id,
    )
    participant = member[0].key if member else ""
    code, detail = explanation(payload.errors)
    pricing = payload.pricing
    return ReceiptItem(
        path=path,
        evento=WebhookEvent.MESSAGE_STATUS,
        account_refs=change.account_refs,
        dedup_key=f"{message_id}:{status.value}:{participant}",
        provider_time_ms=milliseconds(payload.timestamp),
        provider_message_id=message_id,
        status=status,
        recipient=member or _recipient(change, payload),
        participant=participant,
        callback_data=exact_text(payload.biz_opaque_callback_data),
        error_class=class_of(payload.errors[0].code) if payload.errors else None,
        error_code=code,
        error_detail=detail,
        pricing_category=clean_text(pricing.category, MAX_CODE_CHARACTERS) if pricing is not None else None,
        billable=pricing.billable if pricing is not None else None,
        pricing_model=clean_text(pricing.pricing_model, MAX_CODE_CHARACTERS) if pricing is not None else None,
        pricing_type=clean_text(pricing.type, MAX_CODE_CHARACTERS) if pricing is not None else None,
    )


def _recipient(change: Change, payload: Status) -> tuple[Alias, ...]:
    phone = None if payload.recipient_type == "group" else payload.recipient_id  # else it is the group's id
    peer = change.people.peer(phone, payload.recipient_user_id, payload.recipient_parent_user_id)
    return () if peer is None else peer.aliases
