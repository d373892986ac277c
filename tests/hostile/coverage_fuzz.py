"""Coverage-guided fuzzing of the protocol class, where atheris is installed.

`python -m tests.hostile.coverage_fuzz -max_total_time=60 FOLDER`. The first byte of an input says how to cut the rest into reads.
A failure is an exception, a 500, or an answer that depends on the cuts. Only where a request has two faults at once, too long and
malformed, may the cuts decide which of them is named.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-not-found]  # optional: no wheel for every Python

with atheris.instrument_imports(include=["services.ingest"]):
    from services.ingest.exchange import Limits
    from tests.unit.services.ingest.wire import Wire

_NEVER = {500, 502, 504}
_REFUSALS = {400, 413, 414, 431}


def answers(pieces: list[bytes]) -> tuple[list[int], list[tuple[str, bytes, bytes]]]:
    """Statuses (without 100) and what the service saw."""
    wire = Wire(Limits())
    for piece in pieces:
        if not (wire.transport.closed or wire.transport.aborted):
            wire.send(piece)
    assert not wire.failures
    statuses = [400 if status in _REFUSALS else status for status in wire.statuses() if status != 100]
    assert _NEVER.isdisjoint(statuses)
    seen = list(wire.service.seen)
    wire.connection.connection_lost(None)
    assert wire.server.body_bytes == 0
    return statuses, seen


def one_input(data: bytes) -> None:
    """Whole and in pieces must give the same."""
    step, stream = data[0] % 16 + 1 if data else 1, data[1:]
    assert answers([stream]) == answers([stream[at : at + step] for at in range(0, len(stream), step)])


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=4096"], one_input)
    atheris.Fuzz()
