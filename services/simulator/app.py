"""The simulator's HTTP server: the control API under /_control, every stand-in's API under its name, webhooks out.

`/_control/{stand-in}/{order}` runs an order, `/_control/advance` lets virtual time pass, `/_control/ledger` and
`/_control/state` tell. `/{stand-in}/…` is what the provider's own host would answer at `/…`.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from services.simulator.control import Control, WrongOrder
from services.simulator.faults import AnswerLost
from services.simulator.schedules import SCHEDULES
from services.simulator.simulator import Simulator
from services.simulator.wire import Answer, Post

_LONGEST_SECONDS = max(schedule.timeout_seconds for schedule in SCHEDULES.values())
_TICK_SECONDS = 0.05
_MAX_BODY_BYTES = 128 * 1024 * 1024


class Server:
    """One simulator behind one port. `speed`: virtual seconds in a real one; 0: only by orders."""

    def __init__(self, simulator: Simulator, speed: float, patience_seconds: float | None = None) -> None:
        self.simulator = simulator
        self.control = Control(simulator)
        self._speed = speed
        self._patience = ClientTimeout(total=patience_seconds or _LONGEST_SECONDS)
        self._turn = asyncio.Lock()  # one wave of posts at a time, so that runs can be repeated
        self._session: ClientSession | None = None

    def application(self) -> web.Application:
        """The aiohttp application; its start opens the client session, its end closes it."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_get("/_control/ledger", self._ledger)
        app.router.add_get("/_control/state", self._state)
        app.router.add_post("/_control/advance", self._advance)
        app.router.add_post("/_control/{stand_in}/{order}", self._order)
        app.router.add_route("*", "/{stand_in}/{rest:.*}", self._api)
        app.cleanup_ctx.append(self._life)
        return app

    async def _life(self, _: web.Application) -> Any:
        self._session = ClientSession(timeout=self._patience, auto_decompress=False)
        ticking = asyncio.create_task(self._tick()) if self._speed > 0 else None
        yield
        if ticking is not None:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
        await self._session.close()

    async def _tick(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            async with self._turn:
                await self.simulator.advance_soon((now - before) * self._speed, self._post)
            before = now

    async def _post(self, post: Post) -> Answer:
        assert self._session is not None  # noqa: S101 - opened before the first request is served
        began = time.monotonic()
        try:
            async with self._session.request(
                post.method, post.url, data=post.body, headers=dict(post.headers), allow_redirects=False
            ) as response:
                body = await response.read()
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(status=response.status, headers=headers, body=body, seconds=time.monotonic() - began)
        except (ClientError, OSError, TimeoutError):
            return Answer(status=None, seconds=time.monotonic() - began)

    async def _ledger(self, request: web.Request) -> web.Response:
        return web.json_response({"lines": self.control.ledger(int(request.query.get("since", "0")))})

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response(self.control.state())

    async def _advance(self, request: web.Request) -> web.Response:
        seconds = float((await request.json()).get("seconds", 0.0))
        async with self._turn:
            await self.simulator.advance_soon(seconds, self._post)
        return web.json_response(self.control.state())

    async def _order(self, request: web.Request) -> web.Response:
        text = await request.text()
        try:
            order = json.loads(text or "{}")
            done = self.control.run(request.match_info["stand_in"], request.match_info["order"], order)
        except (WrongOrder, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(done)

    async def _api(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["stand_in"] not in self.simulator.stand_ins:
            return web.json_response({"error": "no such stand-in"}, status=404)
        body = await request.read()
        try:
            answer = self.simulator.call(request.method, str(request.rel_url), dict(request.headers), body)
        except AnswerLost:
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=500)  # nobody reads it any more
        return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))
