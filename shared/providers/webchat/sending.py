"""Sending to webchat: one signed post to the connector's `delivery_url`, in the form of Standard Webhooks.

The id of the post is ours and stays the same over repeats, and whoever receives tells repeats apart by it: so a lost
answer is simply asked for again.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md; data: docs/WEBCHAT.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from shared.domain.enums import AliasKind, ErrorClass, TokenKind
from shared.domain.errors import InvalidInput
from shared.providers.calling import (
    CallContext,
    Credentials,
    Fault,
    Placement,
    ProviderAnswer,
    ProviderCall,
    ProviderResponse,
    json_body,
    retry_after_seconds,
)
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.sending import Accepted, OutboundKind, OutboundMedia, Rejected, Sending, SendOrder, SendOutcome
from shared.providers.webchat.capabilities import MAX_BUTTONS, MAX_ROWS, TEXT_MAX_CHARACTERS
from shared.providers.webchat.standard_webhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, key_of, signature_of

_FILES = frozenset({OutboundKind.IMAGE, OutboundKind.AUDIO, OutboundKind.VIDEO, OutboundKind.DOCUMENT})
_TYPES: Mapping[OutboundKind, str] = {
    **dict.fromkeys(
        (*_FILES, OutboundKind.TEXT, OutboundKind.LOCATION, OutboundKind.BUTTONS, OutboundKind.LIST), "message.created"
    ),
    OutboundKind.EDIT: "message.edited",
    OutboundKind.REVOKE: "message.deleted",
    OutboundKind.REACTION: "message.reaction",
    OutboundKind.READ: "message.read",
    OutboundKind.TYPING: "typing",
}
_ABOUT_A_MESSAGE = frozenset({OutboundKind.EDIT, OutboundKind.REVOKE, OutboundKind.REACTION, OutboundKind.READ})


def build(order: SendOrder, context: CallContext) -> tuple[ProviderCall, ...]:
    """The one call of an order; raises InvalidInput (`cannot_send`) with a JSON pointer into the order."""
    type_ = _TYPES.get(order.kind)
    if type_ is None:
        raise _cannot("webchat has no such kind", "/kind")
    visitor = next((alias.value for alias in order.recipient if alias.kind is AliasKind.USER and ":" not in alias.value), None)
    visitor = order.chat_scope or visitor
    if not visitor:
        raise _cannot("no visitor", "/recipient")
    data = {
        "widget_id": context.identidade,
        "visitor_id": visitor,
        "message_id": order.message_id,
        "kind": order.kind.value,
        "in_reply_to": order.reply_to_provider_message_id,
        "target_message_id": _target(order),
        **_said(order),
    }
    return (signed_call(context, type_, order.message_id, {name: value for name, value in data.items() if value is not None}),)


def signed_call(
    context: CallContext, type_: str, message_id: str, data: Mapping[str, Any], *, step: str = "send"
) -> ProviderCall:
    """A post of one event. It must leave within five minutes, or its time is too old for whoever receives it."""
    url = context.settings.get("delivery_url")
    if not url:
        raise _cannot("the connector has no delivery_url", "")
    timestamp = str(context.now_ms // 1000)
    told_at = datetime.fromtimestamp(context.now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = json_body({"type": type_, "timestamp": told_at, "data": data})
    sign = partial(_signature, message_id, timestamp, body)
    return ProviderCall(
        step=step,
        method="POST",
        url=url,
        headers=(("content-type", "application/json"), (ID_HEADER, message_id), (TIMESTAMP_HEADER, timestamp)),
        body=body,
        placements=(Placement(credential=TokenKind.SECRET.value, place="header", name=SIGNATURE_HEADER, derive=sign),),
        timeout_seconds=15.0,
        idempotent=True,
    )


def read(call: ProviderCall, answer: ProviderAnswer) -> SendOutcome:
    """2xx is taken; all else was not, or may be asked for again."""
    if isinstance(answer, ProviderResponse) and 200 <= answer.status < 300:
        document = json.loads(call.body) if isinstance(call.body, bytes) else {}
        data = document.get("data", {})
        made = document.get("type") == "message.created"
        return Accepted(provider_message_ids=(data["message_id"],) if made else (), chat_scope=data.get("visitor_id"))
    return Rejected(fault=fault_of(answer))


def fault_of(answer: ProviderAnswer) -> Fault:
    """Why a post was not taken: 410 asks for no more posts, 429, 502 and 504 for fewer (Standard Webhooks)."""
    if not isinstance(answer, ProviderResponse):
        return Fault(error_class=ErrorClass.RETRYABLE, code=answer.kind, detail=answer.detail or None, scope="connector")
    code, wait = str(answer.status), retry_after_seconds(answer)
    detail = clean_text(answer.body[:MAX_NAME_CHARACTERS].decode("utf-8", "replace")) or None
    match answer.status:
        case 401 | 403:
            return Fault(error_class=ErrorClass.AUTH, code=code, detail=detail, scope="connector", action="replace_secret")
        case 404 | 410:
            return Fault(
                error_class=ErrorClass.ACCOUNT_BLOCKED, code=code, detail=detail, scope="connector", action="enable_delivery"
            )
        case 429:
            return Fault(
                error_class=ErrorClass.RATE_LIMITED, code=code, detail=detail, scope="connector", retry_after_seconds=wait or 1.0
            )
        case status if status >= 500 or status < 400 or status == 408:
            return Fault(error_class=ErrorClass.RETRYABLE, code=code, detail=detail, scope="connector", retry_after_seconds=wait)
        case _:
            return Fault(error_class=ErrorClass.CONTENT_PERMANENT, code=code, detail=detail)


def _signature(message_id: str, timestamp: str, body: bytes, credentials: Credentials) -> str:
    key = key_of(credentials[TokenKind.SECRET.value].encode("utf-8"))
    if key is None:
        raise InvalidInput("the delivery secret must be whsec_ and base64 of 24 to 64 bytes", reason="credential_malformed")
    return signature_of(key, message_id.encode("utf-8"), timestamp.encode("ascii"), body).decode("ascii")


def _target(order: SendOrder) -> str | None:
    if order.kind in _ABOUT_A_MESSAGE and not order.target_provider_message_id:
        raise _cannot("the message meant is missing", "/target_provider_message_id")
    return order.target_provider_message_id


def _said(order: SendOrder) -> dict[str, Any]:
    content = order.content
    if order.kind in _FILES:
        return {"media": _media(content.media)}
    match order.kind:
        case OutboundKind.TEXT | OutboundKind.EDIT:
            return {"text": _text(content.text)}
        case OutboundKind.LOCATION if content.location is not None:
            return {"location": {name: value for name, value in asdict(content.location).items() if value is not None}}
        case OutboundKind.LOCATION:
            raise _cannot("the place is missing", "/content/location")
        case OutboundKind.BUTTONS | OutboundKind.LIST:
            return _choices(order)
        case OutboundKind.REACTION:
            return {"emoji": content.emoji or ""}
        case _:
            return {}


def _choices(order: SendOrder) -> dict[str, Any]:
    content = order.content
    rows = [row for section in content.sections for row in section.rows]
    if not (0 < len(content.options) <= MAX_BUTTONS or 0 < len(rows) <= MAX_ROWS):
        raise _cannot(f"1 to {MAX_BUTTONS} buttons or 1 to {MAX_ROWS} rows", "/content/options")
    found = {
        "text": _text(content.text),
        "header": content.header,
        "footer": content.footer,
        "options": [_set(asdict(option)) for option in content.options] or None,
        "list_button": content.list_button,
        "sections": [_set(asdict(section)) for section in content.sections] or None,
    }
    return _set(found)


def _set(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def _media(media: OutboundMedia | None) -> dict[str, Any]:
    if media is None or not (media.provider_media_id or media.link):
        raise _cannot("a file by id or by link: bytes are uploaded before", "/content/media")
    found = {"id": media.provider_media_id, "url": media.link, "mime_type": media.mime_type, "name": media.filename}
    return _set({**found, "caption": media.caption, "voice": media.voice or None})


def _text(text: str | None) -> str:
    if not text or len(text) > TEXT_MAX_CHARACTERS:
        raise _cannot(f"1 to {TEXT_MAX_CHARACTERS} characters", "/content/text")
    return text


def _cannot(message: str, pointer: str) -> InvalidInput:
    return InvalidInput(message, reason="cannot_send", pointer=pointer)


SENDING = Sending(kinds=frozenset(_TYPES), build=build, read=read)
