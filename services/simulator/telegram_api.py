"""The Bot API as far as we call it: sending, files, the webhook's settings, limits and errors.

Source: https://core.telegram.org/bots/api, https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from services.simulator.buckets import Buckets
from services.simulator.faults import Fault
from services.simulator.stand_in import Account, StandIn, World
from services.simulator.wire import ApiCall, ApiReply, reply

_PATH = re.compile(r"^/(?:file/)?bot(?P<token>[^/]+)/(?P<method>.+)$")
_PORTS = frozenset({None, 443, 80, 88, 8443})
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SENDS = {
    "sendMessage": "text",
    "sendPhoto": "photo",
    "sendDocument": "document",
    "sendAudio": "audio",
    "sendVideo": "video",
    "sendVoice": "voice",
    "sendSticker": "sticker",
    "sendLocation": "latitude",
    "sendVenue": "title",
    "sendContact": "phone_number",
}

# a short name → (HTTP status and error_code, description)
ERRORS: dict[str, tuple[int, str]] = {
    "unauthorized": (401, "Unauthorized"),
    "not_found": (404, "Not Found"),
    "conflict": (409, "Conflict: can't use getUpdates method while webhook is active"),
    "rate": (429, "Too Many Requests: retry after {retry_after}"),
    "blocked": (403, "Forbidden: bot was blocked by the user"),
    "deactivated": (403, "Forbidden: user is deactivated"),
    "kicked": (403, "Forbidden: bot was kicked from the supergroup chat"),
    "cannot_initiate": (403, "Forbidden: bot can't initiate conversation with a user"),
    "chat_not_found": (400, "Bad Request: chat not found"),
    "business_connection": (400, "Bad Request: BUSINESS_CONNECTION_INVALID"),
    "migrated": (400, "Bad Request: group chat was upgraded to a supergroup chat"),
    "too_long": (400, "Bad Request: message is too long"),
    "entities": (400, 'Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 0'),
    "empty": (400, "Bad Request: message text is empty"),
    "url": (400, "Bad Request: wrong HTTP URL specified"),
    "button_data": (400, "Bad Request: BUTTON_DATA_INVALID"),
    "file_too_big": (400, "Bad Request: file is too big"),
    "not_modified": (400, "Bad Request: message is not modified"),
    "query_old": (400, "Bad Request: query is too old and response timeout expired or query ID is invalid"),
    "entity_too_large": (413, "Request Entity Too Large"),
    "internal": (500, "Internal Server Error"),
    "bad_gateway": (502, "Bad Gateway"),
    "gateway_timeout": (504, "Gateway Timeout"),
}


def error(name: str, **parameters: int) -> ApiReply:
    """One error in the Bot API's form."""
    status, description = ERRORS[name]
    document: dict[str, Any] = {"ok": False, "error_code": status, "description": description.format(**parameters)}
    if parameters:
        document["parameters"] = parameters
    return reply(status, document)


