"""What the e-mail services have in common: inboxes of ours, people's mails, and a simple API for sending."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from services.simulator import mail
from services.simulator.faults import Fault
from services.simulator.people import Person
from services.simulator.stand_in import Account, StandIn
from services.simulator.utterances import Utterance
from services.simulator.wire import ApiCall, ApiReply, reply


class MailStandIn(StandIn):
    """Accounts are inboxes; `id` is the address. Payloads are letters, or a service's own event documents."""

    default_secret: ClassVar[str] = "simulated-mail-secret"

    def create(self, **about: Any) -> Account:
        """An inbox."""
        account = Account(
            id=about.pop("id", f"loja{len(self.accounts) + 1}@nos.example"),
            callback_url=about.pop("callback_url", ""),
            secret=about.pop("secret", self.default_secret),
            about={"api_key": f"simulated-{self.name}-key", **about},
        )
        self.accounts[account.id] = account
        return account

    def say(self, account: str, who: Person, what: Utterance) -> str:
        """A mail to the inbox; gives its Message-ID without brackets."""
        made = mail.letter(what, who, account, self.next_id(), self.world.clock.now_ms)
        self.queue(account, made, what.kind)
        return made.message_id

    def uuid(self) -> str:
        """A UUID out of the seed."""
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def operation_of(self, call: ApiCall) -> str:
        """Sending is all that is served."""
        return "send"

    def fault_reply(self, fault: Fault, call: ApiCall) -> ApiReply:
        """`code` is an HTTP status."""
        headers = () if fault.retry_after_seconds is None else (("Retry-After", str(fault.retry_after_seconds)),)
        return reply(int(fault.code), {"message": f"simulated {fault.code}"}, *headers)

    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """Takes a mail from whoever shows an inbox's key in any of the services' ways."""
        shown = " ".join(call.headers.get(name, "") for name in ("authorization", "x-postmark-server-token"))
        if not any(one.about["api_key"] in shown for one in self.accounts.values()):
            return reply(401, {"message": "Unauthorized"})
        return reply(200, {"id": f"<{self.uuid()}@{self.name}.invalid>", "message": "Queued. Thank you."})
