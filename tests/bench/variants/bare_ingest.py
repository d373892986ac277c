"""The edge's own protocol class and producer with nothing between them: no signature, no sealing, no Avro, no headers.

Arguments: bootstrap, topic, port.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

import uvloop

from services.ingest.__main__ import _calm_collector
from services.ingest.answers import TOO_LARGE, Answer, Outcome
from services.ingest.exchange import Exchange, Limits
from services.ingest.listener import open_sockets
from services.ingest.server import Server
from shared.adapters.durable_producer import DurableProducer
from shared.adapters.kafka import client_config
from shared.domain.errors import ChannelsError

ACCEPTED = Answer(status=200, outcome=Outcome.ACCEPTED)
FAILED = Answer(status=503, outcome=Outcome.UNAVAILABLE)


class OnlyProduces:
    """Takes every body and writes it."""

    def __init__(self, producer: DurableProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    def admit(self, exchange: Exchange, length_bytes: int | None) -> int | Answer:
        """Anything goes."""
        return 1_000_000

    def too_large(self, exchange: Exchange) -> Answer:
        """A body beyond the bound."""
        return TOO_LARGE

    def handle(self, exchange: Exchange) -> None:
        """Write the body as it is."""
        try:
            self._producer.produce(self._topic, b"bench", exchange.body, [], partial(_answer, exchange))
        except ChannelsError:
            exchange.respond(FAILED)

    def answered(self, exchange: Exchange | None, answer: Answer, seconds: float) -> None:
        """Nothing is counted."""


def _answer(exchange: Exchange, error: ChannelsError | None) -> None:
    exchange.respond(ACCEPTED if error is None else FAILED)


async def _serve(bootstrap: str, topic: str, port: int) -> None:
    producer = DurableProducer(client_config(bootstrap, "bench-bare"), watched_topic=topic)
    now = asyncio.get_running_loop().time
    server = Server(OnlyProduces(producer, topic), Limits(), now, lambda error: print(repr(error), file=sys.stderr))
    producer.start()
    while not producer.ready:  # noqa: ASYNC110 - it tells by a property
        await asyncio.sleep(0.05)
    await server.listen(open_sockets("127.0.0.1", port))
    _calm_collector()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
