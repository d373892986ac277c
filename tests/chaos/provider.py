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
from dataclasses import dataclass, field

from shared.providers.whatsapp_official.samples import batch, encode, sign, text_message

POST_TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 0.05


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
    acknowledged: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)  # by answer: 200, 503, connection, …
    slowest_seconds: float = 0.0


class Peers:
    """Threads that write as `count` peers would: each at least `webhooks` webhooks, and on until `finish` is called.

    `per_second` is what all of them together aim at, so that the load lasts for as long as the faults do.
    """

    def __init__(self, target: Target, *, count: int, webhooks: int, per_second: float, seed: int, name: str = "") -> None:
        self.ledger = Ledger()
        self._target = target
        self._webhooks = webhooks
        self._pause_seconds = count / per_second
        self._finish = threading.Event()
        self._lock = threading.Lock()
        self._give_up = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._write, args=(f"55119{number:08d}", random.Random(f"{seed}-{number}"), name), daemon=True
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

    def _write(self, peer: str, dice: random.Random, name: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._target.port, timeout=POST_TIMEOUT_SECONDS)
        earlier: list[bytes] = []
        for number in itertools.count():
            if number >= self._webhooks and self._finish.is_set():
                break
            time.sleep(dice.expovariate(1 / self._pause_seconds))
            ids = [f"wamid.{name}{peer}.{number:05d}.{part}" for part in range(dice.choice((1, 1, 1, 2, 3)))]
            with self._lock:
                self.ledger.written.setdefault(peer, []).extend(ids)
            body = encode(batch([self._message(peer, item) for item in ids]))
            twin = threading.Thread(target=self._repeat, args=(body,), daemon=True) if dice.random() < 0.03 else None
            if twin is not None:
                twin.start()  # Meta posts the same webhook twice at once
            if not self._post(connection, body):
                break
            with self._lock:
                self.ledger.acknowledged.update(ids)
            if twin is not None:
                twin.join()
            earlier.append(body)
            if dice.random() < 0.07:
                self._post(connection, dice.choice(earlier[-20:]))
        connection.close()

    def _repeat(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._target.port, timeout=POST_TIMEOUT_SECONDS)
        self._post(connection, body)
        connection.close()

    def _message(self, peer: str, message_id: str) -> dict[str, object]:
        return text_message(message_id=message_id, text=message_id, sender=peer, phone_number_id=self._target.phone_number_id)

    def _post(self, connection: http.client.HTTPConnection, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": sign(body, self._target.app_secret)}
        while not self._give_up.is_set():
            began = time.monotonic()
            try:
                connection.request("POST", f"/webhooks/{self._target.connector_id}", body, headers)
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
