"""Shares the mailboxes among the processes: takes leases, keeps them, gives them back, and has one reader for each.

Every round it looks at what is configured, renews what is held, ends readers whose lease or configuration is gone, and takes what
nobody holds. A killed process stops renewing; the others take its mailboxes when the leases have run out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import structlog

from services.mailbox.decide import Mailbox, Unreadable, mailboxes
from services.mailbox.reader import Reader, ReaderParts
from shared.domain.errors import Unavailable
from shared.runtime.lifecycle import StopRequest

_LOOK_SECONDS = 2.0  # how soon a change of the configuration is seen
_TAKEN_AT_ONCE = 10  # so that processes that start together share


class Mailboxes:
    """`run` works until it is asked to stop."""

    def __init__(self, parts: ReaderParts, *, lease_seconds: float, readers: int, plain_loopback: bool) -> None:
        self._parts = parts
        self._lease_seconds = lease_seconds
        self._limit = readers
        self._plain_loopback = plain_loopback
        self._wanted: dict[str, Mailbox] = {}
        self._faulty: list[Unreadable] = []
        self._readers: dict[str, Reader] = {}
        self._looked_at = float("-inf")
        self._state = (False, "starting")
        self._log = structlog.get_logger()

    @property
    def readiness(self) -> tuple[bool, str]:
        """(can work, what it is doing), for `/readyz`; having no mailbox is ready."""
        return self._state

    def run(self, stop: StopRequest, drain_seconds: float) -> None:
        """Work until the stop, then end the readers and give their leases back. Raises ConfigError for another schema."""
        try:
            while not stop:
                try:
                    self._round()
                    self._become(True, f"{len(self._readers)} of {len(self._wanted)} mailboxes read here")
                except Unavailable as error:
                    self._become(False, str(error))
                self._measure()
                stop.wait(min(1.0, self._lease_seconds / 6))
        finally:
            self._become(False, "stopping")
            self._end(drain_seconds)

    def _round(self) -> None:
        self._renew()
        if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._look()
            self._looked_at = time.monotonic()
        for account_id, reader in self._readers.items():
            if self._wanted.get(account_id) != reader.mailbox:
                reader.stop()
        self._bury()
        free = self._wanted.keys() - self._readers.keys()
        for lease in self._parts.positions.take(free, min(_TAKEN_AT_ONCE, self._limit - len(self._readers))):
            reader = Reader(self._wanted[lease.account_id], lease, self._parts)
            self._readers[lease.account_id] = reader
            self._log.info("mailbox_taken", account_id=lease.account_id, epoch=lease.epoch, last_uid=lease.position.last_uid)
            reader.start()

    def _renew(self) -> None:
        held = {account_id: reader.lease.epoch for account_id, reader in self._readers.items()}
        for account_id in held.keys() - self._parts.positions.renew(held):
            self._parts.metrics.leases_lost.inc()
            self._log.warning("mailbox_lease_lost", account_id=account_id, epoch=held[account_id])
            self._readers[account_id].stop()

    def _look(self) -> None:
        self._wanted, faulty = mailboxes(self._parts.positions.configured(), plain_loopback=self._plain_loopback)
        for one in faulty:
            if one not in self._faulty:
                self._log.error("mailbox_unreadable", account_id=one.account_id, reason=one.reason)
        self._faulty = faulty

    def _bury(self) -> None:
        """Give back the leases of readers that have ended, whatever for; a mailbox that is still wanted is taken anew.

        Raises ConfigError where that is what ended one.
        """
        for account_id, reader in list(self._readers.items()):
            if reader.ended:
                del self._readers[account_id]
                self._parts.positions.release(account_id, reader.lease.epoch)
                if reader.fault is not None:
                    raise reader.fault

    def _end(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for reader in self._readers.values():
            reader.stop()
        for reader in self._readers.values():
            reader.wait(max(0.0, until - time.monotonic()))
        try:
            self._bury()
        except Unavailable as error:
            self._log.warning("leases_kept", reason=str(error))  # they run out by themselves
        if self._readers:
            self._log.warning("readers_left", count=len(self._readers))

    def _measure(self) -> None:
        states: Mapping[str, int] = Counter(reader.state for reader in self._readers.values())
        elsewhere = len(self._wanted.keys() - self._readers.keys())
        for state in ("starting", "reading", "trouble"):
            self._parts.metrics.mailboxes.labels(state).set(states.get(state, 0))
        self._parts.metrics.mailboxes.labels("elsewhere").set(elsewhere)
        self._parts.metrics.mailboxes.labels("unreadable").set(len(self._faulty))

    def _become(self, ready: bool, reason: str) -> None:
        if self._state[0] != ready:
            self._log.info("mailbox_service", ready=ready, reason=reason)
        self._state = (ready, reason)
