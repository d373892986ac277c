"""Meta's side of WhatsApp: webhooks of one app, batched over numbers and accounts, signed with the app's secret.

Source: https://developers.facebook.com/docs/graph-api/webhooks/getting-started and the WhatsApp webhook reference.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from services.simulator import meta_messages
from services.simulator.meta_api import MetaApi
from services.simulator.people import Person, with_new_number
from services.simulator.stand_in import Account, Element
from services.simulator.utterances import Receipt, Utterance
from services.simulator.wire import Post

MAX_UPDATES = 1_000


class Meta(MetaApi):
    """One app. Accounts are phone numbers; all numbers with one callback share its POSTs."""

    name = "meta"
    hosts = ("graph.facebook.com", "lookaside.fbsbx.com")
    max_batch = MAX_UPDATES

    def create(self, **about: Any) -> Account:
        """A number: `id` is its phone_number_id, `secret` the app secret."""
        number = len(self.accounts) + 1
        account = Account(
            id=str(about.pop("id", 100_000_000_000_000 + number)),
            callback_url=about.pop("callback_url", ""),
            secret=about.pop("secret", "simulated-app-secret"),
            about={
                "waba_id": f"{200_000_000_000_000 + number}",
                "display_phone_number": f"5511400000{number:02d}",
                "app_id": "300000000000001",
                "verify_token": "simulated-verify-token",
                "access_token": f"EAAG-simulated-{number}",
                "token_expires_ms": None,
                "subscribed": True,
                "verified_name": "Loja",
                "tier": "TIER_250",
                "throughput": "STANDARD",
                "receipts": ("sent", "delivered", "read"),
                **about,
            },
        )
        self.accounts[account.id] = account
        return account

    def say(self, account: str, who: Person, what: Utterance) -> str:
        """A message under field `messages`, or under `smb_message_echoes` when it was written on our own phone."""
        message_id, media_id = self.wamid(), f"{500_000_000_000_000 + self.next_id()}"
        seconds = self.world.clock.now_seconds
        if what.from_us:
            own = self.accounts[account].about["display_phone_number"]
            told = meta_messages.echo(what, who, own, message_id, media_id, seconds)
            self.queue(account, ("smb_message_echoes", "message_echoes", told, None), f"echo {what.kind}")
        else:
            told = meta_messages.message(what, who, message_id, media_id, seconds)
            self.queue(account, ("messages", "messages", told, meta_messages.contact(who)), what.kind)
        return message_id

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """A status of a message of ours."""
        told = meta_messages.status(what, who, self.world.clock.now_seconds)
        self.queue(account, ("messages", "statuses", told, None), f"status {what.status}")

    def rotate(self, account: str, who: Person) -> Person:
        """The person changes the number: a system message, and the same person under new ids from now on."""
        new = with_new_number(who)
        told = meta_messages.new_number(who, new, self.wamid(), self.world.clock.now_seconds)
        self.queue(account, ("messages", "messages", told, None), "new number")
        return new

    def event(self, account: str, name: str, /, **values: Any) -> None:
        """Any other field, by its name in the reference; `values` are its `value`."""
        self.queue(account, (name, None, values, None), name)

    def tier(self, account: str, to: str, throughput: str | None = None) -> None:
        """Another messaging limit for the whole portfolio, and another throughput for this number where one is given.

        Meta tells of the first by `business_capability_update`, of the second by `phone_number_quality_update`.
        """
        about = self.accounts[account].about
        if to != about["tier"]:
            for other in self.accounts.values():
                if other.about["waba_id"] == about["waba_id"]:
                    other.about["tier"] = to
            told = {"max_daily_conversations_per_business": to, "max_phone_numbers_per_business": 20}
            self.event(account, "business_capability_update", **told)
        if throughput is not None and throughput != about["throughput"]:
            about["throughput"] = throughput
            told = {"display_phone_number": about["display_phone_number"], "event": "THROUGHPUT_UPGRADE"}
            self.event(account, "phone_number_quality_update", **told, max_daily_conversations_per_business=to)

    def handshake_query(self, account: str, challenge: str = "1158201444") -> str:
        """Query string of the GET by which Meta proves a callback URL."""
        token = self.accounts[account].about["verify_token"]
        return f"hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token={token}"

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One POST: entries by account, changes by number and field, contacts in an order of their own."""
        entries: dict[str, dict[str, Any]] = {}
        for element in elements:
            self._add_change(entries, element, now_ms)
        body = encode({"object": "whatsapp_business_account", "entry": list(entries.values())})
        account = self.accounts[elements[0].account]
        return Post(
            url=account.callback_url,
            headers=(
                ("Content-Type", "application/json"),
                ("User-Agent", "facebookexternalua"),
                ("X-Hub-Signature-256", "sha256=" + sign(account.secret, body)),
            ),
            body=body,
        )

    def _add_change(self, entries: dict[str, dict[str, Any]], element: Element, now_ms: int) -> None:
        account = self.accounts[element.account]
        field, part, told, contact = element.payload
        waba = account.about["waba_id"]
        entry = entries.setdefault(waba, {"id": waba, "changes": []})
        if part is None:
            entry["time"] = now_ms // 1000
            entry["changes"].append({"field": field, "value": told})
            return
        metadata = {"display_phone_number": account.about["display_phone_number"], "phone_number_id": account.id}
        value = next(
            (
                change["value"]
                for change in entry["changes"]
                if change["field"] == field and change["value"].get("metadata") == metadata and part in change["value"]
            ),
            None,
        )
        if value is None:
            value = {"messaging_product": "whatsapp", "metadata": metadata, part: []}
            entry["changes"].append({"value": value, "field": field})
        value[part].append(told)
        if contact is not None and contact not in value.setdefault("contacts", []):
            value["contacts"].insert(0, contact)  # newest first: their order is no promise

    def _groups(self, elements: Any) -> list[list[Element]]:
        """Batches go over accounts: one callback, one secret, one POST."""
        size = max(1, min(self.disturbance.batch, self.max_batch))
        groups: list[list[Element]] = []
        for element in elements:
            if groups and len(groups[-1]) < size and self._joins(groups[-1][0], element):
                groups[-1].append(element)
            else:
                groups.append([element])
        return groups

    def _joins(self, one: Element, other: Element) -> bool:
        mine, its = self.accounts[one.account], self.accounts[other.account]
        return (mine.callback_url, mine.secret) == (its.callback_url, its.secret)


def encode(document: object) -> bytes:
    """JSON as Meta writes it: everything outside ASCII and the slash escaped."""
    return json.dumps(document, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def sign(secret: str, body: bytes) -> str:
    """Hex digest of the signature header."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
