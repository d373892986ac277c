"""The Graph API as far as WhatsApp needs it: messages, media, tokens, subscriptions, health.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/reference
"""

from __future__ import annotations

import base64
import re
from functools import partial
from typing import Any

from services.simulator.buckets import Buckets
from services.simulator.faults import Fault
from services.simulator.meta_errors import graph_error
from services.simulator.people import Person, person
from services.simulator.stand_in import Account, StandIn, World
from services.simulator.utterances import Receipt
from services.simulator.wire import ApiCall, ApiReply, reply

_VERSION = re.compile(r"^/v\d+\.\d+")
_NEEDS = {"template": "template", "text": "text", "interactive": "interactive", "location": "location"}


class MetaApi(StandIn):
    """What calls of ours get. A token is known by its value; `token_expires_ms` ends it.

    A token that was exchanged works on until its own end, or until it is revoked (`old_tokens`: value → when it ends, ms).
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.throughput = Buckets(world.clock, per_second=80.0, burst=80.0)
        self.pairs = Buckets(world.clock, per_second=1 / 6, burst=45.0)
        self.media: dict[str, tuple[str, bytes]] = {}
        self.people: dict[str, Person] = {}

    def wamid(self) -> str:
        """A message id as they look: opaque, base64, with padding."""
        return "wamid." + base64.b64encode(f"SIM{self.next_id():012d}".encode() + b"\x00").decode()

    def operation_of(self, call: ApiCall) -> str:
        """`send`, `upload`, `media`, `token`, `subscribed_apps`, `debug_token`, `app`, or `node`."""
        last = _VERSION.sub("", call.path).strip("/").split("/")[-1]
        named = {"messages": "send", "media": "upload", "access_token": "token", "subscribed_apps": "subscribed_apps"}
        return named.get(last, last if last in ("app", "debug_token", "register", "revoke", "subscriptions") else "node")

    def fault_reply(self, fault: Fault, call: ApiCall) -> ApiReply:
        """`code` is Graph's (`131047`), with a subcode behind a slash (`190/463`), or an HTTP status (`http:503`)."""
        if fault.code.startswith("http:"):
            return ApiReply(status=int(fault.code[5:]), body=b"<html>Service Unavailable</html>")
        code, _, subcode = fault.code.partition("/")
        return graph_error(int(code), int(subcode) if subcode else None, fault.retry_after_seconds)

    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """Route one call."""
        parts = _VERSION.sub("", call.path).strip("/").split("/")
        if operation == "token":
            return self._token(call)
        given = call.headers.get("authorization", "").removeprefix("Bearer ") or call.query.get("access_token", "")
        account = self._account_of_token(given)
        if account is None:
            return graph_error(190, 467)
        if self._expired(account, given):
            return graph_error(190, 463)
        if operation == "revoke":
            return self._revoke(account, call)
        if operation == "debug_token":
            return self._debug_token(call)
        if operation == "app":
            return reply(200, {"id": account.about["app_id"]})
        if operation == "subscribed_apps":
            return self._subscribed_apps(parts[0], call)
        if operation == "subscriptions":
            return self._subscriptions(account, call)
        if parts[0] in self.media and operation == "node":
            return self._media(parts[0])
        number = self.accounts.get(parts[0])
        if number is None:
            return graph_error(33) if call.method == "POST" else graph_error(100)
        if operation == "send":
            return self._messages(number, call)
        if operation == "upload":
            return self._upload(call)
        return reply(200, self._node(number)) if call.method == "GET" else self._override(number, call)

    def _account_of_token(self, given: str | None) -> Account | None:
        app = next((one for one in self.accounts.values() if given == f"{one.about['app_id']}|{one.secret}"), None)
        return app or self._holder(given)

    def _holder(self, token: str | None) -> Account | None:
        return next((one for one in self.accounts.values() if token in (one.about["access_token"], *_old_tokens(one))), None)

    def _expired(self, account: Account, token: str | None) -> bool:
        ends = _old_tokens(account).get(token or "", account.about["token_expires_ms"])
        return ends is not None and ends <= self.world.clock.now_ms

    def is_live(self, token: str) -> bool:
        """Does this token still work?"""
        account = self._holder(token)
        return account is not None and not self._expired(account, token)

    def _messages(self, account: Account, call: ApiCall) -> ApiReply:
        order = call.document
        if order.get("messaging_product") != "whatsapp":
            return graph_error(100)
        if order.get("status") == "read":
            return reply(200, {"success": True}) if order.get("message_id") else graph_error(131009)
        kind, to = order.get("type", "text"), order.get("to") or order.get("recipient")
        if not to:
            return graph_error(131008)
        if kind in _NEEDS and _NEEDS[kind] not in order:
            return graph_error(131008)
        if kind == "text" and len(order["text"].get("body", "")) > 4_096:
            return graph_error(100)
        if self.throughput.wait_seconds(account.id) > 0:
            return graph_error(130429)
        if self.pairs.wait_seconds(f"{account.id}/{to}") > 0:
            return graph_error(131056)
        message_id = self.wamid()
        who = self.people.get(str(to).lstrip("+")) or person(999)
        self._schedule_receipts(account, who, message_id, order.get("biz_opaque_callback_data"))
        told: dict[str, Any] = {"input": to, "user_id": who.bsuid}
        told |= {} if order.get("recipient") and not order.get("to") else {"wa_id": str(to).lstrip("+")}
        return reply(200, {"messaging_product": "whatsapp", "contacts": [told], "messages": [{"id": message_id}]})

    def _schedule_receipts(self, account: Account, who: Person, message_id: str, callback_data: str | None) -> None:
        for step, status in enumerate(account.about["receipts"]):
            receipt = Receipt(status=status, message_id=message_id, callback_data=callback_data)
            self.world.later(1.0 + 2 * step + self.chance.random(), partial(self.tell, account.id, who, receipt))

    def _upload(self, call: ApiCall) -> ApiReply:
        file = next((part for part in call.parts if part[0] == "file"), None)
        if file is None or call.fields.get("messaging_product") != "whatsapp":
            return graph_error(100)
        media_id = f"{600_000_000_000_000 + self.next_id()}"
        self.media[media_id] = (file[2], file[3])
        return reply(200, {"id": media_id})

    def _media(self, media_id: str) -> ApiReply:
        mime_type, content = self.media[media_id]
        url = f"https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid={media_id}"
        told = {"messaging_product": "whatsapp", "url": url, "mime_type": mime_type, "sha256": "", "file_size": len(content)}
        return reply(200, {**told, "id": media_id})

    def _token(self, call: ApiCall) -> ApiReply:
        given = {**call.query, **call.document}
        shown = given.get("fb_exchange_token")
        account = self._holder(shown)
        if account is None or given.get("client_secret") != account.secret:
            return graph_error(190 if account is None else 1)
        if self._expired(account, shown):
            return graph_error(190, 463)
        account.about.setdefault("old_tokens", {})[account.about["access_token"]] = account.about["token_expires_ms"]
        account.about["access_token"] = f"EAAG-simulated-{account.id}-{self.next_id()}"
        lives = 60 * 86_400
        account.about["token_expires_ms"] = self.world.clock.now_ms + lives * 1000
        return reply(200, {"access_token": account.about["access_token"], "token_type": "bearer", "expires_in": lives})

    def _revoke(self, account: Account, call: ApiCall) -> ApiReply:
        if call.query.get("client_secret") != account.secret:
            return graph_error(1)
        _old_tokens(account).pop(call.query.get("revoke_token", ""), None)
        return reply(200, {"success": True})

    def _debug_token(self, call: ApiCall) -> ApiReply:
        wanted = call.query.get("input_token")
        account = self._holder(wanted)
        if account is None:
            return reply(200, {"data": {"is_valid": False, "error": {"code": 190, "message": "Invalid", "subcode": 467}}})
        ends = _old_tokens(account).get(wanted or "", account.about["token_expires_ms"])
        scopes = ["whatsapp_business_messaging", "whatsapp_business_management"]
        data = {"app_id": account.about["app_id"], "type": "SYSTEM_USER", "is_valid": not self._expired(account, wanted)}
        targets = [{"scope": scope, "target_ids": [account.about["waba_id"]]} for scope in scopes]
        return reply(200, {"data": {**data, "expires_at": (ends or 0) // 1000, "scopes": scopes, "granular_scopes": targets}})

    def _subscribed_apps(self, waba: str, call: ApiCall) -> ApiReply:
        account = next((one for one in self.accounts.values() if one.about["waba_id"] == waba), None)
        if account is None:
            return graph_error(100)
        if call.method == "POST":
            account.about["subscribed"] = True
            account.callback_url = call.document.get("override_callback_uri", account.callback_url)
            return reply(200, {"success": True})
        app: dict[str, Any] = {"whatsapp_business_api_data": {"id": account.about["app_id"], "name": "Channels"}}
        if account.callback_url:
            app["override_callback_uri"] = account.callback_url
        return reply(200, {"data": [app] if account.about["subscribed"] else []})

    def _subscriptions(self, account: Account, call: ApiCall) -> ApiReply:
        """The app's own webhook: one callback URL and the fields that it wants."""
        numbers = [one for one in self.accounts.values() if one.about["app_id"] == account.about["app_id"]]
        if call.method == "POST":
            given = {**call.query, **call.document}
            fields = given.get("fields", [])
            for number in numbers:
                number.callback_url = given.get("callback_url", "")
                number.about["verify_token"] = given.get("verify_token", number.about["verify_token"])
                number.about["fields"] = fields.split(",") if isinstance(fields, str) else fields
            return reply(200, {"success": True})
        told = [{"name": name, "version": "v25.0"} for name in account.about.get("fields", ["messages"])]
        app = {"object": "whatsapp_business_account", "callback_url": account.callback_url, "active": True, "fields": told}
        return reply(200, {"data": [app] if account.callback_url else []})

    def _override(self, account: Account, call: ApiCall) -> ApiReply:
        asked = call.document.get("webhook_configuration", {})
        account.callback_url = asked.get("override_callback_uri", account.callback_url)
        return reply(200, {"success": True})

    def _node(self, account: Account) -> dict[str, Any]:
        state = account.about.get("status", "CONNECTED")
        can = account.about.get("can_send_message", "AVAILABLE")
        entity = {"entity_type": "PHONE_NUMBER", "id": account.id, "can_send_message": can}
        return {
            "id": account.id,
            "display_phone_number": account.about["display_phone_number"],
            "verified_name": account.about["verified_name"],
            "quality_rating": account.about.get("quality_rating", "GREEN"),
            "status": state,
            "name_status": account.about.get("name_status", "APPROVED"),
            "code_verification_status": "VERIFIED",
            "platform_type": "CLOUD_API",
            "throughput": {"level": account.about["throughput"]},
            "whatsapp_business_manager_messaging_limit": account.about["tier"],
            "health_status": {"can_send_message": can, "entities": [entity]},
            "webhook_configuration": {"application": account.callback_url},
        }


def _old_tokens(account: Account) -> dict[str, int | None]:
    tokens: dict[str, int | None] = account.about.get("old_tokens", {})
    return tokens
