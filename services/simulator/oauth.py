"""Token endpoints of Google and Microsoft: refresh tokens that rotate (Microsoft) or stay (Google), and their errors.

Source: https://developers.google.com/identity/protocols/oauth2/web-server#offline and
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#refresh-the-access-token
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.simulator.faults import Fault
from services.simulator.people import Person
from services.simulator.stand_in import Account, Element, StandIn
from services.simulator.utterances import Utterance
from services.simulator.wire import ApiCall, ApiReply, Post, reply

# a short name → (HTTP status, document)
ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "invalid_grant": (400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}),
    "AADSTS700082": (400, {"error": "invalid_grant", "error_codes": [700082], "error_description": "AADSTS700082: expired"}),
    "AADSTS50173": (400, {"error": "invalid_grant", "error_codes": [50173], "error_description": "AADSTS50173: revoked"}),
    "AADSTS65001": (400, {"error": "invalid_grant", "error_codes": [65001], "error_description": "AADSTS65001: no consent"}),
    "AADSTS50076": (400, {"error": "interaction_required", "error_codes": [50076], "error_description": "AADSTS50076: MFA"}),
    "invalid_client": (401, {"error": "invalid_client", "error_description": "The OAuth client was not found."}),
    "AADSTS7000222": (401, {"error": "invalid_client", "error_codes": [7000222], "error_description": "AADSTS7000222: secret"}),
    "AADSTS90033": (503, {"error": "temporarily_unavailable", "error_codes": [90033], "error_description": "AADSTS90033"}),
    "rate": (429, {"error": "temporarily_unavailable"}),
    "internal": (500, {"error": "internal_failure"}),
}


class TokenEndpoint(StandIn):
    """Accounts are mailboxes with a consent. It posts nothing.

    `one_time` in an account's `about`: a refresh token that was exchanged is worth nothing any more.
    """

    rotates = False
    life_seconds = 3_599

    def create(self, **about: Any) -> Account:
        """A mailbox whose owner has agreed; `secret` is the client secret."""
        number = len(self.accounts) + 1
        account = Account(
            id=about.pop("id", f"caixa{number}@nos.example"),
            callback_url="",
            secret=about.pop("secret", f"simulated-{self.name}-client-secret"),
            about={
                "client_id": f"simulated-{self.name}-client",
                "refresh_token": f"{self.name}-refresh-{number}-0",
                "access_tokens": {},  # value → when it ends, ms
                "revoked": False,
                "rotation": 0,
                **about,
            },
        )
        self.accounts[account.id] = account
        return account

    def say(self, account: str, who: Person, what: Utterance) -> str:
        """Nobody says anything here."""
        raise KeyError(f"{self.name} is a token endpoint")

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """Never called: nothing is queued."""
        raise KeyError(f"{self.name} is a token endpoint")

    def is_live(self, access_token: str) -> bool:
        """Does this access token still open its mailbox?"""
        ends = (one.about["access_tokens"].get(access_token, 0) for one in self.accounts.values())
        return any(end > self.world.clock.now_ms for end in ends)

    def operation_of(self, call: ApiCall) -> str:
        """Always `token`."""
        return "token"

    def fault_reply(self, fault: Fault, call: ApiCall) -> ApiReply:
        """`code` is a name in ERRORS."""
        status, document = ERRORS[fault.code]
        headers = () if fault.retry_after_seconds is None else (("Retry-After", str(fault.retry_after_seconds)),)
        return reply(status, document, *headers)

    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """Exchange a refresh token, or the client's own credentials (Microsoft), for an access token."""
        given = call.fields
        account = next((one for one in self.accounts.values() if one.about["client_id"] == given.get("client_id")), None)
        if account is None or given.get("client_secret") != account.secret:
            return self.fault_reply(Fault(code="invalid_client"), call)
        if given.get("grant_type") == "client_credentials" and self.rotates:
            return reply(200, self._grant(account))
        owner = next((one for one in self.accounts.values() if self._knows(one, given.get("refresh_token", ""))), None)
        if given.get("grant_type") != "refresh_token" or owner is None or owner.about["revoked"]:
            return self.fault_reply(Fault(code="invalid_grant"), call)
        granted = self._grant(owner)
        if self.rotates:
            owner.about["rotation"] += 1
            known = [*owner.about.get("old_refresh_tokens", []), owner.about["refresh_token"]]
            owner.about["old_refresh_tokens"] = known  # Microsoft does not end the old one at once
            owner.about["refresh_token"] = f"{self.name}-refresh-{owner.id}-{owner.about['rotation']}"
            granted["refresh_token"] = owner.about["refresh_token"]
        return reply(200, granted)

    def _knows(self, account: Account, refresh_token: str) -> bool:
        old = () if account.about.get("one_time") else account.about.get("old_refresh_tokens", [])
        return refresh_token in (account.about["refresh_token"], *old)

    def _grant(self, account: Account) -> dict[str, Any]:
        token = f"{self.name}-access-{account.id}-{self.next_id()}"
        lives = account.about.get("life_seconds", self.life_seconds)
        account.about["access_tokens"][token] = self.world.clock.now_ms + lives * 1000
        return {"access_token": token, "expires_in": lives, "scope": "mail", "token_type": "Bearer"}


class Google(TokenEndpoint):
    """Keeps the refresh token."""

    name = "google"
    hosts = ("oauth2.googleapis.com",)


class Microsoft(TokenEndpoint):
    """Gives a new refresh token each time."""

    name = "microsoft"
    hosts = ("login.microsoftonline.com",)
    rotates = True
    life_seconds = 4_500
