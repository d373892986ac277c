"""What the providers' records build and read, over real HTTP: their calls, our client, the simulator as a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from services.simulator.app import Server
from shared.adapters.egress import Egress, read_allow_list
from shared.adapters.egress_target import read_target
from shared.adapters.http_client import HttpClient
from shared.adapters.http_retries import PATIENT
from shared.domain.enums import HealthStatus
from shared.providers.calling import ProviderResponse, carried, placed
from shared.providers.checking import overall
from shared.providers.sending import Accepted, SendOutcome, UnknownOutcome
from tests.contract.providers.test_calls_against_simulator import NAMES, Side, side
from tests.http_peer import HOST, HandTimer, parts_of
from tests.on_loop import on_loop

FIXED = {"meta": "graph.facebook.com", "telegram": "api.telegram.org", "zapi": "api.z-api.io"}


@asynccontextmanager
async def reaching(one: Side) -> AsyncIterator[HttpClient]:
    """A client for which the side's provider is played by the simulator: by a stand-in, or at the tenant's own URL."""
    runner = web.AppRunner(Server(one.simulator, speed=0).application())
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    origin = f"http://{HOST}:{runner.addresses[0][1]}"
    try:
        if one.name in FIXED:
            host = FIXED[one.name]
            fixed = Egress(only_hosts=frozenset({host}), allow=read_allow_list([origin], "tests"))
            stand_ins = {host: read_target(f"{origin}/{one.stand_in}")}
            parts = parts_of(fixed=fixed, stand_ins=stand_ins, timer=HandTimer())
        else:
            one.settings["base_url"] = f"{origin}/{one.stand_in}"
            parts = parts_of(origin, timer=HandTimer())
        async with HttpClient(parts) as client:
            yield client
    finally:
        await runner.cleanup()


async def sent(one: Side, client: HttpClient) -> SendOutcome:
    sending = one.provider.sending
    assert sending is not None
    answers: dict[str, ProviderResponse] = {}
    outcome: SendOutcome | None = None
    for call in sending.build(one.order(), one.context):
        exchange = await client.call(placed(carried(call, answers), one.credentials), provider=one.tipo.value)
        outcome = sending.read(call, exchange.answer)
        if isinstance(exchange.answer, ProviderResponse):
            answers[call.step] = exchange.answer
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("name", NAMES)
@on_loop
async def test_a_message_is_sent_and_a_lost_answer_is_not_asked_for_again(name):
    one = side(name)
    async with reaching(one) as client:
        assert isinstance(await sent(one, client), Accepted)
        one.simulator[one.stand_in].faults.add(code="any", lost=True)
        assert isinstance(await sent(one, client), UnknownOutcome)


@pytest.mark.parametrize("name", NAMES)
@on_loop
async def test_checks_are_graded_and_asked_again_after_a_lost_answer(name):
    one = side(name)
    checking = one.provider.checking
    assert checking is not None
    async with reaching(one) as client:
        one.simulator[one.stand_in].faults.add(code="any", lost=True)
        answers, attempts = {}, []
        for call in checking.build(one.context):
            exchange = await client.call(placed(call, one.credentials), effort=PATIENT)
            answers[call.step] = exchange.answer
            attempts.append(exchange.attempts)
    assert attempts[0] == 2
    assert set(attempts[1:]) <= {1}
    assert all(isinstance(answer, ProviderResponse) and answer.status < 500 for answer in answers.values())
    # Telegram warns: nobody has set up its webhook here
    assert overall(checking.grade(answers, one.context)) in (HealthStatus.PASSED, HealthStatus.WARNING)
