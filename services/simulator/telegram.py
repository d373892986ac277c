"""Telegram's side: one update in a POST, one chat after another, the secret token in a header, and the Bot API.

Source: https://core.telegram.org/bots/api#setwebhook and the Bot API server's source (github.com/tdlib/telegram-bot-api).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from services.simulator import telegram_updates
from services.simulator.people import Person
from services.simulator.stand_in import Account, Element
from services.simulator.telegram_api import TelegramApi
from services.simulator.utterances import Utterance
from services.simulator.wire import Post

_DAY_MS = 86_400_000
_BUTTON_MS = 150_000
_DEFAULT_UPDATES = frozenset({"message", "edited_message", "callback_query", "my_chat_member"})


class Telegram(TelegramApi):
    """Accounts are bots; `id` is the bot's number, `secret` its webhook's secret token."""

    name = "telegram"
    hosts = ("api.telegram.org",)

    def create(self, **about: Any) -> Account:
        """A bot. Give `callback_url`, or let it call setWebhook."""
        bot_id = str(about.pop("id", 700_000_000 + len(self.accounts) + 1))
        account = Account(
            id=bot_id,
            callback_url=about.pop("callback_url", ""),
            secret=about.pop("secret", "simulated_secret-token"),
            about={
                "token": f"{bot_id}:AAsimulated-token-of-the-bot-000001",
                "first_name": "Loja",
                "business_connections": {},
                "username": f"loja_{bot_id}_bot",
                "allowed_updates": None,
                "max_connections": 40,
                "update_id": 810_000_000 + self.chance.randrange(10**6),
                **about,
            },
        )
        self.accounts[bot_id] = account
        return account

    def say(self, account: str, who: Person, what: Utterance) -> str:
        """An update of the kind that fits; gives the message's id within its chat (of the target, for what has none)."""
        if what.kind not in telegram_updates.SAYS:
            raise KeyError(f"Telegram has no way to say {what.kind}")
        seconds = self.world.clock.now_seconds
        if what.kind in ("reaction", "unreaction"):
            self.update(account, "message_reaction", telegram_updates.reaction(what, who, seconds), who, what.group)
            return str(what.target)
        if what.kind == "button":
            pressed = telegram_updates.callback(what, who, self.next_id(), self.bot(self.accounts[account]), seconds)
            self.update(account, "callback_query", pressed, who, what.group, _BUTTON_MS)
            return str(pressed["id"])
        message_id = int(what.target or 0) if what.kind == "edit" else self.next_id() + 90
        told = telegram_updates.message(what, who, message_id, seconds)
        if what.kind == "edit":
            told["edit_date"] = seconds + 5
        self.update(account, "edited_message" if what.kind == "edit" else "message", told, who, what.group)
        return str(message_id)

    def album(self, account: str, who: Person, texts: Sequence[str]) -> list[str]:
        """Several photos sent as one: as many messages with one media_group_id."""
        group_id, ids = f"{13_000_000 + self.next_id()}", []
        for text in texts:
            message_id = self.next_id() + 90
            told = telegram_updates.message(Utterance(kind="image", text=text), who, message_id, self.world.clock.now_seconds)
            self.update(account, "message", told | {"media_group_id": group_id}, who, None)
            ids.append(str(message_id))
        return ids

    def block(self, account: str, who: Person, *, blocked: bool = True) -> None:
        """The person blocks the bot, or lets it in again; sends to this person fail meanwhile."""
        old, new = ("member", "kicked") if blocked else ("kicked", "member")
        bot = self.bot(self.accounts[account])
        told = telegram_updates.membership(who, bot, self.world.clock.now_seconds, old, new)
        (self.blocked.add if blocked else self.blocked.discard)((account, str(who.telegram_id)))
        self.update(account, "my_chat_member", told, who, None)

    def event(self, account: str, name: str, /, **values: Any) -> None:
        """Any other kind of update, by its name."""
        self.update(account, name, values, None, None)

    def update(
        self, account: str, kind: str, told: dict[str, Any], who: Person | None, group: str | None, lives_ms: int = _DAY_MS
    ) -> None:
        """Queue one update unless the bot has not asked for its kind."""
        about = self.accounts[account].about
        allowed = about["allowed_updates"]
        if kind not in (allowed or _DEFAULT_UPDATES) and (allowed or kind.startswith(("message_reaction", "chat_member"))):
            return
        about["update_id"] += 1
        lane = group or (str(who.telegram_id) if who else kind)
        expires_ms = self.world.clock.now_ms + lives_ms
        self.queue(account, {"update_id": about["update_id"], kind: told}, kind, lane=lane, expires_ms=expires_ms)

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One update; the secret is the one that holds at this attempt."""
        account = self.accounts[elements[0].account]
        token = (("X-Telegram-Bot-Api-Secret-Token", account.secret),) if account.secret else ()
        return Post(
            url=account.callback_url,
            headers=(("Content-Type", "application/json"), *token),
            body=json.dumps(elements[0].payload, separators=(",", ":")).encode("ascii"),
        )
