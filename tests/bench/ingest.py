"""Part 2: the edge against FastAPI, against itself answering too early, against itself without its work, and against Go."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from shared.adapters.kafka import full_name
from shared.domain.topics import Topic
from tests.bench.load import closed_loop, generator, sign_all
from tests.bench.measurement import Part, Values, interleave
from tests.bench.processes import Measured, free_port
from tests.bench.rivals import FOLDER, go_program, is_installed, rival_python, rival_versions
from tests.bench.router import Bodies
from tests.bench.site import APP_SECRET, Site
from tests.pipeline import Pipeline

RATE, PER_CPU, P50, P99 = "acknowledged per second", "acknowledged per server CPU second", "p50", "p99"
UNITS = {RATE: "req/s", PER_CPU: "req/CPU s", P50: "ms", P99: "ms"}
EDGE, CONTROL, FASTAPI = "ingest", "ingest again (control)", "FastAPI + uvicorn + aiokafka"
EARLY, BARE, GO = "ingest answering early", "protocol class, only produces", "bare Go net/http + franz-go"
SIGNED_BODIES = 4_000
REFUSED_SHARE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Load of one round."""

    connections: int = 256
    seconds: float = 4
    rounds: int = 5
    download: bool = True  # rivals that are not installed yet; else they are left out

    @classmethod
    def quick(cls) -> Sizes:
        """Only enough to see that all of it works."""
        return cls(connections=32, seconds=1, rounds=1, download=False)


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load and where to post."""

    process: Measured
    port: int
    path: str
    requests: Path
    sizes: Sizes

    def measure(self) -> Values:
        """One round. Raises RuntimeError when requests are refused: then the figure would mean nothing."""
        self.process.check()
        before = self.process.cpu_seconds()
        seen = closed_loop(self.port, self.path, self.requests, connections=self.sizes.connections, seconds=self.sizes.seconds)
        spent = self.process.cpu_seconds() - before
        if seen.refused + seen.broken > seen.answers * REFUSED_SHARE:
            raise RuntimeError(f"{seen}: {self.process.last_words()}")
        good = seen.answers - seen.refused
        return {RATE: good / seen.seconds, PER_CPU: good / max(spent, 1e-3), P50: seen.p50_ms, P99: seen.p99_ms}


class Servers:
    """All candidates, running side by side for the whole part (only the one under load works)."""

    def __init__(self, site: Site, sizes: Sizes, open_now: ExitStack) -> None:
        self._site = site
        self._sizes = sizes
        self._open = open_now
        self._bootstrap = site.addresses.kafka_bootstrap
        self._requests = sign_all(Bodies().take(SIGNED_BODIES), site.home / "requests.tsv")

    def edge(self, module: str, pipeline: Pipeline) -> Server:
        """The real service, or a variant of it, in one process."""
        port, operations_port = free_port(), free_port()
        environment = self._site.environment(pipeline, ingest_port=port, ingest_operations_port=operations_port)
        process = self._start(Measured([sys.executable, "-m", module], environment, self._site.logs / f"{module}.log"))
        process.wait_http(operations_port, "/readyz")
        return self._server(process, port, pipeline.connector_id)

    def bare(self) -> Server:
        """Our protocol class with nothing behind it but the producer."""
        port, topic = free_port(), self._topic("bare")
        argv = [sys.executable, "-m", "tests.bench.variants.bare_ingest", self._bootstrap, topic, str(port)]
        return self._listening(Measured(argv, {}, self._site.logs / "bare.log"), port)

    def fastapi(self, say: Callable[[str], None]) -> Server:
        """The rival, one process, uvicorn with uvloop and httptools."""
        port, topic = free_port(), self._topic("fastapi")
        environment = {"BENCH_ARGUMENTS": f"{self._bootstrap},{topic},{APP_SECRET}", "PYTHONPATH": str(FOLDER / "fastapi")}
        options = ["--port", str(port), "--no-access-log", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
        argv = [rival_python("fastapi", say), "-m", "uvicorn", "app:app", *options]
        return self._listening(Measured(argv, environment, self._site.logs / "fastapi.log"), port)

    def go(self, program: Path) -> Server:
        """The bare twin in Go."""
        port, topic = free_port(), self._topic("go")
        return self._listening(Measured([program, self._bootstrap, topic, str(port)], {}, self._site.logs / "go.log"), port)

    def _topic(self, name: str) -> str:
        topic = f"{self._site.mark}-{name}"
        self._site.create_topics(topic)
        return topic

    def _start(self, process: Measured) -> Measured:
        return self._open.enter_context(process)

    def _listening(self, process: Measured, port: int) -> Server:
        self._start(process).wait_port(port)
        return self._server(process, port, "bench")

    def _server(self, process: Measured, port: int, connector_id: str) -> Server:
        return Server(process, port, f"/webhooks/{connector_id}", self._requests, self._sizes)


def run(site: Site, sizes: Sizes, say: Callable[[str], None]) -> Part:
    """The whole part. Blocks for about three minutes (quick: fifteen seconds)."""
    part = Part(
        name="ingest",
        title="Ingest",
        settings={
            "connections": sizes.connections,
            "seconds per round": sizes.seconds,
            "rounds": sizes.rounds,
            "server processes": "1 each",
            "load": generator(),
        },
    )
    pipeline = site.installation()
    with ExitStack() as open_now:
        servers = Servers(site, sizes, open_now)
        edge = servers.edge("services.ingest", pipeline)
        candidates = {
            EDGE: edge.measure,
            EARLY: servers.edge("tests.bench.variants.early_ingest", pipeline).measure,
            BARE: servers.bare().measure,
            CONTROL: edge.measure,
        }
        if sizes.download or is_installed("fastapi"):
            candidates[FASTAPI] = servers.fastapi(say).measure
        program = go_program(say) if sizes.download else None
        if program is not None:
            candidates[GO] = servers.go(program).measure
        say("  warming up: one round that is not counted")
        for measure in candidates.values():
            measure()
        part.series = interleave(candidates, sizes.rounds, UNITS, say)
    _compare(part, set(candidates))
    written = full_name("", Topic.WEBHOOK_RECEIVED)
    part.notes = [
        f"Rival: {rival_versions('fastapi', 'fastapi', 'uvicorn', 'aiokafka')}, acks=all and idempotent, checks the same HMAC and"
        f" writes the plain body. Ours also seals the body and writes Avro with seven headers to {written}.",
        "Early: the same process, but it answers once the record is queued; the ratio is the price of an honest answer.",
        "Bare and Go: acks=all, the body as it came; no signature, sealing, Avro or headers.",
    ]
    if program is None:
        part.notes.append("SKIPPED: the comparison with Go, because this machine has no Go toolchain that builds the twin.")
    return part


def _compare(part: Part, measured: set[str]) -> None:
    if FASTAPI in measured:
        part.compare(RATE, EDGE, FASTAPI, target=4)
        part.compare(PER_CPU, EDGE, FASTAPI, target=5)
        part.compare(P99, EDGE, FASTAPI, target=0.25, at_most=True)
        part.compare(P50, EDGE, FASTAPI)
    part.compare(RATE, EDGE, EARLY, target=0.85)
    part.compare(PER_CPU, EDGE, BARE, target=0.5)
    if GO in measured:
        part.compare(PER_CPU, EDGE, GO, target=0.6)
        part.compare(RATE, EDGE, GO)
    part.compare(RATE, CONTROL, EDGE)
    part.compare(PER_CPU, CONTROL, EDGE)
