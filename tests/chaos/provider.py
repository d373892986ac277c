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

from shared.providers.whatsapp_official.samples import batch, encode, sign, text_message

POST_TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 0.05
TWIN_SHARE = 0.03  # of the webhooks are posted twice at once
REPEAT_SHARE = 0.07  # are followed by one of the last twenty again
INNER_REPEAT_SHARE = 0.03  # name a message twice in one body


@dataclass(frozen=True)
class Target:
    """Where to post, for which number, signed with which secret."""

    port: int
    connector_id: str
    phone_number_id: str
    app_secret: str


@dataclass
class Ledger:
    """What the provider knows: every message id in the order its peer wrote it, and which posts were answered 200."""

    written: dict[str, list[str]] = field(default_factory=dict)  # peer -> message ids
    order: dict[str, int] = field(default_factory=dict)  # message id -> its number among all
    acknowledged: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)  # by answer: 200, 503, connection, …
    webhooks: int = 0
    slowest_seconds: float = 0.0

    def write(self, peer: str, ids: Sequence[str]) -> None:
        """A peer is about to post these."""
        self.webhooks += 1
        self.written.setdefault(peer, []).extend(ids)
        for message in ids:
            self.order[message] = len(self.order) + 1


class Peers:
    """Threads that write as `count` peers would: each at least `webhooks` webhooks, and on until `finish` is called.

    `per_second` is what all of them together aim at, so that the load lasts for as long as the faults do. The peers are
    spread over the targets.
    """

    def __init__(self, targets: Sequence[Target], *, count: int, webhooks: int, per_second: float, seed: int) -> None:
        self.ledger = Ledger()
        self._webhooks = webhooks
        self._pause_seconds = count / per_second
        self._finish = threading.Event()
        self._lock = threading.Lock()
        self._give_up = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._write,
                args=(f"55119{number:08d}", targets[number % len(targets)], random.Random(f"{seed}-{number}")),
                daemon=True,
            )
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        """True once every peer has written all."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def acknowledged(self) -> int:
        """Messages answered 200 so far."""
        return len(self.ledger.acknowledged)

    def finish(self) -> None:
        """Let the peers end once each has written its webhooks."""
        self._finish.set()

    def join(self, seconds: float) -> bool:
        """Wait for the end; False if it did not come (the peers then stop)."""
        self.finish()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._give_up.set()
        return self.done

    def _write(self, peer: str, target: Target, dice: random.Random) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=POST_TIMEOUT_SECONDS)
        earlier: list[bytes] = []
        for number in itertools.count():
            if number >= self._webhooks and self._finish.is_set():
                break
            time.sleep(dice.expovariate(1 / self._pause_seconds))
            ids = [f"wamid.{peer}.{number:05d}.{part}" for part in range(dice.choice((1, 1, 1, 2, 3)))]
            named = [*ids, dice.choice(ids)] if dice.random() < INNER_REPEAT_SHARE else ids
            with self._lock:
                self.ledger.write(peer, ids)
            body = encode(batch([_message(peer, item, target) for item in named]))
            twin = threading.Thread(target=self._repeat, args=(target, body), daemon=True) if dice.random() < TWIN_SHARE else None
            if twin is not None:
                twin.start()  # Meta posts the same webhook twice at once
            if not self._post(connection, target, body):
                break
            with self._lock:
                self.ledger.acknowledged.update(ids)
            if twin is not None:
                twin.join()
            earlier.append(body)
            if dice.random() < REPEAT_SHARE:
                self._post(connection, target, dice.choice(earlier[-20:]))
        connection.close()

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


def _message(peer: str, message_id: str, target: Target) -> dict[str, object]:
    return text_message(message_id=message_id, text=message_id, sender=peer, phone_number_id=target.phone_number_id)
