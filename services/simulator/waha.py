"""WAHA (engine NOWEB): signed events, its own message ids and acknowledgement numbers, and its REST API.

Source: https://waha.devlike.pro/docs/how-to/events/ and https://waha.devlike.pro/docs/how-to/send-messages/
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from services.simulator import baileys
from services.simulator.faults import Fault
from services.simulator.people import Person, person
from services.simulator.stand_in import Account, Element, StandIn
from services.simulator.utterances import MIME, Receipt, Utterance
from services.simulator.wire import ApiCall, ApiReply, Post, reply

_ACKS = {"failed": -1, "sent": 1, "delivered": 2, "read": 3, "played": 4}
_ACK_NAMES = {-1: "ERROR", 0: "PENDING", 1: "SERVER", 2: "DEVICE", 3: "READ", 4: "PLAYED"}
_FILES = {"image": "image", "audio": "audio", "voice": "voice", "video": "video", "document": "document", "sticker": "sticker"}
SAYS = baileys.SAYS | {"edit", "revoke"}

# a short name → (HTTP status, document)
ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "unauthorized": (401, {"message": "Unauthorized", "statusCode": 401}),
    "no_session": (404, {"message": "Session not found", "error": "Not Found", "statusCode": 404}),
    "not_working": (422, {"error": "Session status is not as expected", "status": "SCAN_QR_CODE", "expected": ["WORKING"]}),
    "bad_request": (400, {"message": ["chatId should not be empty"], "error": "Bad Request", "statusCode": 400}),
    "internal": (500, {"message": "Internal server error", "statusCode": 500}),
}


class Waha(StandIn):
    """Accounts are sessions; `id` is the session's name, `secret` its HMAC key. `about["addressing"]`: `pn` or `lid`."""

    name = "waha"

    def create(self, **about: Any) -> Account:
        """A session that works."""
        number = len(self.accounts) + 1
        account = Account(
            id=about.pop("id", f"session-{number}"),
            callback_url=about.pop("callback_url", ""),
            secret=about.pop("secret", "simulated-waha-key"),
            about={
                "addressing": "pn",
                "api_key": "simulated-waha-api-key",
                "me": f"5511400002{number:02d}@c.us",
                "push_name": "Loja",
                "status": "WORKING",
                "receipts": ("sent", "delivered", "read"),
                **about,
            },
        )
        self.accounts[account.id] = account
        return account

    def say(self, account: str, who: Person, what: Utterance) -> str:
        """`message.any`, or the event of its own that a reaction, an edit or a deletion has."""
        bare = f"3EB0{self.next_id():016X}"
        told = self._message(account, who, what, bare)
        if what.kind in ("reaction", "unreaction"):
            emoji = what.emoji if what.kind == "reaction" else ""
            told = {
                name: told[name] for name in ("id", "timestamp", "from", "to", "fromMe", "participant", "source") if name in told
            }
            self.event(account, "message.reaction", **told, reaction={"text": emoji, "messageId": what.target})
        elif what.kind == "edit":
            self.event(account, "message.edited", **told, editedMessageId=what.target)
        elif what.kind == "revoke":
            after = {name: told[name] for name in ("id", "timestamp", "from", "to", "fromMe", "body") if name in told}
            self.event(account, "message.revoked", after=after, before=None, revokedMessageId=what.target)
        else:
            self.event(account, "message.any", **told)
        return str(told["id"])

    def _message(self, account: str, who: Person, what: Utterance, bare: str) -> dict[str, Any]:
        about = self.accounts[account].about
        jid = _as_waha(baileys.person_jid(who, about["addressing"]))
        chat = what.group or jid
        told: dict[str, Any] = {
            "id": f"{str(what.from_us).lower()}_{chat}_{bare}" + (f"_{jid}" if what.group else ""),
            "timestamp": self.world.clock.now_seconds,
            "from": about["me"] if what.from_us else chat,
            "to": chat if what.from_us else about["me"],
            "fromMe": what.from_us,
            "source": "app",
            "body": what.text if what.kind not in ("sticker", "audio", "voice", "location", "contacts", "something_new") else "",
            "hasMedia": what.kind in _FILES,
            "media": self._file(what, bare),
            "ack": 1,
            "ackName": "SERVER",
            "vCards": [baileys.vcard(what)] if what.kind == "contacts" else [],
        }
        if what.group:
            told["participant"] = jid
        if what.kind == "location":
            told["location"] = {"latitude": str(what.latitude), "longitude": str(what.longitude), "description": what.place}
        if what.reply_to:
            told["replyTo"] = {"id": what.reply_to, "participant": about["me"], "body": "Como posso ajudar?"}
        told["_data"] = self._raw(who, what, bare, about["addressing"])
        return told

    def _raw(self, who: Person, what: Utterance, bare: str, addressing: str) -> dict[str, Any]:
        kind = "text" if what.kind in ("edit", "revoke") else what.kind
        name, message = baileys.written(Utterance(**{**_fields(what), "kind": kind}), bare)
        context = baileys.context(what)
        if name == "conversation" and context is not None:
            message = {"extendedTextMessage": {"text": what.text, "contextInfo": context}}
        elif context is not None:
            message = {name: {**message[name], "contextInfo": context}}
        key = baileys.key(what, who, bare, addressing)
        return {"key": key, "messageTimestamp": self.world.clock.now_seconds, "pushName": who.name, "message": message}

    def _file(self, what: Utterance, bare: str) -> dict[str, Any] | None:
        if what.kind not in _FILES:
            return None
        name = what.filename if what.kind == "document" else None
        url = f"http://localhost:3000/api/files/{bare}.bin"
        return {"url": url, "mimetype": MIME[_FILES[what.kind]], "filename": name, "error": None}

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """`message.ack`, with WAHA's own numbers."""
        jid = _as_waha(baileys.person_jid(who, self.accounts[account].about["addressing"]))
        ack = _ACKS[what.status]
        message_id = what.message_id if "_" in what.message_id else f"true_{jid}_{what.message_id}"
        told = {"id": message_id, "from": jid, "participant": None, "fromMe": True, "ack": ack, "ackName": _ACK_NAMES[ack]}
        self.event(account, "message.ack", **told)

    def event(self, account: str, name: str, /, **values: Any) -> None:
        """Any event, by its name; `values` are its payload."""
        number = self.next_id()
        self.queue(account, (f"evt_{number:026d}", self.world.clock.now_ms, name, values), name)

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One event; id and time stand in headers, too, and are not signed there."""
        account = self.accounts[elements[0].account]
        event_id, made_ms, name, payload = elements[0].payload
        document = {
            "id": event_id,
            "timestamp": made_ms,
            "event": name,
            "session": account.id,
            "metadata": {},
            "me": {"id": account.about["me"], "pushName": "Loja"},
            "payload": payload,
            "engine": "NOWEB",
            "environment": {"version": "2026.7.1", "engine": "NOWEB", "tier": "PLUS", "browser": None},
        }
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return Post(
            url=account.callback_url,
            headers=(
                ("Content-Type", "application/json"),
                ("X-Webhook-Request-Id", f"req-{event_id}"),
                ("X-Webhook-Timestamp", str(now_ms)),
                ("X-Webhook-Hmac", hmac.new(account.secret.encode(), body, hashlib.sha512).hexdigest()),
                ("X-Webhook-Hmac-Algorithm", "sha512"),
            ),
            body=body,
        )

    def operation_of(self, call: ApiCall) -> str:
        """`sendText`, `sessions`, `sendSeen`, …."""
        parts = call.path.strip("/").split("/")
        if len(parts) > 2 and parts[2] in ("chats", "presence"):
            return parts[2]
        return parts[min(1, len(parts) - 1)]

    def fault_reply(self, fault: Fault, call: ApiCall) -> ApiReply:
        """`code` is a name in ERRORS."""
        status, document = ERRORS[fault.code]
        return reply(status, document)

    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """Key first, session second."""
        if operation == "ping":
            return reply(200, {"message": "pong"})
        if call.headers.get("x-api-key") not in {one.about["api_key"] for one in self.accounts.values()}:
            return self.fault_reply(Fault(code="unauthorized"), call)
        order = call.document
        parts = call.path.strip("/").split("/")
        named = (
            parts[2] if operation == "sessions" and len(parts) > 2 else parts[1] if operation in ("presence", "chats") else None
        )
        account = self.accounts.get(str(named or order.get("session", "")))
        if account is None:
            return self.fault_reply(Fault(code="no_session"), call)
        if operation == "sessions":
            return self._session(account, call)
        if account.about["status"] != "WORKING":
            return self.fault_reply(Fault(code="not_working"), call)
        if (operation.startswith("send") and operation != "sendSeen") or operation == "reaction":
            return self._accept(account, {"chatId": str(order.get("messageId", "")).split("_")[1:2], **order})
        return reply(201, {})

    def _accept(self, account: Account, order: dict[str, Any]) -> ApiReply:
        chat = order.get("chatId")
        if not chat:
            return self.fault_reply(Fault(code="bad_request"), ApiCall(method="POST", path=""))
        what, who = Utterance(kind="text", text=str(order.get("text", "")), from_us=True), person(999)
        bare = f"3EB0{self.next_id():016X}"
        told = {**self._message(account.id, who, what, bare), "id": f"true_{chat}_{bare}", "to": chat, "source": "api", "ack": 0}
        self.event(account.id, "message.any", **told)
        for step, status in enumerate(account.about["receipts"]):
            receipt = Receipt(status=status, message_id=told["id"])
            self.world.later(1.0 + 2 * step, partial(self.tell, account.id, who, receipt))
        return reply(201, told)

    def _session(self, account: Account, call: ApiCall) -> ApiReply:
        if call.method in ("PUT", "POST"):
            hooks = call.document.get("config", {}).get("webhooks", [])
            if hooks:
                account.callback_url = hooks[0].get("url", "")
                account.secret = (hooks[0].get("hmac") or {}).get("key") or account.secret
                account.about["config"] = call.document["config"]
        config = account.about.get("config", {"webhooks": [{"url": account.callback_url, "events": []}]})
        me = {"id": account.about["me"], "pushName": account.about["push_name"]} if account.about["status"] == "WORKING" else None
        return reply(200, {"name": account.id, "status": account.about["status"], "config": config, "me": me})


def _as_waha(jid: str) -> str:
    return jid.replace("@s.whatsapp.net", "@c.us")


def _fields(what: Utterance) -> dict[str, Any]:
    return {name: getattr(what, name) for name in Utterance.__slots__}
