"""Part 1: the router with everything on, against a plain Faust agent and a plain Quix Streams exactly-once application."""

from __future__ import annotations

import http.client
import io
import pstats
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Producer

from shared.adapters.kafka import client_config, full_name
from shared.domain.topics import Topic
from shared.providers.whatsapp_official.samples import encode, text_message
from tests.bench.measurement import Part, Series, Values, interleave
from tests.bench.output import Output, rates
from tests.bench.processes import Measured
from tests.bench.rivals import FOLDER, is_installed, rival_python, rival_versions
from tests.bench.site import Site
from tests.bench.workers import WorkerRounds
from tests.pipeline import UNIT_NUMBER, Pipeline

ITEMS, ITEMS_CPU = "items per second", "items per CPU second"
UNITS = {ITEMS: "items/s", ITEMS_CPU: "items/CPU s"}
ROUTER, CONTROL, FAUST, QUIX = "router", "router again (control)", "Faust agent", "Quix Streams exactly-once"
KNOWN_PEERS, NEW_PEER_SHARE = 5_000, 10  # every tenth message comes from somebody who never wrote before
POISONED, GOAL = "router, 1 % of the items poison", "the goal"
ONE_WORKER, TWO_WORKERS = "one router, two partitions", "two routers, a partition each"
POISON_EVERY = 100
GOAL_PER_SECOND = 9_000.0
TARGETS = {FAUST: 3.0}
STEPS = ("open", "database", "kafka")
STEPS_TITLE = "Where the router's time goes (its own metric, microseconds per item; one batch is opened while another is settled)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Records per round for each candidate (the faster ones need more for the same time), and rounds."""

    router: int = 40_000  # a tenth is one full batch: rates begin between two batches, else they would be too high
    faust: int = 12_000
    quix: int = 60_000
    rounds: int = 5
    download: bool = True  # rivals that are not installed yet; else they are left out

    @classmethod
    def quick(cls) -> Sizes:
        """Only enough to see that all of it works."""
        return cls(router=3_000, faust=1_000, quix=6_000, rounds=1, download=False)


class Bodies:
    """Webhook bodies with one text message each, none with the same message id."""

    def __init__(self) -> None:
        self._numbers = count()
        self._mark = uuid4().hex[:6]

    def take(self, number: int, poison_every: int = 0) -> Iterator[bytes]:
        """So many more. `poison_every`: each so many-th message has no id and becomes a dead letter; 0: none."""
        for place in range(1, number + 1):
            serial = next(self._numbers)
            if poison_every and place % poison_every == 0:
                yield encode(text_message(message_id="", phone_number_id=UNIT_NUMBER))
                continue
            peer = KNOWN_PEERS + serial if serial % NEW_PEER_SHARE == 0 else serial * 7 % KNOWN_PEERS
            yield encode(
                text_message(
                    message_id=f"wamid.{self._mark}{serial:010d}", sender=f"55119{peer:08d}", phone_number_id=UNIT_NUMBER
                )
            )


