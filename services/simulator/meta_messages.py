"""Meta's webhook objects: how a message, a status and an account event look.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference (messages and status
objects), and the business-scoped user id guide of 2026 (`user_id`, `from_user_id`, `parent_user_id`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from services.simulator.people import Person
from services.simulator.utterances import MIME, Receipt, Utterance

_Writer = Callable[[Utterance, str], dict[str, Any]]


def _media(kind: str) -> _Writer:
    def write(what: Utterance, media_id: str) -> dict[str, Any]:
        key = "voice" if what.kind == "voice" else kind
        written: dict[str, Any] = {
            "mime_type": MIME[key],
            "sha256": base64.b64encode(hashlib.sha256(media_id.encode()).digest()).decode(),
            "id": media_id,
        }
        if kind == "audio":
            written["voice"] = what.kind == "voice"
        if kind == "sticker":
            written["animated"] = False
        if kind == "document":
            written["filename"] = what.filename
        if what.text and kind in ("image", "video", "document"):
            written["caption"] = what.text
        return {"type": kind, kind: written}

    return write


def _reaction(what: Utterance, _: str) -> dict[str, Any]:
    told = {"message_id": what.target} | ({"emoji": what.emoji} if what.kind == "reaction" else {})
    return {"type": "reaction", "reaction": told}


def _location(what: Utterance, _: str) -> dict[str, Any]:
    place = {"latitude": what.latitude, "longitude": what.longitude, "name": what.place, "address": what.address}
    return {"type": "location", "location": place}


def _contacts(what: Utterance, _: str) -> dict[str, Any]:
    card = {
        "name": {"formatted_name": what.card_name, "first_name": what.card_name.split()[0]},
        "phones": [{"phone": f"+{what.card_phone}", "wa_id": what.card_phone, "type": "CELL"}],
    }
    return {"type": "contacts", "contacts": [card]}


def _list_reply(what: Utterance, _: str) -> dict[str, Any]:
    row = {"id": what.option_id, "title": what.text, "description": "row"}
    return {"type": "interactive", "interactive": {"type": "list_reply", "list_reply": row}}


def _button_reply(what: Utterance, _: str) -> dict[str, Any]:
    pressed = {"id": what.option_id, "title": what.text}
    return {"type": "interactive", "interactive": {"type": "button_reply", "button_reply": pressed}}


def _edit(what: Utterance, _: str) -> dict[str, Any]:
    inner = {"context": {"id": "M0"}, "type": "text", "text": {"body": what.text}}
    return {"type": "edit", "edit": {"original_message_id": what.target, "message": inner}}


def _order(what: Utterance, _: str) -> dict[str, Any]:
    line = {"product_retailer_id": "sku-1", "quantity": 2, "item_price": 9.9, "currency": "BRL"}
    return {"type": "order", "order": {"catalog_id": "400000000000001", "text": what.text, "product_items": [line]}}


def _unknown(_: Utterance, __: str) -> dict[str, Any]:
    fault = {
        "code": 131051,
        "title": "Message type unknown",
        "message": "Message type unknown",
        "error_data": {"details": "Message type is currently not supported."},
    }
    return {"type": "unsupported", "errors": [fault], "unsupported": {"type": "poll"}}


_WRITERS: dict[str, _Writer] = {
    "text": lambda what, _: {"type": "text", "text": {"body": what.text}},
    **{kind: _media(kind) for kind in ("image", "audio", "video", "document", "sticker")},
    "voice": _media("audio"),
    "location": _location,
    "contacts": _contacts,
    "button": _button_reply,
    "list": _list_reply,
    "reaction": _reaction,
    "unreaction": _reaction,
    "edit": _edit,
    "revoke": lambda what, _: {"type": "revoke", "revoke": {"original_message_id": what.target}},
    "order": _order,
    "something_new": _unknown,
}


def message(what: Utterance, who: Person, message_id: str, media_id: str, seconds: int) -> dict[str, Any]:
    """One element of `messages`, written by the person."""
    told: dict[str, Any] = {} if who.hides_phone else {"from": who.phone}
    told |= {"from_user_id": who.bsuid, "id": message_id, "timestamp": str(seconds)}
    context: dict[str, Any] = {}
    if what.reply_to:
        context |= {"from": "551140000001", "id": what.reply_to}
    if what.forwarded:
        context |= {"forwarded": True}
    if context:
        told["context"] = context
    if what.group:
        told["group_id"] = what.group
    return told | _WRITERS[what.kind](what, media_id)


def echo(what: Utterance, who: Person, own_number: str, message_id: str, media_id: str, seconds: int) -> dict[str, Any]:
    """One element of `message_echoes`: written on the company's phone to the person."""
    told = {"from": own_number, "to": who.phone, "to_user_id": who.bsuid, "id": message_id, "timestamp": str(seconds)}
    return told | _WRITERS[what.kind](what, media_id)


def contact(who: Person) -> dict[str, Any]:
    """One element of `contacts`."""
    told: dict[str, Any] = {"profile": {"name": who.name, "username": who.username}, "user_id": who.bsuid}
    if not who.hides_phone:
        told["wa_id"] = who.phone
    if who.parent_bsuid:
        told["parent_user_id"] = who.parent_bsuid
    return told


def status(what: Receipt, who: Person, seconds: int) -> dict[str, Any]:
    """One element of `statuses`."""
    told: dict[str, Any] = {"id": what.message_id, "status": what.status, "timestamp": str(seconds)}
    told |= {"recipient_user_id": who.bsuid} if who.hides_phone else {"recipient_id": who.phone, "recipient_user_id": who.bsuid}
    if what.callback_data:
        told["biz_opaque_callback_data"] = what.callback_data
    if what.status in ("sent", "delivered"):
        told["pricing"] = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "utility"}
    if what.status == "failed":
        code = what.error_code or 131026
        told["errors"] = [{"code": code, "title": "Not sent", "message": "Not sent", "error_data": {"details": f"Error {code}"}}]
    return told


def new_number(old: Person, new: Person, message_id: str, seconds: int) -> dict[str, Any]:
    """The system message that tells of a changed number; it has no contacts."""
    told = {"type": "user_changed_number", "body": "changed", "wa_id": new.phone, "user_id": new.bsuid}
    return {
        "from": old.phone,
        "from_user_id": old.bsuid,
        "id": message_id,
        "timestamp": str(seconds),
        "type": "system",
        "system": told,
    }
