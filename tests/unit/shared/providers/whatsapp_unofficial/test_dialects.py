"""One message, told in three dialects, is one and the same normalised object, but for what differs by nature."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.domain.items import AnyItem, MessageItem, ReceiptItem
from shared.providers.whatsapp_unofficial import samples
from shared.providers.whatsapp_unofficial.normalise import normalise

GROUP = "120363000000000001"
PN, CUS = f"{samples.SENDER}@s.whatsapp.net", f"{samples.SENDER}@c.us"
LID = f"{samples.SENDER_LID}@lid"
Telling = Mapping[str, Any]


def read(dialect: str, body: Telling) -> AnyItem:
    (item,) = normalise(samples.encode(body), {}, {"dialect": dialect})
    return item


def told(kind: str) -> dict[str, Telling]:
    """The same event in each dialect, written from each one's documentation."""
    return {"evolution": _EVOLUTION[kind], "waha": _WAHA[kind], "zapi": _ZAPI[kind]}


def _key(**more: Any) -> dict[str, Any]:
    return {"remoteJid": PN, "remoteJidAlt": LID, "fromMe": False, "id": "M1", **more}


def _evolution_edit() -> Telling:
    note = {"type": "MESSAGE_EDIT", "editedMessage": {"conversation": "corrigido"}, "timestampMs": "1790000000000"}
    return samples.evolution("messages.edited", {"key": _key(id="T1"), "pushName": samples.SENDER_NAME, **note})


def _in_group_evolution() -> Telling:
    body = samples.evolution_message("M1", {"conversation": "oi"}, "conversation")
    key = {"remoteJid": f"{GROUP}@g.us", "fromMe": False, "id": "M1", "participant": LID, "participantAlt": PN}
    return {**body, "data": {**body["data"], "key": key}}


def _waha_with(message_id: str, body: str = "", **more: Any) -> Telling:
    return samples.waha_message("M1", body, **{"id": message_id, **more})


def _evolution_receipt(status: Any, **more: Any) -> Telling:
    data = {"keyId": "OUT1", "remoteJid": PN, "fromMe": True, "participant": PN, "status": status, **more}
    return samples.evolution("messages.update", data)


def _waha_receipt(ack: int, name: str | None = None) -> Telling:
    payload = {"id": f"true_{CUS}_OUT1", "from": CUS, "participant": None, "fromMe": True, "ack": ack}
    return samples.waha("message.ack", payload | ({} if name is None else {"ackName": name}))


def _zapi_receipt(status: str) -> Telling:
    return samples.zapi("MessageStatusCallback", status=status, ids=["OUT1"], phone=samples.SENDER, isGroup=False)


