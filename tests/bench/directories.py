"""What a large installation costs its readers: how long until a service knows all of it, its memory, and how old it gets."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from tests.bench.estate import announce_all, superuser_url
from tests.bench.measurement import Comparison, Part, Series, Values, interleave, percentile
from tests.bench.processes import Measured, free_port
from tests.bench.sides import probe_of
from tests.bench.site import Site
from tests.pipeline import Pipeline

if TYPE_CHECKING:
    from tests.bench.control import Api, Sizes

READY, MEMORY = "seconds until ready", "memory"
_UNITS = {READY: "s", MEMORY: "MiB"}
_SERVICES = ("ingest", "router")
_MOST_START_SECONDS, _MOST_CHANGE_MS = 10, 2_000
_CHANGES_PER_SECOND = 20
_DELETED_EVERY = 10  # every so many changes an account is made and deleted again
_MIB = 2**20
NOTES = [
    "Start: a process of the service from its start until it says that it is ready, once with the snapshots of this installation"
    " and once with those of an empty one: the bootstrap is the difference. Memory is what the process has for itself (USS).",
    "Change to directory: from the moment a change is sent to the API until a process that follows the snapshots has taken it in,"
    " while the callers of the mixed load go on; relay, API, database, broker, callers and reader share the machine.",
]


def measure(part: Part, site: Site, api: Api, sizes: Sizes, say: Callable[[str], None]) -> None:
    """Publish everything through a relay, start readers on it, then change things under load."""
    pipeline = api.pipeline
    relay_port = free_port()
    environment = site.environment(pipeline, relay_operations_port=relay_port)
    with Measured([sys.executable, "-m", "services.relay"], environment, site.logs / "relay.log") as relay:
        relay.wait_http(relay_port, "/readyz")
        published = _publish(pipeline, relay)
        say(f"  relay: {published[0]} snapshots in {published[1]:.1f} s")
        _start_readers(part, site, pipeline, sizes, say)
        changes = _changes_under_load(site, api, sizes, say)
    [own] = [one for one in part.comparisons if one.measure == MEMORY and one.candidate == "ingest"]
    per_account = (own.value - own.rival_value) * _MIB / api.estate.accounts
    told = sorted(changes.delays_ms)
    part.tables["Snapshots"] = [
        f"published by one relay        {published[0] / published[1]:8,.0f} snapshots/s ({published[0]} in {published[1]:.1f} s)",
        f"memory per account, ingest    {per_account:8,.0f} bytes (with its share of the connectors)",
        f"change to directory, p50      {percentile(told, 0.5):8,.0f} ms ({len(told)} changes, {changes.deletions} deletions)",
        f"change to directory, p99      {percentile(told, 0.99):8,.0f} ms",
        f"older after newer             {changes.went_back:8d} of {changes.arrivals} snapshots read",
    ]
    part.series.append(Series(candidate="change to directory", measure="delay", unit="ms", values=told))
    part.comparisons.append(_wanted("p99", "ms", "change to directory", percentile(told, 0.99), _MOST_CHANGE_MS))


@dataclass(slots=True)
class Changes:
    """What a reader saw of the changes that were made."""

    delays_ms: list[float] = field(default_factory=list)
    deletions: int = 0
    arrivals: int = 0
    went_back: int = 0


def _publish(pipeline: Pipeline, relay: Measured) -> tuple[int, float]:
    with psycopg.connect(superuser_url(pipeline.database), autocommit=True) as connection:
        _drained(connection, relay)
        began = time.monotonic()
        count = announce_all(pipeline.database)
        _drained(connection, relay)
    return count, time.monotonic() - began


def _drained(connection: psycopg.Connection[Any], relay: Measured, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while connection.execute("SELECT EXISTS (SELECT FROM outbox)").fetchone() == (True,):
        relay.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"the outbox is not empty after {seconds:.0f} s: {relay.last_words()}")
        time.sleep(0.1)


def _start_readers(part: Part, site: Site, pipeline: Pipeline, sizes: Sizes, say: Callable[[str], None]) -> None:
    empty = site.installation()
    rounds = {}
    for service in _SERVICES:
        rounds[service] = lambda service=service: _start(site, pipeline, service)
        rounds[f"{service}, empty"] = lambda service=service: _start(site, empty, service)
    part.series += interleave(rounds, sizes.starts, _UNITS, say)
    for service in _SERVICES:
        longer = max(0.01, part.median(service, READY) - part.median(f"{service}, empty", READY))
        part.comparisons.append(_wanted("bootstrap", "s", f"{service}, longer than empty", longer, _MOST_START_SECONDS))
    for service in _SERVICES:
        part.compare(MEMORY, service, f"{service}, empty")


def _start(site: Site, pipeline: Pipeline, service: str) -> Values:
    port = free_port()
    settings: dict[str, object] = {f"{service}_operations_port": port}
    if service == "ingest":
        settings["ingest_port"] = free_port()
    environment = site.environment(pipeline, **settings)
    began = time.monotonic()
    with Measured([sys.executable, "-m", f"services.{service}"], environment, site.logs / f"{service}-start.log") as process:
        process.wait_http(port, "/readyz", 120)
        seconds = time.monotonic() - began
        return {READY: seconds, MEMORY: process.memory_bytes() / _MIB}


def _changes_under_load(site: Site, api: Api, sizes: Sizes, say: Callable[[str], None]) -> Changes:
    log = site.home / f"directory-{api.pipeline.prefix}.jsonl"
    environment = site.environment(api.pipeline)
    with Measured([sys.executable, "-m", "tests.bench.variants.directory_watch"], environment, log) as watch:
        deadline = time.monotonic() + 60
        while "ready" not in log.read_text():
            watch.check()
            if time.monotonic() > deadline:
                raise RuntimeError("the reader of the snapshots does not get ready")
            time.sleep(0.05)
        load = api.load("mixed", seconds=sizes.changes / _CHANGES_PER_SECOND + 5)
        made = _make_changes(api, sizes.changes)
        api.outcome(load)
        changes = _arrived(log, made, time.monotonic() + 10)
    say(f"  {len(changes.delays_ms)} changes followed, {changes.arrivals} snapshots read")
    return changes


def _make_changes(api: Api, count: int) -> list[tuple[float, str, bool]]:
    """(when it was sent, account, whether it was deleted), each account once."""
    side = probe_of(api.pipeline, api.estate, count)
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    made = []
    began = time.monotonic()
    for number, known in enumerate(side.accounts[:count]):
        account = known
        time.sleep(max(0.0, began + number / _CHANGES_PER_SECOND - time.monotonic()))
        if number % _DELETED_EVERY == 0:
            body = {
                "identidade": f"55118{number:08d}",
                "org_unit_id": side.unit,
                "config": {"phone_number_id": f"3{number:014d}"},
            }
            account = _call(connection, side.token, "POST", f"connectors/{side.connectors[0]}/accounts", body)["id"]
            sent = time.time()
            _call(connection, side.token, "DELETE", f"accounts/{account}")
        else:
            sent = time.time()
            _call(connection, side.token, "PATCH", f"accounts/{account}", {"nome_exibicao": f"Changed {number}"})
        made.append((sent, account, number % _DELETED_EVERY == 0))
    connection.close()
    return made


def _call(connection: http.client.HTTPConnection, token: str, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "If-Match": "*", "Content-Type": "application/json"}
    connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    told = answer.read()
    if answer.status >= http.client.BAD_REQUEST:
        raise RuntimeError(f"{method} {path}: {answer.status} {told[:300]!r}")
    return json.loads(told) if told else None


def _arrived(log: Path, made: list[tuple[float, str, bool]], deadline: float) -> Changes:
    while True:
        lines = [line for line in log.read_text().splitlines() if line.startswith("[")]
        seen: dict[tuple[str, bool], float] = {}
        told = []
        for line in lines:
            with suppress(ValueError):  # the last one may be half written
                told.append(json.loads(line))
        for at, _, subject, version in told:
            seen.setdefault((subject, version is None), at)
        missing = [account for _, account, deleted in made if (account, deleted) not in seen]
        if not missing:
            break
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(missing)} changes never reached the directory, such as that of account {missing[0]}")
        time.sleep(0.2)
    return Changes(
        delays_ms=[(seen[account, deleted] - sent) * 1e3 for sent, account, deleted in made],
        deletions=sum(deleted for _, _, deleted in made),
        arrivals=len(told),
        went_back=sum(1 for *_, version in told if version is not None and version < 0),
    )


def _wanted(measure: str, unit: str, candidate: str, value: float, most: float) -> Comparison:
    return Comparison(
        measure=measure, unit=unit, candidate=candidate, rival="wanted", value=value, rival_value=most, target=1.0, at_most=True
    )
