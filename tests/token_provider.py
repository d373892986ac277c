"""A provider that gives tokens, in process and under the test's clock. `tests/contract/test_token_provider.py` compares it with
the simulator, call by call."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from shared.adapters.clock import Clock
from shared.providers.calling import PlacedCall, ProviderAnswer, ProviderResponse

CLIENT_SECRET = "canary-client-secret"
DAY = 86_400


class MovedClock:
    """Stands still until somebody moves it."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def move(self, seconds: float) -> None:
        self._now_ms += round(seconds * 1000)


class AtOnce(Executor):
    """Carries work out where it is handed in: a test's rounds have an order then."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(slots=True)
class Grant:
    """What one owner has: access tokens with their ends (ms), refresh tokens that still work."""

    owner: str
    service: str
    life_seconds: int
    one_time: bool
    access: dict[str, int] = field(default_factory=dict)
    refresh: list[str] = field(default_factory=list)
    given: int = 0
    ends_ms: int = 0  # of the newest access token


class TokenProvider:
    """Meta, Google and Microsoft as far as renewals go. Counts what a rotator must not do."""

    def __init__(self, clock: Clock, window_seconds: int = 60) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._window = window_seconds * 1000
        self._by_value: dict[str, Grant] = {}
        self.grants: dict[str, Grant] = {}
        self.renewals: Counter[str] = Counter()  # owner → successes
        self.refused: Counter[str] = Counter()
        self.calls: Counter[tuple[str, int]] = Counter()  # service and window
        self.uses: Counter[str] = Counter()  # refresh token → successful exchanges
        self.least_left: dict[str, float] = {}  # life in seconds → least that an access token had left when it was renewed
        self.overlaps = 0  # renewals of one owner under way at the same time
        self._under_way: set[str] = set()
        self.script: list[Callable[[PlacedCall], ProviderAnswer | None]] = []  # the next calls, before the provider's own answer
        self.during: Callable[[str], None] = lambda owner: None  # within a call, for tests that do something then

    def grant(self, owner: str, service: str, life_seconds: int, *, one_time: bool = False) -> Grant:
        """What a person's consent gives."""
        made = Grant(owner, service, life_seconds, one_time)
        self.grants[owner] = made
        self._issue(made)
        if service != "meta":
            self._issue_refresh(made)
        return made

    def call(self, placed: PlacedCall, service: str) -> ProviderAnswer:
        """One call."""
        with self._lock:
            self.calls[service, self._clock.now_ms() // self._window] += 1
            planned = self.script.pop(0) if self.script else None
        answer = None if planned is None else planned(placed)
        return answer or self._answer(placed)

    def _answer(self, placed: PlacedCall) -> ProviderAnswer:
        fields = dict(parse_qsl(urlsplit(placed.url).query))
        if isinstance(placed.body, tuple):
            fields |= dict(placed.body)  # type: ignore[arg-type]  # forms only
        if placed.call.step == "revoke":
            with self._lock:
                grant = self._by_value.get(fields["revoke_token"])
                if grant is not None:
                    grant.access.pop(fields["revoke_token"], None)
            return self._reply(200, {"success": True})
        shown = fields.get("fb_exchange_token") or fields.get("refresh_token") or ""
        with self._lock:
            grant = self._by_value.get(shown)
            if grant is not None and grant.owner in self._under_way:
                self.overlaps += 1
            owner = "" if grant is None else grant.owner
            self._under_way.add(owner)
        try:
            self.during(owner)
            with self._lock:
                return self._exchange(grant, shown, fields)
        finally:
            with self._lock:
                self._under_way.discard(owner)

    def _exchange(self, grant: Grant | None, shown: str, fields: dict[str, str]) -> ProviderAnswer:
        meta = "fb_exchange_token" in fields
        if fields.get("client_secret") != CLIENT_SECRET:
            return self._reply(400, _graph(1)) if meta and grant else self._reply(401, {"error": "invalid_client"})
        now = self._clock.now_ms()
        dead = grant is None or (grant.access.get(shown, 0) <= now if meta else shown not in grant.refresh)
        if grant is None or dead:
            self.refused["" if grant is None else grant.owner] += 1
            return self._reply(400, _graph(190) if meta else {"error": "invalid_grant"})
        left = (max(grant.access.values(), default=now) - now) / 1000
        key = str(grant.life_seconds)
        self.least_left[key] = min(left, self.least_left.get(key, left))
        self.renewals[grant.owner] += 1
        self.uses[shown] += 1
        access = self._issue(grant)
        granted = {"access_token": access, "expires_in": grant.life_seconds, "token_type": "Bearer"}
        if grant.service == "microsoft":
            if grant.one_time:
                grant.refresh.remove(shown)
            granted["refresh_token"] = self._issue_refresh(grant)
        return self._reply(200, granted)

    def lives(self, owner: str) -> float:
        """Seconds that the owner's newest access token has left."""
        return (self.grants[owner].ends_ms - self._clock.now_ms()) / 1000

    def _issue(self, grant: Grant) -> str:
        grant.given += 1
        now = self._clock.now_ms()
        grant.access = {value: end for value, end in grant.access.items() if end > now}
        value = f"canary-access-{grant.owner}-{grant.given}"
        grant.ends_ms = grant.access[value] = now + grant.life_seconds * 1000
        self._by_value[value] = grant
        return value

    def _issue_refresh(self, grant: Grant) -> str:
        value = f"canary-refresh-{grant.owner}-{grant.given}"
        grant.refresh = [*grant.refresh[-3:], value]
        self._by_value[value] = grant
        return value

    def _reply(self, status: int, document: object, **headers: str) -> ProviderResponse:
        return reply(status, document, self._clock.now_ms(), **headers)


def reply(status: int, document: object, now_ms: int = 0, **headers: str) -> ProviderResponse:
    """A JSON answer."""
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return ProviderResponse(status=status, body=json.dumps(document).encode(), headers=named, received_at_ms=now_ms)


def _graph(code: int) -> dict[str, object]:
    return {"error": {"message": "no", "type": "OAuthException", "code": code}}
