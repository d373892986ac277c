"""Telegram's update objects: how a message, a pressed button, a reaction look.

Source: https://core.telegram.org/bots/api#update
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.simulator.people import Person
from services.simulator.utterances import MIME, Utterance

_Writer = Callable[[Utterance, str], dict[str, Any]]


def _file(media_id: str, **more: Any) -> dict[str, Any]:
    return {"file_id": f"AgAC{media_id}", "file_unique_id": f"AQAD{media_id}", "file_size": 48_213, **more}


def _captioned(written: dict[str, Any], what: Utterance) -> dict[str, Any]:
    return written | ({"caption": what.text} if what.text else {})


def _photo(what: Utterance, media_id: str) -> dict[str, Any]:
    sizes = [_file(f"{media_id}s", width=90, height=67), _file(media_id, width=1280, height=960)]
    return _captioned({"photo": sizes}, what)


def _document(what: Utterance, media_id: str) -> dict[str, Any]:
    return _captioned({"document": _file(media_id, file_name=what.filename, mime_type=MIME["document"])}, what)


def _sticker(_: Utterance, media_id: str) -> dict[str, Any]:
    looks = {"width": 512, "height": 512, "is_animated": False, "is_video": False, "type": "regular", "emoji": "🙂"}
    return {"sticker": _file(media_id, **looks)}


def _venue(what: Utterance, _: str) -> dict[str, Any]:
    place = {"latitude": what.latitude, "longitude": what.longitude}
    return {"location": place, "venue": {"location": place, "title": what.place, "address": what.address}}


def _contact(what: Utterance, _: str) -> dict[str, Any]:
    first, _, last = what.card_name.partition(" ")
    return {"contact": {"phone_number": what.card_phone, "first_name": first, "last_name": last}}


_WRITERS: dict[str, _Writer] = {
    "text": lambda what, _: {"text": what.text},
    "image": _photo,
    "audio": lambda _, media_id: {"audio": _file(media_id, duration=12, mime_type=MIME["audio"])},
    "voice": lambda _, media_id: {"voice": _file(media_id, duration=4, mime_type="audio/ogg")},
    "video": lambda what, media_id: _captioned(
        {"video": _file(media_id, duration=9, width=640, height=360, mime_type=MIME["video"])}, what
    ),
    "document": _document,
    "sticker": _sticker,
    "location": _venue,
    "contacts": _contact,
    "something_new": lambda *_: {"dice": {"emoji": "🎲", "value": 4}},
}
SAYS = frozenset({*_WRITERS, "button", "reaction", "unreaction", "edit"})


def user(who: Person) -> dict[str, Any]:
    """A `User`."""
    first, _, last = who.name.partition(" ")
    told = {"id": who.telegram_id, "is_bot": False, "first_name": first, "username": who.username.replace(".", "_")}
    return {**told, "last_name": last, "language_code": "pt-br"}


def chat(who: Person, group: str | None) -> dict[str, Any]:
    """A `Chat`: the person's own, or a group."""
    if group is not None:
        return {"id": int(group), "title": "Turma", "type": "supergroup"}
    first, _, last = who.name.partition(" ")
    return {"id": who.telegram_id, "first_name": first, "last_name": last, "type": "private"}


def message(what: Utterance, who: Person, message_id: int, seconds: int) -> dict[str, Any]:
    """A `Message` of this person."""
    told: dict[str, Any] = {"message_id": message_id, "from": user(who), "chat": chat(who, what.group), "date": seconds}
    if what.reply_to:
        told["reply_to_message"] = {
            "message_id": int(what.reply_to),
            "from": {"id": 700_000_001, "is_bot": True, "first_name": "Loja", "username": "loja_bot"},
            "chat": chat(who, what.group),
            "date": seconds - 60,
            "text": "Como posso ajudar?",
        }
    if what.forwarded:
        told["forward_origin"] = {"type": "hidden_user", "sender_user_name": "Ana", "date": seconds - 600}
    kind = "text" if what.kind == "edit" else what.kind
    return told | _WRITERS[kind](what, str(message_id))


def reaction(what: Utterance, who: Person, seconds: int) -> dict[str, Any]:
    """A `MessageReactionUpdated`."""
    emoji = [{"type": "emoji", "emoji": what.emoji}]
    added = what.kind == "reaction"
    return {
        "chat": chat(who, what.group),
        "message_id": int(what.target or 0),
        "user": user(who),
        "date": seconds,
        "old_reaction": [] if added else emoji,
        "new_reaction": emoji if added else [],
    }


def callback(what: Utterance, who: Person, number: int, bot: dict[str, Any], seconds: int) -> dict[str, Any]:
    """A `CallbackQuery`: a button under a message of ours."""
    under = {"message_id": int(what.reply_to or 1), "from": bot, "chat": chat(who, what.group), "date": seconds - 30, "text": "?"}
    return {"id": f"{4_400_000 + number}", "from": user(who), "message": under, "chat_instance": "-77", "data": what.option_id}


def membership(who: Person, bot: dict[str, Any], seconds: int, old: str, new: str) -> dict[str, Any]:
    """A `ChatMemberUpdated` about the bot itself: the person blocked it or let it in again."""
    return {
        "chat": chat(who, None),
        "from": user(who),
        "date": seconds,
        "old_chat_member": {"user": bot, "status": old} | ({"until_date": 0} if old == "kicked" else {}),
        "new_chat_member": {"user": bot, "status": new} | ({"until_date": 0} if new == "kicked" else {}),
    }