class TelegramApi(StandIn):
    """Limits: 30 messages a second per bot, one a second per chat with short bursts, 20 a minute per group."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.per_bot = Buckets(world.clock, per_second=30.0, burst=30.0)
        self.per_chat = Buckets(world.clock, per_second=1.0, burst=5.0)
        self.per_group = Buckets(world.clock, per_second=20 / 60, burst=20.0)
        self.blocked: set[tuple[str, str]] = set()

    def operation_of(self, call: ApiCall) -> str:
        """The method's name; `file` for a download."""
        match = _PATH.match(call.path)
        return "file" if call.path.startswith("/file/") else match["method"] if match else ""

    def fault_reply(self, fault: Fault, call: ApiCall) -> ApiReply:
        """`code` is a name in ERRORS."""
        if fault.code == "rate":
            return error("rate", retry_after=fault.retry_after_seconds or 5)
        return error(fault.code, **({"migrate_to_chat_id": -1_009_000_000_001} if fault.code == "migrated" else {}))

    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """One method of one bot."""
        match = _PATH.match(call.path)
        account = next((one for one in self.accounts.values() if match and one.about["token"] == match["token"]), None)
        if account is None:
            return error("unauthorized" if match and re.fullmatch(r"\d+:[\w-]{35}", match["token"]) else "not_found")
        if operation == "file":
            return ApiReply(status=200, body=b"simulated file", headers=(("Content-Type", "application/octet-stream"),))
        given = {**call.query, **call.document}
        if operation in _SENDS or operation in ("sendMediaGroup", "editMessageText", "setMessageReaction"):
            return self._accept(account, operation, given)
        served = {
            "getMe": lambda: _ok({**self.bot(account), "can_join_groups": True, "can_read_all_group_messages": False}),
            "getBusinessConnection": lambda: self._business_connection(account, given),
            "setWebhook": lambda: self._set_webhook(account, given),
            "deleteWebhook": lambda: self._delete_webhook(account),
            "getWebhookInfo": lambda: _ok(self._webhook_info(account)),
            "getFile": lambda: _ok(self._file(given)),
            "getUpdates": lambda: error("conflict") if account.callback_url else _ok([]),
        }
        if operation in served:
            return served[operation]()
        return _ok(True) if operation in ("sendChatAction", "answerCallbackQuery", "deleteMessage") else error("not_found")

    def bot(self, account: Account) -> dict[str, Any]:
        """The bot as a `User`."""
        return {
            "id": int(account.id),
            "is_bot": True,
            "first_name": account.about["first_name"],
            "username": account.about["username"],
        }

    def _business_connection(self, account: Account, given: dict[str, Any]) -> ApiReply:
        """`about["business_connections"]`: id → the `User` of the business account."""
        connection_id = given.get("business_connection_id")
        user = account.about["business_connections"].get(connection_id)
        if user is None:
            return error("business_connection")
        told = {"id": connection_id, "user": user, "user_chat_id": user["id"], "is_enabled": True}
        return _ok({**told, "date": self.world.clock.now_seconds})

    def _accept(self, account: Account, method: str, given: dict[str, Any]) -> ApiReply:
        to = str(given.get("chat_id", ""))
        if not re.fullmatch(r"-?\d+|@\w+", to):
            return error("chat_not_found")
        if (account.id, to) in self.blocked:
            return error("blocked")
        if method in ("sendMessage", "editMessageText"):
            if not given.get("text"):
                return error("empty")
            if len(str(given["text"]).encode("utf-16-le")) > 2 * 4_096:
                return error("too_long")
        buckets = (self.per_bot, account.id), (self.per_group if to.startswith("-") else self.per_chat, f"{account.id}/{to}")
        wait = max(bucket.wait_seconds(key) for bucket, key in buckets)
        if wait > 0:
            return error("rate", retry_after=int(wait) + 1)
        if method == "setMessageReaction":
            return _ok(True)
        group = to.startswith("-")
        chat = {"id": int(to) if not to.startswith("@") else 1, "type": "supergroup" if group else "private"}
        told = {"message_id": self.next_id() + 90, "from": self.bot(account), "chat": chat, "date": self.world.clock.now_seconds}
        if method == "sendMediaGroup":
            return _ok([{**told, "message_id": self.next_id() + 90} for _ in _list(given.get("media"))])
        return _ok(told | ({"text": given["text"]} if "text" in given else {}))

    def _set_webhook(self, account: Account, given: dict[str, Any]) -> ApiReply:
        url, secret = str(given.get("url", "")), str(given.get("secret_token", ""))
        parts = urlsplit(url)
        if url and (parts.scheme != "https" or parts.port not in _PORTS) and not account.about.get("plain_http"):
            text = "Bad Request: bad webhook: An HTTPS URL must be provided for webhook"
            return reply(400, {"ok": False, "error_code": 400, "description": text})
        if secret and not _SECRET.fullmatch(secret):
            text = "Bad Request: secret token contains illegal characters"
            return reply(400, {"ok": False, "error_code": 400, "description": text})
        same = (url, secret) == (account.callback_url, account.secret)
        account.callback_url, account.secret = url, secret
        if "allowed_updates" in given:
            account.about["allowed_updates"] = _list(given["allowed_updates"]) or None
        account.about["max_connections"] = int(given.get("max_connections", 40))
        if str(given.get("drop_pending_updates", False)).lower() == "true":
            self.world.engine.drop_account(self.name, account.id)
        return reply(200, {"ok": True, "result": True, "description": f"Webhook {'is already' if same else 'was'} set"})

    def _delete_webhook(self, account: Account) -> ApiReply:
        account.callback_url = ""
        return reply(200, {"ok": True, "result": True, "description": "Webhook was deleted"})

    def _webhook_info(self, account: Account) -> dict[str, Any]:
        failed = [
            line
            for line in self.world.engine.ledger
            if (line.stand_in, line.account) == (self.name, account.id) and not (line.status and 200 <= line.status < 300)
        ]
        told: dict[str, Any] = {
            "url": account.callback_url,
            "has_custom_certificate": False,
            "pending_update_count": len(self.world.engine.waiting(self.name, account.id)),
            "max_connections": account.about["max_connections"],
        }
        if account.about["allowed_updates"]:
            told["allowed_updates"] = account.about["allowed_updates"]
        if failed:
            told["last_error_date"] = failed[-1].at_ms // 1000
            words = (
                "Connection timed out" if failed[-1].status is None else f"Wrong response from the webhook: {failed[-1].status}"
            )
            told["last_error_message"] = words
        return told

    def _file(self, given: dict[str, Any]) -> dict[str, Any]:
        file_id = str(given.get("file_id", ""))
        return {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_size": 14, "file_path": f"documents/{file_id}.bin"}


def _list(value: object) -> list[Any]:
    found = json.loads(value) if isinstance(value, str) and value else value
    return found if isinstance(found, list) else []


def _ok(result: object) -> ApiReply:
    return reply(200, {"ok": True, "result": result})
