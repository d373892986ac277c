"""A provider as the fleet sees it from outside: signed posts, its own time-outs and retries, repeats, concurrent repeats.

Each peer writes in turn: its next webhook is posted only after the one before was answered 200, so that the order of
arrival within a conversation is known. What was posted and what was answered is all that the oracle is told.
"""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shared.providers.whatsapp_official.samples import sign
from tests.chaos.talk import Element, Talk

POST_TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 0.05
TWIN_SHARE = 0.03  # of the webhooks are posted twice at once
REPEAT_SHARE = 0.07  # are followed by one of the last twenty again


class Route(StrEnum):
    """Where the messages to a number go."""

    UNIT = "unit"
    PATIENT = "patient"  # to a flow with much time to answer; no unit beside it
    HASTY = "hasty"  # to a flow that must answer within seconds; then the account's unit takes over


@dataclass(frozen=True)
class Target:
    """Where to post, for which number, signed with which secret."""

    port: int
    connector_id: str
    phone_number_id: str
    app_secret: str
    route: Route = Route.UNIT


@dataclass
class Ledger:
    """What the provider knows: every element in the order its peer wrote it, and which posts were answered 200."""

    written: dict[str, list[Element]] = field(default_factory=dict)  # by peer
    routes: dict[str, Route] = field(default_factory=dict)  # by peer
    numbers: dict[str, str] = field(default_factory=dict)  # peer -> the provider's name of the number that it writes to
    order: dict[str, int] = field(default_factory=dict)  # element id -> its number among all
    acknowledged: set[str] = field(default_factory=set)  # element ids
    attempts: Counter[str] = field(default_factory=Counter)  # by answer: 200, 503, connection, …
    webhooks: int = 0
    slowest_seconds: float = 0.0

    def write(self, peer: str, elements: Sequence[Element]) -> None:
        """A peer is about to post these."""
        self.webhooks += 1
        self.written.setdefault(peer, []).extend(elements)
        for element in elements:
            self.order.setdefault(element.id, len(self.order) + 1)


@dataclass(frozen=True, slots=True)
class Load:
    """How many hands write to the numbers of one route, for how many peers each, and how often each peer writes."""

    route: Route
    hands: int
    peers_per_hand: int = 1
    per_second: float = 1.0  # webhooks of each peer


class Peers:
    """Threads that write: those to a unit at least `webhooks` webhooks each and on until `finish`, the others meanwhile.

    The hands are spread over the targets of their route. `ghosts_until`: in how many of its first webhooks a hand may write about
    messages that never come.
    """

    def __init__(
        self, targets: Sequence[Target], loads: Sequence[Load], *, webhooks: int, seed: int, ghosts_until: int = 0
    ) -> None:
        self.ledger = Ledger()
        self._webhooks = webhooks
        self._ghosts_until = ghosts_until
        self._finish = threading.Event()
        self._lock = threading.Lock()
        self._give_up = threading.Event()
        self._threads: dict[Route, list[threading.Thread]] = {route: [] for route in Route}
        number = itertools.count()
        for load in loads:
            there = [target for target in targets if target.route is load.route]
            for hand in range(load.hands):
                talks = [self._talk(next(number), there[hand % len(there)], seed) for _ in range(load.peers_per_hand)]
                dice = random.Random(f"{seed}-{load.route}-{hand}")
                work = (talks, there[hand % len(there)], dice, 1 / (load.per_second * load.peers_per_hand))
                self._threads[load.route].append(threading.Thread(target=self._write, args=work, daemon=True))

    def start(self) -> None:
        """Begin to write."""
        for thread in self._all():
            thread.start()

    @property
    def done(self) -> bool:
        """True once every peer has written all."""
        return not any(thread.is_alive() for thread in self._all())

    @property
    def acknowledged(self) -> int:
        """Elements answered 200 so far."""
        return len(self.ledger.acknowledged)

    def finish(self) -> None:
        """Let the peers end once each has written its webhooks."""
        self._finish.set()

    def join(self, seconds: float) -> bool:
        """Wait for the end; False if it did not come (the peers then stop)."""
        self.finish()
        deadline = time.monotonic() + seconds
        for thread in self._all():
            thread.join(max(0.0, deadline - time.monotonic()))
        self._give_up.set()
        return self.done

    def _all(self) -> list[threading.Thread]:
        return [thread for threads in self._threads.values() for thread in threads]

    def _talk(self, number: int, target: Target, seed: int) -> Talk:
        peer = f"55119{number:08d}"
        self.ledger.routes[peer], self.ledger.numbers[peer] = target.route, target.phone_number_id
        return Talk(peer, target.phone_number_id, random.Random(f"{seed}-{number}"))

    def _over(self, route: Route, number: int) -> bool:
        if not self._finish.is_set():
            return False
        if route is Route.UNIT:
            return number >= self._webhooks
        return not any(thread.is_alive() for thread in self._threads[Route.UNIT])

    def _write(self, talks: Sequence[Talk], target: Target, dice: random.Random, pause_seconds: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=POST_TIMEOUT_SECONDS)
        earlier: list[bytes] = []
        for number in itertools.count():
            if self._over(target.route, number):
                break
            time.sleep(dice.expovariate(1 / pause_seconds))
            talk = talks[number % len(talks)]
            if not self._say(connection, target, talk, talk.next(ghosts=number < self._ghosts_until), dice, earlier):
                return
            if target.route is not Route.UNIT:  # its next webhook is further away than what came early waits
                rest = talk.rest()
                if rest and not self._say(connection, target, talk, rest, dice, earlier):
                    return
        for talk in talks:
            rest = talk.rest()
            while rest and self._say(connection, target, talk, rest, dice, earlier):
                rest = talk.rest()
        connection.close()

    def _say(
        self,
        connection: http.client.HTTPConnection,
        target: Target,
        talk: Talk,
        elements: Sequence[Element],
        dice: random.Random,
        earlier: list[bytes],
    ) -> bool:
        """One webhook, perhaps twice at once, perhaps an older one after it; False when the provider gives up."""
        body = talk.body(elements)
        with self._lock:
            self.ledger.write(talk.peer, elements)
        twin = threading.Thread(target=self._repeat, args=(target, body), daemon=True) if dice.random() < TWIN_SHARE else None
        if twin is not None:
            twin.start()  # Meta posts the same webhook twice at once
        if not self._post(connection, target, body):
            return False
        with self._lock:
            self.ledger.acknowledged.update(element.id for element in elements)
        if twin is not None:
            twin.join()
        earlier.append(body)
        del earlier[:-20]
        if dice.random() < REPEAT_SHARE:
            self._post(connection, target, dice.choice(earlier))
        return True

    def _repeat(self, target: Target, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=POST_TIMEOUT_SECONDS)
        self._post(connection, target, body)
        connection.close()

    def _post(self, connection: http.client.HTTPConnection, target: Target, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": sign(body, target.app_secret)}
        while not self._give_up.is_set():
            began = time.monotonic()
            try:
                connection.request("POST", f"/webhooks/{target.connector_id}", body, headers)
                answer = connection.getresponse()
                answer.read()
                outcome = str(answer.status)
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                outcome = type(error).__name__
            with self._lock:
                self.ledger.attempts[outcome] += 1
                self.ledger.slowest_seconds = max(self.ledger.slowest_seconds, time.monotonic() - began)
            if outcome == "200":
                return True
            time.sleep(RETRY_SECONDS)
        return False
