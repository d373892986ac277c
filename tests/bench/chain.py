"""Ingest and router in one chain, loaded at a fixed rate of arrival and watched at the far end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from shared.adapters.kafka import full_name
from shared.domain.topics import Topic
from tests.bench.load import sign_all
from tests.bench.measurement import percentile
from tests.bench.output import Output
from tests.bench.processes import ROOT, Measured, free_port
from tests.bench.router import Bodies
from tests.bench.site import Site
from tests.pipeline import Pipeline

_CONNECTIONS = 256
_ID = re.compile(rb'"id":"(wamid\.[^"]+)"')
_KEEPING_UP_SECONDS = 1.0
_FIRST_RATE, _GROWTH = 1_000.0, 1.5


@dataclass(frozen=True, slots=True)
class Passage:
    """One run: sorted latencies from the intended send time, in seconds, at the answer's p50/p99 and at the consumer."""

    rate: float
    answer_p50_ms: float
    answer_p99_ms: float
    seen_seconds: list[float]

    @property
    def p50_ms(self) -> float:
        """Half of the messages were seen earlier."""
        return percentile(self.seen_seconds, 0.5) * 1e3

    @property
    def p99_ms(self) -> float:
        """99 of 100 messages were seen earlier."""
        return percentile(self.seen_seconds, 0.99) * 1e3


class Chain:
    """One ingest and one router process with an installation of their own. A context manager."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._bodies = Bodies()
        self._pipeline: Pipeline = site.installation()
        self._open = ExitStack()
        self._port, self._operations_port = free_port(), free_port()
        environment = site.environment(self._pipeline, ingest_port=self._port, ingest_operations_port=self._operations_port)
        self.ingest = Measured([sys.executable, "-m", "services.ingest"], environment, site.logs / "ingest.log")
        self.router, self._router_port = site.router(self._pipeline)

    def __enter__(self) -> Chain:
        self._open.enter_context(self.ingest)
        self._open.enter_context(self.router)
        self.ingest.wait_http(self._operations_port, "/readyz")
        self.router.wait_http(self._router_port, "/readyz")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def pass_through(self, rate: float, seconds: float, watch: Callable[[int], None] | None = None) -> Passage:
        """Post at `rate` per second for so long, and wait until the last message was seen.

        `watch` is told now and then how many were seen. Raises RuntimeError when a post is refused or a message is missing.
        """
        count = max(10, int(rate * seconds))
        bodies = list(self._bodies.take(count))
        ids = [_message_id(body) for body in bodies]
        requests = sign_all(bodies, self._site.home / "open-requests.tsv")
        topic = full_name(self._pipeline.prefix, Topic.MESSAGE_RECEIVED)
        with Output(self._pipeline.bootstrap, topic) as output:
            load = self._load(requests, rate, count)
            try:
                arrivals = output.collect(count, seconds + 60, self._check(load), watch)
                told = json.loads(load.communicate(timeout=30)[0])
            except RuntimeError as error:
                raise RuntimeError(f"{error}; {self._state(load)}") from error
            finally:
                load.kill()
        if told["refused"] or told["broken"] or told["answers"] != count:
            raise RuntimeError(f"{told} of {count} posts; {self.ingest.last_words()}")
        due = {message_id: told["start"] + number / rate for number, message_id in enumerate(ids)}
        codec = self._pipeline.codec
        seen = sorted(at - due[codec.decode(Topic.MESSAGE_RECEIVED, value).message.provider_message_id] for at, value in arrivals)
        return Passage(rate, told["p50_ms"], told["p99_ms"], seen)

    def maximum(self, say: Callable[[str], None], seconds: float = 3.0) -> float:
        """The highest rate found at which 99 % of the messages are seen within a second."""
        self.pass_through(_FIRST_RATE / 2, 1)  # warm-up
        good, bad = 0.0, 0.0
        rate = _FIRST_RATE
        while not bad or bad / good > 1.1:
            passage = self.pass_through(rate, seconds)
            keeps_up = passage.p99_ms < _KEEPING_UP_SECONDS * 1e3
            say(f"  {rate:6.0f}/s: p99 {passage.p99_ms:7.0f} ms{'' if keeps_up else ', too much'}")
            good, bad = (rate, bad) if keeps_up else (good, rate)
            if not good:
                raise RuntimeError(f"the chain does not keep up with {rate:.0f} messages a second")
            rate = good * _GROWTH if not bad else (good + bad) / 2
        return good

    def _load(self, requests: Path, rate: float, count: int) -> subprocess.Popen[str]:
        arguments = (self._port, f"/webhooks/{self._pipeline.connector_id}", requests, rate, count, _CONNECTIONS)
        command = [sys.executable, "-m", "tests.bench.open_load", *map(str, arguments)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _state(self, load: subprocess.Popen[str]) -> str:
        """What is known when messages are missing."""
        told = load.communicate()[0] if load.poll() is not None else "still at work"
        return f"load: {told}\ningest: {self.ingest.last_words()}\nrouter: {self.router.last_words()}"

    def _check(self, load: subprocess.Popen[str]) -> Callable[[], None]:
        def check() -> None:
            self.ingest.check()
            self.router.check()
            if load.poll():
                raise RuntimeError(f"the load failed: {load.communicate()[1][-500:]}")

        return check


def _message_id(body: bytes) -> str:
    found = _ID.search(body)
    if found is None:
        raise RuntimeError("a body of the bench has a message id")
    return found[1].decode()
