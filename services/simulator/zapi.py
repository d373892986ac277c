"""Z-API: callbacks without a signature, several receipts in one of them, and its queue-like REST API.

Source: https://developer.z-api.io/webhooks/on-message-received-examples and …/webhooks/on-whatsapp-message-status-changes
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from services.simulator import baileys
from services.simulator.faults import Fault
from services.simulator.people import Person, person
from services.simulator.stand_in import Account, Element, StandIn
from services.simulator.utterances import MIME, Receipt, Utterance
from services.simulator.wire import ApiCall, ApiReply, Post, reply

_PATH = re.compile(r"^/instances/(?P<instance>[^/]+)/token/(?P<token>[^/]+)/(?P<operation>[^/?]+)")
_STATES = {"sent": "SENT", "delivered": "RECEIVED", "read": "READ", "played": "PLAYED"}
_Writer = Callable[[Utterance, str], dict[str, Any]]


def _file(kind: str, url_name: str, **more: Any) -> _Writer:
    name = "audio" if kind == "voice" else kind

    def write(what: Utterance, message_id: str) -> dict[str, Any]:
        told = {url_name: f"https://files.z-api.invalid/{message_id}", "mimeType": MIME[kind], **more}
        if kind in ("image", "video", "document"):
            told["caption"] = what.text
        if kind == "document":
            told |= {"fileName": what.filename, "title": what.filename, "pageCount": 1}
        return {name: told}

    return write


def _reaction(what: Utterance, _: str) -> dict[str, Any]:
    target = {"messageId": what.target, "fromMe": True, "phone": "5511400003001", "participant": None}
    return {"reaction": {"value": what.emoji if what.kind == "reaction" else "", "time": 1, "referencedMessage": target}}


def _place(what: Utterance, _: str) -> dict[str, Any]:
    return {
        "location": {
            "latitude": what.latitude,
            "longitude": what.longitude,
            "name": what.place,
            "address": what.address,
            "url": "",
        }
    }


_WRITERS: dict[str, _Writer] = {
    "text": lambda what, _: {"text": {"message": what.text}},
    "image": _file("image", "imageUrl", width=1280, height=960),
    "audio": _file("audio", "audioUrl", ptt=False, seconds=12),
    "voice": _file("voice", "audioUrl", ptt=True, seconds=4),
    "video": _file("video", "videoUrl", seconds=9),
    "document": _file("document", "documentUrl"),
    "sticker": _file("sticker", "stickerUrl"),
    "location": _place,
    "contacts": lambda what, _: {
        "contact": {"displayName": what.card_name, "vCard": baileys.vcard(what), "phones": [what.card_phone]}
    },
    "button": lambda what, _: {"buttonsResponseMessage": {"buttonId": what.option_id, "message": what.text}},
    "list": lambda what, _: {"listResponseMessage": {"message": what.text, "title": what.text, "selectedRowId": what.option_id}},
    "reaction": _reaction,
    "unreaction": _reaction,
    "edit": lambda what, _: {"text": {"message": what.text}},
    "something_new": lambda *_: {"hologram": {"depth": 3}},
}
SAYS = frozenset(_WRITERS)

# a short name → (HTTP status, document)
ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "bad_token": (400, {"error": "Instance not found"}),
    "client_token": (403, {"error": "Client-Token is required"}),
    "method": (405, {"error": "Method Not Allowed"}),
    "content_type": (415, {"error": "Unsupported Media Type"}),
    "internal": (500, {"error": "Internal Server Error"}),
}


class Zapi(StandIn):
    """Accounts are instances. Nothing is signed: the proof is in the URL, or the instance's token in `z-api-token`."""

    name = "zapi"
    hosts = ("api.z-api.io",)
    max_batch = 50

    def create(self, **about: Any) -> Account:
        """A connected instance; `callback_url` carries the secret that it was given."""
        number = len(self.accounts) + 1
        account = Account(
            id=about.pop("id", f"3E00000000000000000000000000{number:04X}"),
            callback_url=about.pop("callback_url", ""),
            secret=about.pop("secret", "simulated-zapi-token"),
            about={
                "token": f"TOKEN{number:04d}",
                "client_token": "simulated-client-token",
                "phone": f"5511400003{number:02d}",
                "connected": True,
                "profile_name": "Loja",
                "addressing": "pn",
                "receipts": ("sent", "delivered", "read"),
                **about,
            },
        )
        self.accounts[account.id] = account
        return account

    def say(self, account: str, who: Person, what: Utterance) -> str:
        """`ReceivedCallback`, also for what was written on our own phone."""
        message_id = what.target if what.kind == "edit" and what.target else f"3EB0{self.next_id():016X}"
        about = self.accounts[account].about
        hidden = who.hides_phone
        person_address = f"{who.lid}@lid" if hidden else who.phone
        told: dict[str, Any] = {
            "isStatusReply": False,
            "chatLid": f"{who.lid}@lid" if hidden or about["addressing"] == "lid" else None,
            "connectedPhone": about["phone"],
            "waitingMessage": False,
            "isEdit": what.kind == "edit",
            "isGroup": what.group is not None,
            "isNewsletter": False,
            "instanceId": account,
            "messageId": message_id,
            "phone": what.group or person_address,
            "fromMe": what.from_us,
            "fromApi": False,
            "momment": self.world.clock.now_ms,
            "status": "SENT" if what.from_us else "RECEIVED",
            "chatName": "Turma" if what.group else who.name,
            "senderName": "Loja" if what.from_us else who.name,
            "senderPhoto": None,
            "photo": None,
            "broadcast": False,
            "participantPhone": person_address if what.group else None,
            "participantLid": f"{who.lid}@lid" if what.group and hidden else None,
            "forwarded": what.forwarded,
            "type": "ReceivedCallback",
            **_WRITERS[what.kind](what, message_id),
        }
        if what.reply_to:
            told["referenceMessageId"] = what.reply_to
        self.queue(account, told, what.kind)
        return message_id

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """`MessageStatusCallback`; a failure comes as `DeliveryCallback` with `error`."""
        if what.status == "failed":
            told = {"phone": who.phone, "zaapId": "Z1", "messageId": what.message_id, "error": "Phone number does not exist"}
            self.event(account, "DeliveryCallback", **told)
            return
        values = {"status": _STATES[what.status], "ids": [what.message_id], "phone": who.phone}
        self.event(account, "MessageStatusCallback", **values, phoneDevice=0, isGroup=False)

    def event(self, account: str, name: str, /, **values: Any) -> None:
        """Any callback, by its type."""
        self.queue(account, {"instanceId": account, "momment": self.world.clock.now_ms, "type": name, **values}, name)

    def _groups(self, elements: Any) -> list[list[Element]]:
        """Receipts of the same status and person may come as one callback; nothing else is ever joined."""
        groups: list[list[Element]] = []
        for element in elements:
            last = groups[-1] if groups else None
            if last is not None and len(last) < self.disturbance.batch and _same_receipt(last[0], element):
                last.append(element)
            else:
                groups.append([element])
        return groups

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One callback."""
        account = self.accounts[elements[0].account]
        told = dict(elements[0].payload)
        if len(elements) > 1:
            told["ids"] = [message_id for element in elements for message_id in element.payload["ids"]]
        return Post(
            url=account.callback_url,
            headers=(("Content-Type", "application/json"), ("z-api-token", account.secret)),
            body=json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(),
        )

    def operation_of(self, call: ApiCall) -> str:
        """`send-text`, `status`, `update-webhook-received`, …."""
        match = _PATH.match(call.path)
        return match["operation"] if match else ""

    def fault_reply(self, fault: Fault, call: ApiCall) -> ApiReply:
        """`code` is a name in ERRORS."""
        status, document = ERRORS[fault.code]
        return reply(status, document)

    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """One operation of one instance."""
        match = _PATH.match(call.path)
        account = self.accounts.get(match["instance"]) if match else None
        if match is None or account is None or account.about["token"] != match["token"]:
            return self.fault_reply(Fault(code="bad_token"), call)
        if call.headers.get("client-token") != account.about["client_token"]:
            return self.fault_reply(Fault(code="client_token"), call)
        if operation.startswith("update-") and call.method == "PUT":
            account.callback_url = call.document.get("value", "")
            return reply(200, {"value": True})
        if operation == "status":
            return reply(200, self._status(account))
        if operation == "device":
            return reply(200, self._device(account))
        if operation.startswith("send-") and call.method != "POST":
            return self.fault_reply(Fault(code="method"), call)
        return self._accept(account) if operation.startswith("send-") else reply(200, {"value": True})

    def _accept(self, account: Account) -> ApiReply:
        message_id, who = f"3EB0{self.next_id():016X}", person(999)
        for step, status in enumerate(account.about["receipts"]):
            receipt = Receipt(status=status, message_id=message_id)
            self.world.later(1.0 + 2 * step, partial(self.tell, account.id, who, receipt))
        return reply(200, {"zaapId": f"Z{self.next_id()}", "messageId": message_id, "id": message_id})

    def _status(self, account: Account) -> dict[str, Any]:
        connected = account.about["connected"]
        said = "You are already connected." if connected else "You are not connected."
        return {"connected": connected, "smartphoneConnected": connected, "error": said}

    def _device(self, account: Account) -> dict[str, Any]:
        about = account.about
        device = {"sessionName": "Z-API", "device_model": "Z-API"}
        return {"phone": about["phone"], "name": about["profile_name"], "about": "", "device": device, "isBusiness": True}


def _same_receipt(one: Element, other: Element) -> bool:
    names = ("type", "status", "phone", "instanceId")
    return "ids" in one.payload and [one.payload.get(n) for n in names] == [other.payload.get(n) for n in names]
