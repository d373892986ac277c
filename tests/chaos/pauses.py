"""Accounts whose route is paused from before the first message and resumed later, by the use cases."""

from __future__ import annotations

import threading
import time
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from deploy.demo.world import World
from shared.adapters.database import create_engine_for, unit_of_work
from shared.domain.errors import ChannelsError
from shared.domain.snapshots import AccountSnapshot
from shared.domain.topics import Topic
from shared.management.pauses import pause_account, resume_account
from tests.chaos.ground_plan import CONNECTORS, TENANT, account_id, number_id
from tests.chaos.oracle_flows import Paused
from tests.chaos.provider import Route

_KNOWN_SECONDS = 20.0
_OBEYED_SECONDS = 2.0  # the promise
_ACTOR = "chaos:pauses"


class Pauses:
    """The patient numbers of the first two connectors."""

    def __init__(self, api_url: str) -> None:
        self._engine = create_engine_for(api_url, pool_size=1, application_name="chaos-pauses")
        self._accounts = [account_id(connector, Route.PATIENT) for connector in CONNECTORS[:2]]
        self._numbers = frozenset(number_id(connector, Route.PATIENT) for connector in CONNECTORS[:2])
        self._until_ms = 0
        self._thread: threading.Thread | None = None

    def begin(self, world: World) -> None:
        """Pause them, and wait until everybody must know. Raises TimeoutError."""
        self._each(pause_account, "chaos")
        deadline = time.monotonic() + _KNOWN_SECONDS
        while not self._known(world):
            if time.monotonic() > deadline:
                raise TimeoutError("no snapshot says that the accounts are paused")
            time.sleep(0.1)
        time.sleep(_OBEYED_SECONDS)

    def end_after(self, seconds: float) -> None:
        """Resume them then, in a thread of its own."""
        self._thread = threading.Thread(target=self._end, args=(seconds,), daemon=True)
        self._thread.start()

    def ended(self) -> Paused:
        """Wait until they are resumed; what the oracle has to know."""
        if self._thread is not None:
            self._thread.join()
        self._engine.dispose()
        return Paused(self._numbers, self._until_ms)

    def _end(self, seconds: float) -> None:
        time.sleep(seconds)
        self._until_ms = time.time_ns() // 1_000_000
        while True:
            try:
                self._each(resume_account)
            except (ChannelsError, SQLAlchemyError):  # PostgreSQL is away; resuming what is open changes nothing
                time.sleep(0.5)
            else:
                return

    def _each(self, use_case: Any, *arguments: str) -> None:
        for one in self._accounts:
            with unit_of_work(self._engine, tenant_id=TENANT) as session:
                use_case(session, one, *arguments, actor=_ACTOR)
                session.commit()

    def _known(self, world: World) -> bool:
        snapshots: list[AccountSnapshot] = world.events(Topic.ACCOUNT_SNAPSHOT)
        causes = {snapshot.account_id: snapshot.pause_cause for snapshot in snapshots}
        return all(causes.get(one) is not None for one in self._accounts)
