"""Around every call of the management API: what is counted and told of it, and where a body ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from services.control import measuring
from services.control.measuring import Measured
from shared.runtime.metrics import ControlMetrics

TEMPLATE, PATH = "/v1/connectors/{connector_id}", "/v1/connectors/01900000-0000-7000-8000-000000000001"
BODY_BYTES = 10


def answering(status: int, route: str | None = TEMPLATE, subject: str | None = None) -> ASGIApp:
    """Reads its body, then answers; a refusal is answered with its own status, as in front of the framework."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if route is not None:
            scope["route"] = SimpleNamespace(path=route)
        if subject is not None:
            scope["state"] = {"identity": SimpleNamespace(subject=subject)}
        headers, code = {}, status
        try:
            while (await receive())["more_body"]:
                pass
        except HTTPException as refused:
            headers, code = dict(refused.headers or {}), refused.status_code
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return app


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    scope["route"] = SimpleNamespace(path=TEMPLATE)
    raise ZeroDivisionError


class Calls:
    """Calls of one application; `told`: the lines of the log."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ControlMetrics(self.registry)
        self.told: list[Any] = []

    def call(self, app: ASGIApp, method: str = "GET", chunks: Sequence[bytes] = (b"",), **headers: str) -> list[Message]:
        """What it sent; the names of headers as Python writes them."""
        left, sent = list(chunks), list[Message]()

        async def receive() -> Message:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: Message) -> None:
            sent.append(message)

        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": PATH, "headers": named}
        measured = Measured(app, metrics=self.metrics, body_bytes=BODY_BYTES)
        with capture_logs() as lines:
            try:
                asyncio.run(measured(scope, receive, send))
            finally:
                self.told += lines
        return sent

    def counted(self) -> dict[tuple[str, str, str], float]:
        return dict(self.metrics.requests.counts)

    def timed(self, kind: str, what: str = "count") -> float | None:
        return self.registry.get_sample_value(f"channels_control_answer_seconds_{what}", {"kind": kind})


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_a_call_is_counted_by_the_template_of_its_route(calls: Calls) -> None:
    for method, status in (("GET", 200), ("GET", 200), ("PATCH", 412)):
        calls.call(answering(status), method)
    assert calls.counted() == {("GET", TEMPLATE, "200"): 2, ("PATCH", TEMPLATE, "412"): 1}


def test_what_leads_nowhere_adds_no_labels_of_the_callers_choice(calls: Calls) -> None:
    for method in ("GET", "PROPFIND"):
        calls.call(answering(404, route=None), method)
    assert calls.counted() == {("other", "unknown", "404"): 2}


def test_what_breaks_before_its_answer_is_counted_as_500(calls: Calls) -> None:
    with pytest.raises(ZeroDivisionError):
        calls.call(failing)
    assert calls.counted() == {("GET", TEMPLATE, "500"): 1}
    assert [line["status"] for line in calls.told] == [500]


def test_time_is_kept_for_reads_and_for_writes(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((5.0, 5.25, 6.0, 6.0, 7.0, 7.0, 8.0, 8.5))
    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    for method in ("GET", "HEAD", "POST", "DELETE"):
        calls.call(answering(200), method)
    assert [calls.timed(kind, what) for kind in ("read", "write") for what in ("count", "sum")] == [2, 0.25, 2, 0.5]
    assert [line["milliseconds"] for line in calls.told] == [250.0, 0.0, 0.0, 500.0]


@pytest.mark.parametrize("subject", ["ana", None])
def test_one_line_tells_who_called_what_and_no_id_of_the_path(calls: Calls, subject: str | None) -> None:
    calls.call(answering(200, subject=subject))
    [line] = calls.told
    assert (line["event"], line["method"], line["route"], line["status"]) == ("call_answered", "GET", TEMPLATE, 200)
    assert line["subject"] == subject
    assert PATH not in str(line)


@pytest.mark.parametrize(
    ("chunks", "headers", "status"),
    [
        ((b"x" * 10,), {}, 200),
        ((b"x" * 10,), {"content_length": "10"}, 200),
        ((b"x" * 11,), {}, 413),
        ((b"x" * 6, b"x" * 4), {}, 200),
        ((b"x" * 6, b"x" * 5), {}, 413),
        ((b"x",), {"content_length": "11"}, 413),  # before anything of it is looked at
        ((b"x",), {"content_length": "a lot"}, 200),
    ],
)
def test_a_body_ends_at_its_bound(calls: Calls, chunks: Sequence[bytes], headers: dict[str, str], status: int) -> None:
    started = calls.call(answering(200), "POST", chunks, **headers)[0]
    assert started["status"] == status
    assert started["headers"] == ({"Connection": "close"} if status == 413 else {})
    assert calls.counted() == {("POST", TEMPLATE, str(status)): 1}
