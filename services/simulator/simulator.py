"""The whole simulator in one object: all stand-ins on one virtual clock. Tests use it in process, the server by HTTP.

The same seed and the same orders give the same requests, byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

from services.simulator.clock import START_MS, VirtualClock
from services.simulator.delivery import Attempt, Engine, LedgerLine
from services.simulator.registry import STAND_INS
from services.simulator.stand_in import StandIn, World
from services.simulator.wire import Answer, ApiCall, ApiReply, Post

PostNow = Callable[[Post], Answer]
PostSoon = Callable[[Post], Awaitable[Answer]]
_CHALLENGE = Answer(status=401, headers={"www-authenticate": 'Basic realm="simulated"'})


class Simulator:
    """`stand_ins` by name; `post` is how webhooks leave."""

    def __init__(self, seed: int = 1, start_ms: int = START_MS) -> None:
        self.clock = VirtualClock(start_ms)
        self.engine = Engine(self.clock, random.Random(f"{seed}/engine"))
        self.world = World(self.clock, self.engine, seed)
        self.stand_ins: dict[str, StandIn] = {kind.name: kind(self.world) for kind in STAND_INS}

    def __getitem__(self, name: str) -> StandIn:
        """One stand-in; raises KeyError for an unknown name."""
        return self.stand_ins[name]

    @property
    def ledger(self) -> list[LedgerLine]:
        """Every attempt so far, in order."""
        return self.engine.ledger

    def posts(self) -> list[Post]:
        """What is due right now, taken as posted and answered 200 (a credential is asked for): for tests that only want them."""
        found = []
        while attempts := self._due():
            for attempt in attempts:
                if self.engine.withholds(attempt):
                    self.engine.answered(attempt, _CHALLENGE)
                    continue
                found.append(attempt.post)
                self.engine.answered(attempt, Answer(status=200))
        return found

    def advance(self, seconds: float, post: PostNow) -> None:
        """Let time pass: everything that falls due is posted and answered at its own moment."""
        end_ms = self.clock.now_ms + round(seconds * 1000)
        while True:
            for attempt in self._due():
                self.engine.answered(attempt, post(attempt.post))
            if not self._step(end_ms):
                return

    async def advance_soon(self, seconds: float, post: PostSoon) -> None:
        """The same with posts that are awaited, one after another, so that the order is repeatable."""
        end_ms = self.clock.now_ms + round(seconds * 1000)
        while True:
            for attempt in self._due():
                self.engine.answered(attempt, await post(attempt.post))
            if not self._step(end_ms):
                return

    def call(self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> ApiReply:
        """One API call, routed by the real host or by the first part of the path (`/meta/v25.0/…`)."""
        parts = urlsplit(url)
        stand_in = next((one for one in self.stand_ins.values() if parts.hostname in one.hosts), None)
        path = parts.path
        if stand_in is None:
            name, _, rest = path.lstrip("/").partition("/")
            stand_in, path = self.stand_ins[name], f"/{rest}"
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        call = ApiCall(method=method, path=path, query=query, headers=lowered, body=body)
        try:
            return stand_in.answer(call)
        finally:
            self._flush()

    def _due(self) -> list[Attempt]:
        self.world.act()
        self._flush()
        return self.engine.due()

    def _flush(self) -> None:
        for stand_in in self.stand_ins.values():
            stand_in.flush()

    def _step(self, end_ms: int) -> bool:
        """Move to the next moment at which something is due; False once the end is reached and nothing is due."""
        moments = [moment for moment in (self.engine.next_moment_ms(), self.world.next_act_ms()) if moment is not None]
        following = min(moments, default=end_ms + 1)
        self.clock.move_to(min(following, end_ms))
        return following <= end_ms