class RouterRounds:
    """The router in rounds on one installation, so that its tables grow as they would."""

    def __init__(self, site: Site, items: int) -> None:
        self._site = site
        self._items = items
        self._bodies = Bodies()
        self._pipeline: Pipeline = site.installation()
        self.steps: dict[str, list[float]] = {step: [] for step in STEPS}  # microseconds per item

    def measure(self, profile: Path | None = None, poison_every: int = 0) -> Values:
        """One round: a loaded topic, a fresh process, until the last event is visible to a `read_committed` reader."""
        for body in self._bodies.take(self._items, poison_every):
            self._pipeline.post(body, flush=False)
        self._pipeline.flush()
        good = self._items - (self._items // poison_every if poison_every else 0)
        process, port = self._site.router(self._pipeline, profile=profile)
        with Output(self._pipeline.bootstrap, full_name(self._pipeline.prefix, Topic.MESSAGE_RECEIVED)) as output, process:
            samples = output.watch(good, 180, process.cpu_seconds, process.check)
            if profile is None and not poison_every:
                for step, seconds in _step_seconds(port).items():
                    self.steps[step].append(seconds / self._items * 1e6)
        per_second, per_cpu = (rate * self._items / good for rate in rates(samples))
        return {ITEMS: per_second, ITEMS_CPU: per_cpu}

    def measure_poisoned(self) -> Values:
        """The same with some items that end as dead letters; they count as items."""
        return self.measure(poison_every=POISON_EVERY)

    def bodies(self, number: int) -> list[bytes]:
        """So many more, for others who measure."""
        return list(self._bodies.take(number))


class RivalRounds:
    """A rival in rounds; topics and group are new each time."""

    def __init__(self, site: Site, name: str, items: int, program: Path, *arguments: str) -> None:
        self._site = site
        self._name = name
        self._items = items
        self._program = program
        self._arguments = arguments
        self._bodies = Bodies()

    def measure(self) -> Values:
        """One round: the same bodies, unsealed and without headers."""
        name = f"bench-{self._name}-{uuid4().hex[:8]}"
        source, target = f"{name}-in", f"{name}-out"
        bootstrap = self._site.addresses.kafka_bootstrap
        self._site.create_topics(source, target)
        _load(bootstrap, source, self._bodies.take(self._items))
        folder = FOLDER / self._name
        environment = {"BENCH_ARGUMENTS": ",".join((bootstrap, name, source, target)), "PYTHONPATH": str(folder)}
        data = self._site.home / "rivals" / name
        data.mkdir(parents=True)
        process = Measured(
            [self._program, folder / "app.py", *self._arguments], environment, self._site.logs / f"{self._name}.log", data
        )
        with Output(bootstrap, target) as output, process:
            samples = output.watch(self._items, 120, process.cpu_seconds, process.check)
        per_second, per_cpu = rates(samples)
        return {ITEMS: per_second, ITEMS_CPU: per_cpu}


def run(site: Site, sizes: Sizes, say: Callable[[str], None]) -> Part:
    """The whole part. Blocks for about two minutes (quick: twenty seconds)."""
    part = Part(
        name="router",
        title="Router",
        settings={"records per round": {ROUTER: sizes.router, FAUST: sizes.faust, QUIX: sizes.quix}, "rounds": sizes.rounds},
    )
    ours = RouterRounds(site, sizes.router)
    rivals = _rivals(site, sizes, say)
    say("  warming up: one round that is not counted")
    ours.measure()
    for values in ours.steps.values():
        values.clear()
    workers = WorkerRounds(site, sizes.router, ours.bodies, (ITEMS, ITEMS_CPU))
    candidates = {ROUTER: ours.measure, **rivals, POISONED: ours.measure_poisoned, CONTROL: ours.measure}
    candidates |= {ONE_WORKER: lambda: workers.measure(1), TWO_WORKERS: lambda: workers.measure(2)}
    part.series = interleave(candidates, sizes.rounds, UNITS, say)
    part.series.append(Series(candidate=GOAL, measure=ITEMS, unit=UNITS[ITEMS], values=[GOAL_PER_SECOND]))
    part.compare(ITEMS, ROUTER, GOAL, target=1.0)
    for rival in rivals:
        part.compare(ITEMS, ROUTER, rival, target=TARGETS.get(rival))
        part.compare(ITEMS_CPU, ROUTER, rival)
    part.compare(ITEMS, POISONED, ROUTER, target=0.9)
    part.compare(ITEMS, TWO_WORKERS, ONE_WORKER)
    part.compare(ITEMS, CONTROL, ROUTER)
    part.tables[STEPS_TITLE] = [f"{step:<10}{statistics.median(ours.steps[step]):8.1f}" for step in STEPS]
    profile = site.home / "router.profile"
    ours.measure(profile)
    part.tables["The same by function (cProfile; its own cost makes everything slower, so read the shares)"] = _functions(profile)
    part.notes = [
        f"Rivals: {rival_versions('faust', 'faust-streaming', 'aiokafka')}; {rival_versions('quix', 'quixstreams')}. They parse"
        " JSON and forward it, nothing else: no sealed body, no claims, no look-ups, no schema, no headers. Quix commits a"
        " transaction per 4 000 records, as the router does at most; Faust acknowledges at least once.",
        f"The router's records are sealed; {100 // NEW_PEER_SHARE} % of its messages come from people it has never seen.",
        "Poison: messages without an id. Each becomes a dead letter with its sealed fragment, and counts as an item.",
        "Two routers share their two cores with Kafka, PostgreSQL and the reader, so how they scale says little beyond that"
        " neither waits for the other; 1.6 is wanted where there are cores for it.",
        "Rates exclude start-up: they begin when a tenth of the records is visible to a `read_committed` reader.",
    ]
    return part


def _rivals(site: Site, sizes: Sizes, say: Callable[[str], None]) -> dict[str, Callable[[], Values]]:
    found: dict[str, Callable[[], Values]] = {}
    for name, folder, items, arguments in (
        (FAUST, "faust", sizes.faust, ("worker", "--loglevel=warn")),
        (QUIX, "quix", sizes.quix, ()),
    ):
        if sizes.download or is_installed(folder):
            found[name] = RivalRounds(site, folder, items, rival_python(folder, say), *arguments).measure
        else:
            say(f"  SKIPPED: {name} is not installed, and a quick run downloads nothing")
    return found


def _load(bootstrap: str, topic: str, bodies: Iterator[bytes]) -> None:
    producer = Producer(client_config(bootstrap, "bench-load") | {"linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    for body in bodies:
        producer.produce(topic, key=b"bench", value=body)
    if producer.flush(60) != 0:
        raise RuntimeError("the topic could not be loaded")


def _step_seconds(port: int) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = re.findall(r'^channels_router_batch_seconds_sum\{step="(\w+)"\} ([0-9.e+-]+)$', text, re.MULTILINE)
    return {step: float(seconds) for step, seconds in found if step in STEPS}


def _functions(profile: Path, top: int = 22) -> list[str]:
    stats = pstats.Stats(str(profile), stream=io.StringIO())
    rows = sorted(stats.stats.items(), key=lambda row: -row[1][2])  # type: ignore[attr-defined]  # typeshed hides it
    total = sum(row[1][2] for row in rows if not _waits(row[0]))
    lines = [f"{'share':>6} {'calls':>9}  function (time in it, without what it calls)"]
    for place, (_, calls, own, _, _) in [row for row in rows if not _waits(row[0])][:top]:
        lines.append(f"{own / total:6.1%} {calls:9d}  {_short(place)}")
    return lines


def _waits(place: tuple[str, int, str]) -> bool:
    """Functions in which the process joins its group, or waits for records that do not come any more."""
    return place[0] == "~" and any(word in place[2] for word in ("consume", "init_transactions", "close"))


def _short(place: tuple[str, int, str]) -> str:
    file, line, name = place
    if file == "~":
        return name
    parts = Path(file).parts
    start = next((index for index, part in enumerate(parts) if part in ("services", "shared", "site-packages")), len(parts) - 1)
    return f"{'/'.join(parts[start:]).removeprefix('site-packages/')}:{line} {name}"
