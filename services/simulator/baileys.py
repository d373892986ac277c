"""WhatsApp's own message objects as linked-device servers hand them on (Baileys' protocol buffers as JSON).

Source: https://github.com/WhiskeySockets/Baileys/blob/master/WAProto/WAProto.proto and Evolution API 2.3.6's samples.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from services.simulator.people import Person
from services.simulator.utterances import MIME, Utterance

Written = tuple[str, dict[str, Any]]  # messageType and `message`
_Writer = Callable[[Utterance, str], Written]


def person_jid(who: Person, addressing: str) -> str:
    """Under which address the person's chat runs: the phone's, or the hidden one."""
    hidden = who.hides_phone or addressing == "lid"
    return f"{who.lid}@lid" if hidden else f"{who.phone}@s.whatsapp.net"


def key(what: Utterance, who: Person, message_id: str, addressing: str) -> dict[str, Any]:
    """A message's key. The other address stands beside the hidden one if WhatsApp knows it."""
    jid = person_jid(who, addressing)
    told: dict[str, Any] = {"remoteJid": what.group or jid, "fromMe": what.from_us, "id": message_id}
    place = "participant" if what.group else "remoteJid"
    if what.group:
        told["participant"] = jid
    if jid.endswith("@lid"):
        told["addressingMode"] = "lid"
        if not who.hides_phone:
            told[f"{place}Alt"] = f"{who.phone}@s.whatsapp.net"
    return told


def _file(kind: str, what: Utterance, message_id: str, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(message_id.encode()).digest()
    return {
        "url": f"https://mmg.whatsapp.net/v/t62/{message_id}.enc",
        "mimetype": MIME[kind],
        "fileSha256": base64.b64encode(digest).decode(),
        "fileLength": "48213",
        "mediaKey": base64.b64encode(digest[::-1]).decode(),
        "directPath": f"/v/t62/{message_id}.enc",
        **({"caption": what.text} if what.text and kind in ("image", "video", "document") else {}),
        **more,
    }


def _media(name: str, kind: str, **more: Any) -> _Writer:
    def write(what: Utterance, message_id: str) -> Written:
        extra = {"fileName": what.filename, **more} if kind == "document" else more
        return name, {name: _file(kind, what, message_id, **extra)}

    return write


def vcard(what: Utterance) -> str:
    """The card as WhatsApp writes it."""
    number = what.card_phone
    lines = ("BEGIN:VCARD", "VERSION:3.0", f"N:;{what.card_name};;;", f"FN:{what.card_name}")
    return "\n".join((*lines, f"item1.TEL;waid={number}:+{number}", "item1.X-ABLabel:Celular", "END:VCARD"))


def _place(what: Utterance, _: str) -> Written:
    place = {"degreesLatitude": what.latitude, "degreesLongitude": what.longitude, "name": what.place, "address": what.address}
    return "locationMessage", {"locationMessage": place}


def _card(what: Utterance, _: str) -> Written:
    return "contactMessage", {"contactMessage": {"displayName": what.card_name, "vcard": vcard(what)}}


def _button(what: Utterance, _: str) -> Written:
    told = {"selectedButtonId": what.option_id, "selectedDisplayText": what.text, "type": "DISPLAY_TEXT"}
    return "buttonsResponseMessage", {"buttonsResponseMessage": told}


def _list(what: Utterance, _: str) -> Written:
    told = {"title": what.text, "listType": "SINGLE_SELECT", "singleSelectReply": {"selectedRowId": what.option_id}}
    return "listResponseMessage", {"listResponseMessage": told}


def _reaction(what: Utterance, _: str) -> Written:
    target = {"remoteJid": "5511900000001@s.whatsapp.net", "fromMe": True, "id": what.target}
    emoji = what.emoji if what.kind == "reaction" else ""
    return "reactionMessage", {"reactionMessage": {"key": target, "text": emoji, "senderTimestampMs": "1790000000000"}}


def _order(what: Utterance, _: str) -> Written:
    told = {"orderId": "4001", "itemCount": 2, "status": "INQUIRY", "surface": "CATALOG", "message": what.text}
    return "orderMessage", {"orderMessage": told}


_WRITERS: dict[str, _Writer] = {
    "text": lambda what, _: ("conversation", {"conversation": what.text}),
    "image": _media("imageMessage", "image", height=960, width=1280),
    "audio": _media("audioMessage", "audio", seconds=12, ptt=False),
    "voice": _media("audioMessage", "voice", seconds=4, ptt=True),
    "video": _media("videoMessage", "video", seconds=9),
    "document": _media("documentMessage", "document", pageCount=1),
    "sticker": _media("stickerMessage", "sticker", isAnimated=False),
    "location": _place,
    "contacts": _card,
    "button": _button,
    "list": _list,
    "reaction": _reaction,
    "unreaction": _reaction,
    "order": _order,
    "something_new": lambda *_: ("eventMessage", {"eventMessage": {"name": "Festa", "isCanceled": False}}),
}
SAYS = frozenset(_WRITERS)


def written(what: Utterance, message_id: str) -> Written:
    """Type and content of one message; context stands inside the content, as the protocol has it."""
    kind, message = _WRITERS[what.kind](what, message_id)
    return kind, message


def context(what: Utterance) -> dict[str, Any] | None:
    """`contextInfo` of an answer or a forwarded message."""
    told: dict[str, Any] = {}
    if what.reply_to:
        told |= {"stanzaId": what.reply_to, "participant": "551140000001@s.whatsapp.net"}
        told |= {"quotedMessage": {"conversation": "Como posso ajudar?"}}
    if what.forwarded:
        told |= {"isForwarded": True, "forwardingScore": 1}
    return told or None