_FILE = {"mimetype": "image/jpeg", "caption": "a nota"}
_PLACE = {"name": "Loja", "address": "Rua Exemplo, 1"}
_EVOLUTION: dict[str, Telling] = {
    "text": samples.evolution_message("M1", {"conversation": "Olá 😀"}, "conversation"),
    "image": samples.evolution_message("M1", {"imageMessage": _FILE}, "imageMessage"),
    "location": samples.evolution_message(
        "M1", {"locationMessage": {"degreesLatitude": -23.5, "degreesLongitude": -46.6, **_PLACE}}, "locationMessage"
    ),
    "reply": samples.evolution_message("M1", {"conversation": "sim"}, "conversation", contextInfo={"stanzaId": "T1"}),
    "reaction": samples.evolution_message("M1", {"reactionMessage": {"key": {"id": "T1"}, "text": "👍"}}, "reactionMessage"),
    "reaction taken away": samples.evolution_message(
        "M1", {"reactionMessage": {"key": {"id": "T1"}, "text": ""}}, "reactionMessage"
    ),
    "edit": _evolution_edit(),
    "revoke": samples.evolution("messages.delete", _key(id="T1")),
    "group": _in_group_evolution(),
    "button": samples.evolution_message(
        "M1", {"buttonsResponseMessage": {"selectedButtonId": "b1", "selectedDisplayText": "Sim"}}, "buttonsResponseMessage"
    ),
    "sent": _evolution_receipt("SERVER_ACK"),
    "delivered": _evolution_receipt("DELIVERY_ACK"),
    "read": _evolution_receipt(4),
    "played": _evolution_receipt("PLAYED"),
    "own send": samples.evolution("send.message", {"key": _key(id="OUT1", fromMe=True), "messageTimestamp": samples.TIMESTAMP}),
}
_WAHA: dict[str, Telling] = {
    "text": samples.waha_message("M1", "Olá 😀"),
    "image": samples.waha_message(
        "M1", "a nota", hasMedia=True, media={"url": "http://localhost:3000/api/files/1.jpg", "mimetype": "image/jpeg"}
    ),
    "location": samples.waha_message("M1", "", location={"latitude": "-23.5", "longitude": "-46.6", **_PLACE}),
    "reply": samples.waha_message("M1", "sim", replyTo={"id": f"true_{CUS}_T1"}),
    "reaction": samples.waha_message("M1", "", "message.reaction", reaction={"text": "👍", "messageId": f"true_{CUS}_T1"}),
    "reaction taken away": samples.waha_message(
        "M1", "", "message.reaction", reaction={"text": "", "messageId": f"true_{CUS}_T1"}
    ),
    "edit": samples.waha_message("E1", "corrigido", "message.edited", editedMessageId="T1"),
    "revoke": samples.waha(
        "message.revoked", {"after": samples.waha_message("E2", "")["payload"], "before": None, "revokedMessageId": "T1"}
    ),
    "group": _waha_with(
        f"false_{GROUP}@g.us_M1_{CUS}",
        "oi",
        **{
            "from": f"{GROUP}@g.us",
            "participant": CUS,
            "_data": {"key": {"participantAlt": LID}, "pushName": samples.SENDER_NAME},
        },
    ),
    "button": samples.waha_message(
        "M1",
        "Sim",
        _data={
            "type": "buttons_response",
            "selectedButtonId": "b1",
            "notifyName": samples.SENDER_NAME,
            "key": {"remoteJidAlt": LID},
        },
    ),
    "sent": _waha_receipt(1, "SERVER"),
    "delivered": _waha_receipt(2),
    "read": _waha_receipt(3, "READ"),
    "played": _waha_receipt(4),
    "own send": _waha_with(f"true_{CUS}_OUT1", "oi", fromMe=True, source="api"),
}
_ZAPI: dict[str, Telling] = {
    "text": samples.zapi_message("M1", text={"message": "Olá 😀"}),
    "image": samples.zapi_message(
        "M1", image={"imageUrl": "https://files.example/1.jpg", "mimeType": "image/jpeg", "caption": "a nota"}
    ),
    "location": samples.zapi_message("M1", location={"latitude": -23.5, "longitude": -46.6, "url": "", **_PLACE}),
    "reply": samples.zapi_message("M1", text={"message": "sim"}, referenceMessageId="T1"),
    "reaction": samples.zapi_message("M1", reaction={"value": "👍", "referencedMessage": {"messageId": "T1"}}),
    "reaction taken away": samples.zapi_message("M1", reaction={"value": "", "referencedMessage": {"messageId": "T1"}}),
    "edit": samples.zapi_message("T1", isEdit=True, editMessageId="E1", text={"message": "corrigido"}),
    "revoke": samples.zapi_message("T1", notification="REVOKE"),
    "group": samples.zapi_message(
        "M1",
        isGroup=True,
        phone=f"{GROUP}-group",
        chatName=None,
        chatLid=None,
        participantPhone=samples.SENDER,
        participantLid=LID,
        text={"message": "oi"},
    ),
    "button": samples.zapi_message("M1", buttonsResponseMessage={"buttonId": "b1", "message": "Sim"}),
    "sent": _zapi_receipt("SENT"),
    "delivered": _zapi_receipt("RECEIVED"),
    "read": _zapi_receipt("READ"),
    "played": _zapi_receipt("PLAYED"),
    "own send": samples.zapi_message("OUT1", fromMe=True, fromApi=True, text={"message": "oi"}),
}


def without_nature(item: AnyItem, kind: str) -> AnyItem:
    """The item without its place, and without what one dialect cannot tell: where the bytes lie, whose id an edit has, …."""
    item = dataclasses.replace(item, path="")
    if isinstance(item, ReceiptItem):
        return dataclasses.replace(item, provider_time_ms=None)  # only Z-API tells the moment
    assert isinstance(item, MessageItem)
    if kind == "edit":
        item = dataclasses.replace(item, provider_message_id="", dedup_key="")
    if kind == "revoke":  # Evolution gives the bare key: no time and no name
        item = dataclasses.replace(item, provider_time_ms=None, peer=dataclasses.replace(item.peer, name=None))
    media = item.content.media
    if media is not None:
        bare = dataclasses.replace(media, url=None, provider_media_id=None, raw_part=None)
        item = dataclasses.replace(item, content=dataclasses.replace(item.content, media=bare))
    return item


@pytest.mark.req(66)
@pytest.mark.parametrize("kind", _EVOLUTION)
def test_the_same_in_every_dialect(kind: str) -> None:
    evolution, waha, zapi = (without_nature(read(dialect, body), kind) for dialect, body in told(kind).items())
    assert evolution == waha
    assert waha == zapi


def test_the_kinds_are_told_by_all() -> None:
    assert set(_EVOLUTION) == set(_WAHA) == set(_ZAPI)


@pytest.mark.parametrize("dialect", ["evolution", "waha", "zapi"])
def test_a_changed_text_is_seen(dialect: str) -> None:
    body = json.loads(json.dumps(told("text")[dialect]).replace("Ol\\u00e1", "Ola"))
    assert read(dialect, body) != read(dialect, told("text")[dialect])
