"""What is done to a fleet: kills, stops, drains, and a network that cuts, delays and freezes. Seeded; lanes run side by side."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from deploy.local.fleet import Fleet
from deploy.local.kafka import KafkaNode
from deploy.local.postgres import PostgresNode
from shared.domain.errors import ConfigError, Unavailable
from tests.chaos.proxy import Proxy
from tests.chaos.report import Plan, Report
from tests.chaos.site import SESSION_TIMEOUT_MS, Ground

Fault = tuple[str, Callable[[], None]]
_READY_SECONDS = 120.0
_AGAIN_SECONDS = 1.0
_RELAY_STOP_SECONDS = 14.0  # longer than its session with PostgreSQL, so that it loses its lease
_TWICE_SHARE = 0.2  # of the kills hit a process that is still starting
_FREEZES_SECONDS = (3.0, 7.0, 1.5, 11.0)  # below and beyond the deadlines: delivery 4 s, session 6 s, transaction 10 s


class Tormentor:
    """Does what the plan says and writes down how long each part took to be ready again."""

    def __init__(self, fleet: Fleet, plan: Plan, report: Report, ground: Ground | None, say: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._plan = plan
        self._report = report
        self._ground = ground
        self._say = say
        self._lock = threading.Lock()
        self._failures: list[Exception] = []
        self._began = time.monotonic()

    def run(self) -> None:
        """Every fault of the plan; blocks until the last part is ready again. Raises what went wrong in a lane."""
        self._began = time.monotonic()
        lanes = {"edges": self._edge_faults(), "routers": self._router_faults(), "rest": self._other_faults()}
        threads = [threading.Thread(target=self._work, args=lane, daemon=True) for lane in lanes.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        self._all_ready()

    def _work(self, lane: str, faults: list[Fault]) -> None:
        dice = random.Random(f"{self._plan.seed}-{lane}")
        dice.shuffle(faults)
        try:
            for number, (kind, fault) in enumerate(faults, start=1):
                time.sleep(dice.random() * 0.6)
                began = time.monotonic()
                fault()
                self._say(f"{began - self._began:6.1f} s  {lane} {number}/{len(faults)}: {kind}")
                with self._lock:
                    self._report.faults[kind] = self._report.faults.get(kind, 0) + 1
        except Exception as error:  # a lane's end: `run` raises it
            self._failures.append(error)

    def _edge_faults(self) -> list[Fault]:
        dice = random.Random(f"{self._plan.seed}-edge-kills")
        kills = self._kills("ingest", self._plan.ingest_kills, dice, 2)
        drains: list[Fault] = [
            ("ingest drain", lambda name=f"ingest-{number % 2}": self._drain(name)) for number in range(self._plan.ingest_drains)
        ]
        return kills + drains

    def _router_faults(self) -> list[Fault]:
        dice = random.Random(f"{self._plan.seed}-router-kills")
        seconds = SESSION_TIMEOUT_MS / 1000 + 2
        stops: list[Fault] = [
            ("router stop", lambda name=f"router-{number % self._plan.routers}": self._stop_and_continue(name, seconds))
            for number in range(self._plan.router_stops)
        ]
        leaves: list[Fault] = [
            ("router leave", lambda name=f"router-{number % self._plan.routers}": self._leave_and_join(name))
            for number in range(self._plan.router_leaves)
        ]
        return self._kills("router", self._plan.router_kills, dice, self._plan.routers) + stops + leaves

    def _kills(self, service: str, count: int, dice: random.Random, processes: int) -> list[Fault]:
        faults: list[Fault] = []
        for number in range(count):
            pause = dice.random() if dice.random() < _TWICE_SHARE else None
            faults.append((f"{service} kill", lambda name=f"{service}-{number % processes}", wait=pause: self._kill(name, wait)))
        return faults

    def _other_faults(self) -> list[Fault]:
        plan, ground = self._plan, self._ground
        faults: list[Fault] = [("relay kill", lambda: self._kill("relay", None))] * plan.relay_kills
        faults += [("relay stop", lambda: self._stop_and_continue("relay", _RELAY_STOP_SECONDS))] * plan.relay_stops
        faults += [("automation kill", lambda: self._kill("automation", None))] * plan.automation_kills
        if ground is None:
            return faults
        faults += [("broker kill", lambda: self._kill_node("broker kill", ground.stack.kafka))] * plan.broker_kills
        faults += [("postgres kill", lambda: self._kill_node("postgres kill", ground.stack.postgres))] * plan.postgres_kills
        for name, proxy, cuts, delays, freezes in (
            ("kafka", ground.kafka_proxy, plan.kafka_cuts, plan.kafka_delays, plan.kafka_freezes),
            ("postgres", ground.postgres_proxy, plan.postgres_cuts, plan.postgres_delays, plan.postgres_freezes),
        ):
            faults += [(f"{name} cut", lambda kind=f"{name} cut", proxy=proxy: self._cut(kind, proxy))] * cuts
            faults += [
                (f"{name} delay", lambda kind=f"{name} delay", proxy=proxy: self._hold(kind, proxy.delayed(0.2), 4.0))
            ] * delays
            faults += [
                (
                    f"{name} freeze",
                    lambda kind=f"{name} freeze", proxy=proxy, seconds=_FREEZES_SECONDS[number % 4]: self._hold(
                        kind, proxy.frozen(), seconds
                    ),
                )
                for number in range(freezes)
            ]
        return faults

    def _kill(self, name: str, wait_seconds: float | None) -> None:
        """SIGKILL and a new start; with `wait_seconds` the lane goes on before the part is ready, perhaps to kill it again."""
        self._fleet.kill(name)
        began = time.monotonic()
        self._fleet.start_again(name)
        if wait_seconds is not None:
            time.sleep(wait_seconds)
            return
        self._ready(name)
        self._recovered(f"{name.partition('-')[0]} kill", began)

    def _drain(self, name: str) -> None:
        self._fleet.stop(name)
        began = time.monotonic()
        self._fleet.start_again(name)
        self._ready(name)
        self._recovered("ingest drain", began)

    def _leave_and_join(self, name: str) -> None:
        """Stopped in good order; its partitions go to the others when its session has ended, and some come back with it."""
        self._fleet.stop(name)
        time.sleep(SESSION_TIMEOUT_MS / 1000 + 1)
        began = time.monotonic()
        self._fleet.start_again(name)
        self._ready(name)
        self._recovered("router leave", began)

    def _stop_and_continue(self, name: str, seconds: float) -> None:
        self._ready(name)
        pid = self._fleet.pid(name)
        if pid is None:
            raise RuntimeError(f"{name} does not run")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
        began = time.monotonic()
        self._ready(name)
        self._recovered(f"{name.partition('-')[0]} stop", began)

    def _kill_node(self, kind: str, node: KafkaNode | PostgresNode) -> None:
        node.kill()
        began = time.monotonic()
        self._start_node(node)
        self._all_ready()
        self._recovered(kind, began)

    def _start_node(self, node: KafkaNode | PostgresNode) -> None:
        """On a busy machine a node may need longer than it takes by itself; another's stack may have its port for a while."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                if isinstance(node, KafkaNode):
                    node.start(same_address=True)  # at another one no process of the campaign would ever find it
                else:
                    node.start()
            except (Unavailable, ConfigError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_SECONDS)  # a try reads all jars of Kafka and starts Java: the fleet needs its core
            else:
                return

    def _cut(self, kind: str, proxy: Proxy) -> None:
        proxy.cut()
        began = time.monotonic()
        self._all_ready()
        self._recovered(kind, began)

    def _hold(self, kind: str, held: AbstractContextManager[None], seconds: float) -> None:
        with held:
            time.sleep(seconds)
        began = time.monotonic()
        self._all_ready()
        self._recovered(kind, began)

    def _all_ready(self) -> None:
        """Each process was seen ready once since; those that another lane has killed come back by that lane."""
        waiting, deadline = set(self._fleet.names()), time.monotonic() + _READY_SECONDS
        while waiting:
            for name in sorted(waiting):
                try:
                    self._fleet.wait_ready(name, 0.5)
                    waiting.discard(name)
                except Unavailable as error:
                    if time.monotonic() > deadline:
                        raise
                    if name in ("relay", "automation") and self._fleet.pid(name) is None:  # this lane's own processes
                        self._start_ended(name, error)

    def _ready(self, name: str) -> None:
        """As a supervisor would: a process that ends by itself is started again, and its last words are kept."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                self._fleet.wait_ready(name, max(0.5, deadline - time.monotonic()))
                return
            except Unavailable as error:
                if self._fleet.pid(name) is not None or time.monotonic() > deadline:
                    raise
                self._start_ended(name, error)

    def _start_ended(self, name: str, error: Unavailable) -> None:
        with self._lock:
            self._report.ended_by_themselves.append(f"{name}: {str(error)[-600:]}")
        self._fleet.start_again(name)

    def _recovered(self, kind: str, began: float) -> None:
        with self._lock:
            self._report.recovery_seconds.setdefault(kind, []).append(round(time.monotonic() - began, 3))
