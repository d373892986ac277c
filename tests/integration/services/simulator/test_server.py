"""The simulator as a server: orders over HTTP, webhooks over real sockets, lost answers as closed connections."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, ServerDisconnectedError, web

from services.simulator.app import Server
from services.simulator.simulator import Simulator

Visit = Callable[["Stage"], Awaitable[None]]


class Stage:
    """A simulator and a receiver that answers as told, each on a port of its own."""

    def __init__(self, simulator: str, hook: str, session: ClientSession, statuses: list[int], received: list[Any]) -> None:
        self.simulator, self.hook, self.session = simulator, hook, session
        self.statuses, self.received = statuses, received

    async def order(self, path: str, **order: Any) -> dict[str, Any]:
        async with self.session.post(f"{self.simulator}/_control/{path}", json=order) as response:
            found: dict[str, Any] = await response.json()
            return found

    async def ledger(self) -> list[dict[str, Any]]:
        async with self.session.get(f"{self.simulator}/_control/ledger") as response:
            return list((await response.json())["lines"])


async def _serve(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def play(visit: Visit) -> None:
    """Run one visit with both servers up."""
    statuses, received = list[int](), list[Any]()

    async def receive(request: web.Request) -> web.Response:
        received.append((dict(request.headers), await request.read()))
        return web.Response(status=statuses.pop(0) if statuses else 200)

    async def run() -> None:
        edge = web.Application()
        edge.router.add_post("/hook", receive)
        edge_runner, edge_address = await _serve(edge)
        runner, address = await _serve(Server(Simulator(), speed=0).application())
        try:
            async with ClientSession() as session:
                await visit(Stage(address, f"{edge_address}/hook", session, statuses, received))
        finally:
            await runner.cleanup()
            await edge_runner.cleanup()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_message_is_posted_repeated_and_written_down() -> None:
    async def visit(stage: Stage) -> None:
        stage.statuses += [503, 503, 200]
        made = (await stage.order("meta/create", callback_url=stage.hook, secret="s3cret"))["done"]
        await stage.order("meta/say", account=made["id"], utterance={"text": "Oi!"})
        await stage.order("advance", seconds=60)
        assert [(line["status"], line["outcome"]) for line in await stage.ledger()] == [
            (503, "waiting"),
            (503, "waiting"),
            (200, "delivered"),
        ]
        headers, body = stage.received[-1]
        assert headers["X-Hub-Signature-256"] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
        assert len({body for _, body in stage.received}) == 1

    play(visit)


def test_our_calls_get_ids_and_later_receipts() -> None:
    async def visit(stage: Stage) -> None:
        made = (await stage.order("meta/create", callback_url=stage.hook))["done"]
        headers = {"Authorization": f"Bearer {made['about']['access_token']}"}
        order = {"messaging_product": "whatsapp", "to": "5511900000001", "type": "text", "text": {"body": "oi"}}
        async with stage.session.post(f"{stage.simulator}/meta/v25.0/{made['id']}/messages", json=order, headers=headers) as sent:
            message_id = (await sent.json())["messages"][0]["id"]
        await stage.order("advance", seconds=60)
        told = [json.loads(body)["entry"][0]["changes"][0]["value"]["statuses"][0] for _, body in stage.received]
        assert [(status["id"], status["status"]) for status in told] == [
            (message_id, "sent"),
            (message_id, "delivered"),
            (message_id, "read"),
        ]

    play(visit)


def test_a_lost_answer_closes_the_connection() -> None:
    async def visit(stage: Stage) -> None:
        made = (await stage.order("telegram/create"))["done"]
        await stage.order("telegram/fault", operation="sendMessage", code="internal", lost=True)
        url = f"{stage.simulator}/telegram/bot{made['about']['token']}/sendMessage"
        with pytest.raises(ServerDisconnectedError):
            await stage.session.post(url, json={"chat_id": 5, "text": "oi"})
        async with stage.session.post(url, json={"chat_id": 5, "text": "oi"}) as response:
            assert (await response.json())["ok"] is True

    play(visit)


def test_a_receiver_that_is_not_there_is_no_answer() -> None:
    async def visit(stage: Stage) -> None:
        made = (await stage.order("zapi/create", callback_url="http://127.0.0.1:9/none"))["done"]
        await stage.order("zapi/say", account=made["id"])
        await stage.order("advance", seconds=1)
        assert [(line["status"], line["outcome"]) for line in await stage.ledger()] == [(None, "dropped")]

    play(visit)


def test_wrong_orders_and_paths_are_told() -> None:
    async def visit(stage: Stage) -> None:
        assert "no stand-in" in (await stage.order("nobody/say"))["error"]
        assert "no order" in (await stage.order("meta/dance"))["error"]
        async with stage.session.get(f"{stage.simulator}/nobody/x") as response:
            assert response.status == 404

    play(visit)
