"""Raw conversations over sockets: send bytes as they are, see what comes back and how the connection ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.hostile.cases.parts import CLOSED, CONNECTOR, HOST, KEPT, PATH, QUERY, Case

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_MARK = b"still-in-step"
_PROBE = b"GET " + PATH + QUERY.replace(b"c0ffee", _MARK) + b" HTTP/1.1\r\n" + HOST + b"\r\n"
_QUIET_SECONDS = 0.6
_TOGETHER = 24  # conversations at a time
_PIECE_SECONDS = 0.001
_CONTINUE_SECONDS = 0.3  # who asks for a 100 waits for it: a body that is there already makes it needless


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server did: the statuses, and then `kept` (a further request was answered rightly), `closed`, or `waiting`."""

    answers: tuple[int, ...]
    end: str

    def __str__(self) -> str:
        return " ".join([*map(str, self.answers), self.end])


def expected(case: Case) -> Seen:
    """The right answer."""
    return Seen(case.answers, case.end)


async def converse(port: int, connector_id: str, case: Case, patience_seconds: float) -> Seen:
    """Hold one conversation; `patience_seconds`: how long to wait where only a deadline brings the answer."""
    connector = connector_id.encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    quiet = patience_seconds if case.patient else _QUIET_SECONDS
    pieces = [piece.replace(CONNECTOR, connector) for piece in case.pieces]
    pause = _CONTINUE_SECONDS if 100 in case.answers else _PIECE_SECONDS
    try:
        sending = asyncio.create_task(_send(writer, pieces, case.half_close, pause))
        got, ended = await _receive(reader, quiet)
        await sending
        mute = case.half_close or case.patient  # nothing more can be said, or it would end what stalls
        end = CLOSED if ended else "waiting" if mute else await _probe(reader, writer, connector)
        return Seen(tuple(int(status) for status in _STATUS.findall(got)), end)
    finally:
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, pieces: Iterable[bytes], half_close: bool, pause: float = _PIECE_SECONDS) -> None:
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        if half_close:
            writer.write_eof()
    except OSError:
        return  # refused while we were still talking; the answer, if any, is in the reader


async def _receive(reader: asyncio.StreamReader, quiet_seconds: float) -> tuple[bytes, bool]:
    """All bytes until the end (True) or until nothing came for so long (False)."""
    got = b""
    try:
        while True:
            async with asyncio.timeout(quiet_seconds):
                data = await reader.read(65_536)
            if not data:
                return got, True
            got += data
    except TimeoutError:
        return got, False
    except OSError:
        return got, True


async def _probe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connector: bytes) -> str:
    """A handshake on the same connection shows whether client and server still agree where requests begin."""
    await _send(writer, [_PROBE.replace(CONNECTOR, connector)], half_close=False)
    got, ended = await _receive(reader, _QUIET_SECONDS)
    if _MARK in got and len(_STATUS.findall(got)) == 1:
        return KEPT
    return CLOSED if ended else "waiting"


async def converse_all(port: int, connector_id: str, cases: Iterable[Case], patience_seconds: float) -> dict[str, Seen]:
    """Every case, some at a time; what was seen by name of the case."""
    gate = asyncio.Semaphore(_TOGETHER)

    async def one(case: Case) -> tuple[str, Seen]:
        async with gate:
            return case.name, await converse(port, connector_id, case, patience_seconds)

    return dict(await asyncio.gather(*(one(case) for case in cases)))
