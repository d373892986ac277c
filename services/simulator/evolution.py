"""Evolution API v2.3.6: one event in a POST, proven by a static header or a short JWT, and its REST API.

Source: https://github.com/EvolutionAPI/evolution-api (tag 2.3.6: webhook.controller.ts, whatsapp.baileys.service.ts).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import unquote

from services.simulator import baileys
from services.simulator.faults import Fault
from services.simulator.people import Person, person
from services.simulator.stand_in import Account, Element, StandIn
from services.simulator.utterances import Receipt, Utterance
from services.simulator.wire import ApiCall, ApiReply, Post, reply

_STATES = {"sent": "SERVER_ACK", "delivered": "DELIVERY_ACK", "read": "READ", "played": "PLAYED", "failed": "ERROR"}
SAYS = baileys.SAYS | {"edit", "revoke"}
_WRONG_ZONE = timedelta(hours=3)  # date_time ends in Z and is local time

# a short name → (HTTP status, error, message)
ERRORS: dict[str, tuple[int, str, Any]] = {
    "unknown_instance": (404, "Not Found", ['The "x" instance does not exist']),
    "unauthorized": (401, "Unauthorized", "Unauthorized"),
    "name_in_use": (403, "Forbidden", ['This name "x" is already in use.']),
    "no_number": (400, "Bad Request", [{"exists": False, "jid": "5511900000009@s.whatsapp.net", "number": "5511900000009"}]),
    "schema": (400, "Bad Request", [['instance requires property "text"']]),
    "closed": (400, "Bad Request", ["Error: Connection Closed"]),
    "timed_out": (400, "Bad Request", ["Error: Timed Out"]),
    "overlimit": (400, "Bad Request", ["Error: rate-overlimit"]),
    "not_found": (400, "Bad Request", ["Message not found"]),
    "internal": (500, "Internal Server Error", ["Internal server error"]),
}


class Evolution(StandIn):
    """Accounts are instances; `id` is the instance's name, `secret` what proves its webhooks.

    `about["auth"]`: `header` (X-Channel-Secret), or `jwt` (HS256 over ten minutes, made once per delivery).
    `about["addressing"]`: `pn` or `lid`.
    """

    name = "evolution"

    def create(self, **about: Any) -> Account:
        """An instance with its own token."""
        number = len(self.accounts) + 1
        account = Account(
            id=about.pop("id", f"loja-{number}"),
            callback_url=about.pop("callback_url", ""),
            secret=about.pop("secret", "simulated-evolution-secret"),
            about={
                "auth": "header",
                "addressing": "pn",
                "token": f"{number:08X}-SIMULATED-INSTANCE-TOKEN",
                "wuid": f"5511400001{number:02d}@s.whatsapp.net",
                "profile_name": "Loja",
                "state": "open",
                "events": [],
                "receipts": ("sent", "delivered", "read"),
                **about,
            },
        )
        self.accounts[account.id] = account
        return account

    def say(self, account: str, who: Person, what: Utterance) -> str:
        """`messages.upsert`, or the event of its own that an edit or a deletion has."""
        about, message_id = self.accounts[account].about, f"3EB0{self.next_id():016X}"
        addressing = about["addressing"]
        if what.kind == "revoke":
            self.event(account, "messages.delete", **baileys.key(what, who, what.target or "", addressing))
        elif what.kind == "edit":
            key = baileys.key(what, who, what.target or "", addressing)
            told = {"key": key, "type": "MESSAGE_EDIT", "editedMessage": {"conversation": what.text}}
            self.event(account, "messages.edited", **told, timestampMs=str(self.world.clock.now_ms))
        else:
            self.event(account, "messages.upsert", **self._message(account, who, what, message_id))
        return message_id

    def _message(self, account: str, who: Person, what: Utterance, message_id: str) -> dict[str, Any]:
        kind, message = baileys.written(what, message_id)
        told = {
            "key": baileys.key(what, who, message_id, self.accounts[account].about["addressing"]),
            "pushName": "Você" if what.from_us else who.name,
            "status": "SERVER_ACK" if what.from_us else "DELIVERY_ACK",
            "message": message,
            "messageType": kind,
            "messageTimestamp": self.world.clock.now_seconds,
            "instanceId": "1f0c0000-0000-4000-8000-000000000001",
            "source": "android",
        }
        context = baileys.context(what)
        return told if context is None else {**told, "contextInfo": context}

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """`messages.update`; Evolution gives no error code."""
        jid = baileys.person_jid(who, self.accounts[account].about["addressing"])
        told = {"keyId": what.message_id, "remoteJid": jid, "fromMe": True, "participant": jid}
        self.event(account, "messages.update", **told, status=_STATES[what.status], instanceId="1f0c")

    def event(self, account: str, name: str, /, **values: Any) -> None:
        """Any event, by its name; `values` are its data."""
        self.queue(account, (name, values, self.world.clock.now_ms), name)

    def connection(self, account: str, state: str, reason: int = 200) -> None:
        """The session opens or closes; 401, 402, 403 and 406 mean that a person must scan a code again."""
        self.accounts[account].about["state"] = state
        self.event(account, "connection.update", instance=account, state=state, statusReason=reason)

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One event, with the instance's API key inside, as Evolution does it."""
        account = self.accounts[elements[0].account]
        name, data, made_ms = elements[0].payload
        local = datetime.fromtimestamp(made_ms / 1000, UTC) - _WRONG_ZONE
        document = {
            "event": name,
            "instance": account.id,
            "data": data,
            "destination": account.callback_url,
            "date_time": local.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "sender": account.about["wuid"],
            "server_url": "http://evolution.invalid",
            "apikey": account.about["token"],
        }
        return Post(
            url=account.callback_url,
            headers=(("Content-Type", "application/json"), ("User-Agent", "axios/1.7.9"), self._proof(account, made_ms)),
            body=json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(),
        )

    def _proof(self, account: Account, made_ms: int) -> tuple[str, str]:
        if account.about["auth"] == "jwt":
            issued = made_ms // 1000  # once per delivery: its repeats carry the same token, also after its end
            claims = {"iat": issued, "exp": issued + 600, "app": "evolution", "action": "webhook"}
            return "Authorization", f"Bearer {jwt(account.secret, claims)}"
        return "X-Channel-Secret", account.secret

    def operation_of(self, call: ApiCall) -> str:
        """`sendText`, `connectionState`, …: the second part of the path."""
        parts = call.path.strip("/").split("/")
        return parts[1] if len(parts) > 1 else parts[0]

    def fault_reply(self, fault: Fault, call: ApiCall) -> ApiReply:
        """`code` is a name in ERRORS."""
        return error(fault.code)

    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """Instance first, key second: the order in which Evolution looks."""
        if operation == "fetchInstances":
            return self._instances(call)
        account = self.accounts.get(unquote(call.path.strip("/").split("/")[-1]))
        if account is None:
            return error("unknown_instance")
        if call.headers.get("apikey") != account.about["token"]:
            return error("unauthorized")
        if operation.startswith("send") and operation != "sendPresence":
            return self._accept(account, call.document)
        if operation == "set":
            return self._set_webhook(account, call.document.get("webhook", {}))
        served: dict[str, Any] = {
            "connectionState": {"instance": {"instanceName": account.id, "state": account.about["state"]}},
            "connect": {"pairingCode": None, "code": "2@simulated", "base64": "data:image/png;base64,AA==", "count": 1},
            "find": {"url": account.callback_url, "enabled": bool(account.callback_url), "events": account.about["events"]},
            "markMessageAsRead": {"message": "Read messages", "read": "success"},
            "sendPresence": {"presence": "composing"},
            "updateMessage": {"key": call.document.get("key"), "status": "PENDING"},
            "deleteMessageForEveryone": {"key": {"id": call.document.get("id")}, "status": "PENDING"},
            "whatsappNumbers": [{"exists": True, "number": number} for number in call.document.get("numbers", [])],
        }
        status = 201 if operation in ("markMessageAsRead", "sendPresence", "deleteMessageForEveryone") else 200
        return reply(status, served[operation]) if operation in served else error("not_found")

    def _accept(self, account: Account, order: dict[str, Any]) -> ApiReply:
        number = str(order.get("number") or order.get("key", {}).get("remoteJid", ""))
        if not number:
            return error("schema")
        if account.about["state"] != "open":
            return error("closed")
        what = Utterance(kind="text", text=str(order.get("text", "")), from_us=True)
        message_id, who = f"3EB0{self.next_id():016X}", person(999)
        told = self._message(account.id, who, what, message_id) | {"status": "PENDING"}
        self.event(account.id, "send.message", **told)
        for step, status in enumerate(account.about["receipts"]):
            receipt = Receipt(status=status, message_id=message_id)
            self.world.later(1.0 + 2 * step, partial(self.tell, account.id, who, receipt))
        return reply(201, told)

    def _set_webhook(self, account: Account, asked: dict[str, Any]) -> ApiReply:
        account.callback_url = asked.get("url", "") if asked.get("enabled", True) else ""
        account.about["events"] = asked.get("events", [])
        headers = asked.get("headers", {})
        account.about["auth"] = "jwt" if "jwt_key" in headers else "header"
        account.secret = headers.get("jwt_key") or headers.get("X-Channel-Secret", account.secret)
        return reply(201, {"url": account.callback_url, "enabled": True, "events": account.about["events"]})

    def _instances(self, call: ApiCall) -> ApiReply:
        """All of the server, or the one that `instanceName` names."""
        wanted = call.query.get("instanceName")
        found = [self._described(one) for one in self.accounts.values() if wanted in (None, one.id)]
        return reply(200, found) if found else error("unknown_instance")

    def _described(self, account: Account) -> dict[str, Any]:
        about = account.about
        told = {"name": account.id, "connectionStatus": about["state"], "ownerJid": about["wuid"], "token": about["token"]}
        return {**told, "profileName": about["profile_name"] if about["state"] == "open" else None}


def jwt(secret: str, claims: dict[str, Any]) -> str:
    """A compact HS256 token (RFC 7519)."""
    parts = [_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(parts)
    return f"{signed}.{_base64url(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def error(name: str) -> ApiReply:
    """One error in Evolution's form."""
    status, title, message = ERRORS[name]
    return reply(status, {"status": status, "error": title, "response": {"message": message}})
