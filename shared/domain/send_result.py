"""The body of a raw record of source `result`: what outbound learnt from one provider call.

JSON, sealed like every raw body. One result per record; it is claimed by message id and attempt.
"""

from __future__ import annotations

import json
from typing import Any

from shared.domain.enums import AliasKind, DeliveryStatus, ErrorClass, WebhookEvent
from shared.domain.errors import CorruptData
from shared.domain.items import Alias, SendResultItem

ACCOUNT_REF = "account_id"


def account_ref(account_id: str) -> str:
    """The reference by which a result names its account (ours, not a provider's)."""
    return f"{ACCOUNT_REF}:{account_id}"


def encode_send_result(
    *,
    account_id: str,
    message_id: str,
    attempt: int,
    status: DeliveryStatus,
    recipient: tuple[Alias, ...],
    provider_message_ids: tuple[str, ...] = (),
    chat_scope: str | None = None,
    error_class: ErrorClass | None = None,
    error_code: str | None = None,
    at_ms: int,
) -> bytes:
    """The JSON body of one result; `at_ms` is when the provider answered."""
    document = {
        "type": "send_result",
        "account_id": account_id,
        "message_id": message_id,
        "attempt": attempt,
        "status": status.value,
        "recipient": [{"kind": alias.kind.value, "value": alias.value} for alias in recipient],
        "provider_message_ids": list(provider_message_ids),
        "chat_scope": chat_scope,
        "error_class": error_class.value if error_class else None,
        "error_code": error_code,
        "at_ms": at_ms,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def parse_send_result(body: bytes) -> SendResultItem:
    """The item of one result body; raises CorruptData when it is not one of ours."""
    try:
        document: dict[str, Any] = json.loads(body)
        error_class = document["error_class"]
        return SendResultItem(
            path="",
            evento=WebhookEvent.DELIVERY,
            account_refs=(account_ref(document["account_id"]),),
            dedup_key=f"{document['message_id']}:{document['attempt']}",
            provider_time_ms=document["at_ms"],
            message_id=document["message_id"],
            attempt=document["attempt"],
            status=DeliveryStatus(document["status"]),
            recipient=tuple(Alias(kind=AliasKind(alias["kind"]), value=alias["value"]) for alias in document["recipient"]),
            provider_message_ids=tuple(document["provider_message_ids"]),
            chat_scope=document["chat_scope"],
            error_class=ErrorClass(error_class) if error_class else None,
            error_code=document["error_code"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData(f"not a send result: {type(error).__name__}") from error
