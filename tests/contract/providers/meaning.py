"""What was meant and what was understood, in one form: so that a stand-in's utterance and a normalised item can be compared."""

from __future__ import annotations

import re
from typing import Any

from services.simulator.people import Person
from services.simulator.utterances import MIME, Utterance
from shared.domain.enums import AliasKind, Direction, MessageKind
from shared.domain.items import MessageItem
from tests.contract.providers.voices import Voice

_FILES = frozenset({"image", "audio", "voice", "video", "document", "sticker"})
_KIND = {
    "voice": MessageKind.AUDIO,
    "button": MessageKind.INTERACTIVE,
    "list": MessageKind.INTERACTIVE,
    "unreaction": MessageKind.REACTION,
    "something_new": MessageKind.UNSUPPORTED,
}


def understood(item: MessageItem) -> dict[str, Any]:
    """The meaning of one item, without what is the provider's own (ids, URLs, hashes)."""
    content, found = item.content, dict[str, Any]()
    found["kind"] = item.kind
    found["from_us"] = item.direction is Direction.ECHO
    if item.forwarded:
        found["forwarded"] = True
    if item.reply_to_provider_message_id is not None:
        found["replies"] = True
    files = [one for one in (content.media, *content.attachments) if one is not None]
    texts = [text for text in (content.text, *(one.caption for one in files)) if text]
    if texts and item.kind is not MessageKind.ORDER:
        found["text"] = texts[0]
    if files:
        found["file"] = {"voice": files[0].voice} | ({"name": files[0].filename} if item.kind is MessageKind.DOCUMENT else {})
        if files[0].mime_type is not None:
            found["file"]["type"] = files[0].mime_type.split(";")[0]
    if content.location is not None:
        found["place"] = (content.location.latitude, content.location.longitude, content.location.name)
    if content.contacts:
        card = content.contacts[0]
        found["card"] = (card.name, tuple(sorted({re.sub(r"\D", "", phone) for phone in card.phones})))
    if content.choice is not None:
        found["choice"] = content.choice.id or content.choice.payload
        if content.choice.title is not None:
            found["text"] = content.choice.title
    if content.reaction is not None:
        found["reaction"] = content.reaction.emoji
    return found


def meant(what: Utterance, voice: Voice) -> dict[str, Any]:
    """The meaning of one utterance as this voice can carry it."""
    if voice.family == "mail":
        return _meant_mail(what)
    found: dict[str, Any] = {"kind": _KIND.get(what.kind) or MessageKind(what.kind), "from_us": what.from_us}
    if what.forwarded:
        found["forwarded"] = True
    if what.reply_to is not None:
        found["replies"] = True
    if what.kind in _FILES:
        found["file"] = {"voice": what.kind == "voice", "type": MIME[what.kind].split(";")[0]}
        found["file"] |= {"name": what.filename} if what.kind == "document" else {}
    if what.text and what.kind in ("text", "edit", "image", "video", "document", "button", "list"):
        found["text"] = what.text
    if what.kind == "location":
        found["place"] = (what.latitude, what.longitude, what.place)
    if what.kind == "contacts":
        found["card"] = (what.card_name, (what.card_phone,))
    if what.kind in ("button", "list"):
        found["choice"] = what.option_id
    if what.kind in ("reaction", "unreaction"):
        found["reaction"] = what.emoji if what.kind == "reaction" else None
    return _as_telegram(found, what) if voice.tipo == "telegram" else found


def _meant_mail(what: Utterance) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": MessageKind.EMAIL, "from_us": False, "text": what.text or "segue"}
    if what.reply_to is not None:
        found["replies"] = True
    if what.kind in _FILES:
        found["file"] = {"voice": False, "type": MIME[what.kind].split(";")[0]}
    return found


def _as_telegram(found: dict[str, Any], what: Utterance) -> dict[str, Any]:
    if what.kind == "button":
        found.pop("text")  # a callback tells its data and not the button's title
        found["replies"] = True  # and the message that it stood under
    return found


def aliases(who: Person, voice: Voice) -> set[tuple[AliasKind, str]]:
    """The names by which this voice gives a person."""
    if voice.family == "mail":
        return {(AliasKind.MAIL, who.mail)}
    if voice.tipo == "telegram":
        return {(AliasKind.USER, str(who.telegram_id))}
    if voice.tipo == "webchat":
        return {(AliasKind.USER, who.visitor)}
    phone = set() if who.hides_phone else {(AliasKind.PHONE, who.phone)}
    if voice.tipo == "whatsapp_official":
        parent = {(AliasKind.PARENT_BSUID, who.parent_bsuid)} if who.parent_bsuid else set()
        return phone | {(AliasKind.BSUID, who.bsuid)} | parent
    return phone | ({(AliasKind.LID, who.lid)} if who.hides_phone else set())
