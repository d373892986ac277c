"""A provider that is never the bottleneck: answers every request of Meta's health with a healthy number, keeps connections.

python -m tests.bench.provider_stub PORT
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

_NUMBER = {"id": "1", "status": "CONNECTED", "quality_rating": "GREEN", "platform_type": "CLOUD_API", "name_status": "APPROVED"}
_APPS = {"data": [{"whatsapp_business_api_data": {"id": "3"}}]}


def _answer(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


NODE, SUBSCRIBED = _answer(_NUMBER), _answer(_APPS)


class Stub(asyncio.Protocol):
    """One connection; requests without a body, one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(SUBSCRIBED if b"/subscribed_apps" in data else NODE)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=1_024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
