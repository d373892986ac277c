"""Our own chat widget: what a visitor's browser posts, and what a customer's server posts instead of it.

Source: docs/WEBCHAT.md (session token: JWT HS256, RFC 7519) and
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from services.simulator.evolution import jwt
from services.simulator.faults import Fault
from services.simulator.people import Person, person
from services.simulator.stand_in import Account, Element, StandIn
from services.simulator.utterances import MIME, Receipt, Utterance
from services.simulator.wire import ApiCall, ApiReply, Post, reply

ORIGIN = "https://loja.example"
_LIFE_SECONDS = 3_600
_FILES = {"image": "image", "audio": "audio", "voice": "audio", "video": "video", "document": "document"}
_Writer = Callable[[Utterance, str], dict[str, Any]]


def _file(what: Utterance, event_id: str) -> dict[str, Any]:
    upload: dict[str, Any] = {"id": f"up-{event_id}", "mime_type": MIME[what.kind], "name": what.filename, "size_bytes": 48_213}
    upload |= {"voice": True} if what.kind == "voice" else {}
    captioned = what.kind in ("image", "video", "document") and what.text
    return {"type": _FILES[what.kind], "upload": upload} | ({"text": what.text} if captioned else {})


def _place(what: Utterance, _: str) -> dict[str, Any]:
    place = {"latitude": what.latitude, "longitude": what.longitude, "name": what.place, "address": what.address}
    return {"type": "location", "location": place}


def _reaction(what: Utterance, _: str) -> dict[str, Any]:
    return {"type": "reaction", "target_message_id": what.target} | ({"emoji": what.emoji} if what.kind == "reaction" else {})


_WRITERS: dict[str, _Writer] = {
    "text": lambda what, _: {"type": "text", "text": what.text},
    **dict.fromkeys(_FILES, _file),
    "location": _place,
    "button": lambda what, _: {"type": "button_reply", "reply": {"id": what.option_id, "title": what.text}},
    "list": lambda what, _: {"type": "list_reply", "reply": {"id": what.option_id, "title": what.text}},
    "reaction": _reaction,
    "unreaction": _reaction,
    "edit": lambda what, _: {"type": "edit", "target_message_id": what.target, "text": what.text},
    "revoke": lambda what, _: {"type": "delete", "target_message_id": what.target},
    "something_new": lambda *_: {"type": "hologram", "text": "new"},
}
SAYS = frozenset(_WRITERS)


class Webchat(StandIn):
    """Accounts are widgets; `id` is the widget's, `secret` the key of its session tokens (at least 32 bytes).

    `about["life_seconds"]`: how long a session token lives. The widget asks for a new one when it is told 401.
    """

    name = "webchat"
    max_batch = 20
    default_secret = "simulated-session-key-of-at-least-32-bytes"

    def create(self, **about: Any) -> Account:
        """A widget on ORIGIN."""
        account = Account(
            id=about.pop("id", f"wgt_sim{len(self.accounts) + 1}"),
            callback_url=about.pop("callback_url", ""),
            secret=about.pop("secret", self.default_secret),
            about={"origin": ORIGIN, "issuer": "webchat", "life_seconds": _LIFE_SECONDS, **about},
        )
        self.accounts[account.id] = account
        return account

    def say(self, account: str, who: Person, what: Utterance) -> str:
        """One event of the visitor's session; its id is made by the browser and stays the same at repeats."""
        event_id = f"0190a000-0000-7000-8000-{self.next_id():012d}"
        told = {"client_message_id": event_id, **_WRITERS[what.kind](what, event_id)}
        if what.reply_to:
            told["in_reply_to"] = what.reply_to
        self._queue(account, who, told)
        return event_id

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """The browser got our message, or showed it."""
        if what.status not in ("delivered", "read"):
            raise KeyError(f"a browser tells nothing of {what.status}")
        name = "message_id" if what.status == "delivered" else "up_to_message_id"
        self._queue(account, who, {"type": what.status, name: what.message_id})

    def event(self, account: str, name: str, /, **values: Any) -> None:
        """Any other event (`typing`, `session.started`, `session.ended`), of person 1."""
        self._queue(account, person(1), {"type": name, **values})

    def _queue(self, account: str, who: Person, told: dict[str, Any]) -> None:
        sent = datetime.fromtimestamp(self.world.clock.now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.queue(account, (who, {**told, "sent_at": sent}), told["type"], lane=who.visitor)

    def _groups(self, elements: Iterable[Element]) -> list[list[Element]]:
        """Events of one visitor's session may come together."""
        groups: list[list[Element]] = []
        for element in elements:
            last = groups[-1] if groups else None
            fits = last is not None and len(last) < min(self.disturbance.batch, self.max_batch)
            if last is not None and fits and (last[0].account, last[0].payload[0]) == (element.account, element.payload[0]):
                last.append(element)
            else:
                groups.append([element])
        return groups

    def _document(self, elements: Sequence[Element]) -> dict[str, Any]:
        who: Person = elements[0].payload[0]
        return {
            "widget_id": elements[0].account,
            "visitor_id": who.visitor,
            "session_id": f"ses_{who.visitor}",
            "visitor": {"name": who.name},
            "events": [element.payload[1] for element in elements],
        }

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One POST of one session, with a token that is fresh as of now."""
        account, document = self.accounts[elements[0].account], self._document(elements)
        issued = now_ms // 1000
        claims = {
            "iss": account.about["issuer"],
            "aud": account.id,
            "sub": document["visitor_id"],
            "sid": document["session_id"],
            "iat": issued,
            "exp": issued + account.about["life_seconds"],
            "origin": account.about["origin"],
        }
        headers = (
            ("Content-Type", "application/json"),
            ("Origin", account.about["origin"]),
            ("Authorization", f"Bearer {jwt(account.secret, claims)}"),
        )
        return Post(url=account.callback_url, headers=headers, body=json.dumps(document, separators=(",", ":")).encode())

    def operation_of(self, call: ApiCall) -> str:
        """The widget serves nothing."""
        return "none"

    def fault_reply(self, fault: Fault, call: ApiCall) -> ApiReply:
        """`code` is an HTTP status."""
        return reply(int(fault.code), {})

    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """Nothing is there."""
        return reply(404, {})


class WebchatServer(Webchat):
    """A customer's server that posts for its visitors; `secret` is `whsec_` and the key in base64."""

    name = "webchat_server"
    default_secret = "whsec_" + base64.b64encode(b"simulated-key-of-a-server-000001").decode()

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One signed POST: the id is the same at every attempt, the time is the attempt's."""
        account = self.accounts[elements[0].account]
        body = json.dumps(self._document(elements), separators=(",", ":")).encode()
        label = hashlib.sha256(body).hexdigest()[:24]
        key = base64.b64decode(account.secret.removeprefix("whsec_"))
        signed = f"msg_{label}.{now_ms // 1000}.".encode() + body
        headers = (
            ("Content-Type", "application/json"),
            ("webhook-id", f"msg_{label}"),
            ("webhook-timestamp", str(now_ms // 1000)),
            ("webhook-signature", "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()),
        )
        return Post(url=account.callback_url, headers=headers, body=body)
