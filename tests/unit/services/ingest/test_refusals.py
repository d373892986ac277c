"""The log of refusals under a flood."""

from __future__ import annotations

from services.ingest.refusals import RefusalLog


def test_a_flood_is_held_back_and_told() -> None:
    now, lines = [0.0], []
    log = RefusalLog(lambda event, **fields: lines.append((event, fields)), lambda: now[0])
    for _ in range(10_000):
        log.write(reason="x")
    assert len(lines) == 100
    now[0] += 1
    for _ in range(10_000):
        log.write(reason="x")
    assert len(lines) == 120
    assert lines[100] == ("request_refused", {"reason": "x", "held_back_lines": 9_900})
    assert lines[101] == ("request_refused", {"reason": "x"})


def test_the_fields_are_written() -> None:
    lines = []
    RefusalLog(lambda event, **fields: lines.append(fields), lambda: 0.0).write(status=401, reason="signature_wrong")
    assert lines == [{"status": 401, "reason": "signature_wrong"}]
