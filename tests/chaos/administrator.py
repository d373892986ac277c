"""An administrator who changes the status of connectors while everything shakes, through the use cases, and keeps account."""

from __future__ import annotations

import random
import threading

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from deploy.demo.world import World
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.tables import AuditLog, ChannelConnector
from shared.domain.enums import ConnectorStatus
from shared.domain.errors import ChannelsError
from shared.domain.topics import Topic
from shared.management.connectors import change_status
from tests.chaos.ground_plan import CONNECTORS, TENANT
from tests.chaos.oracle import OURS, StatusEvent, StatusLedger

_ACTION = "connector.status_changed"


class Administrator:
    """Works until stopped; each change carries an actor of its own, so that it can be found again."""

    def __init__(self, api_url: str, *, per_second: float, seed: int) -> None:
        self.ledger = StatusLedger()
        self._engine = create_engine_for(api_url, pool_size=1, application_name="chaos-administrator")
        self._pause_seconds = 1 / per_second
        self._dice = random.Random(f"{seed}-administrator")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._number = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the change in hand and end, with every connector active again."""
        self._stop.set()
        self._thread.join(30)

    def close(self) -> None:
        """Hang up."""
        self._engine.dispose()

    def logged(self) -> list[str]:
        """Actors of all status changes that the database has committed, by its audit log."""
        with unit_of_work(self._engine, tenant_id=TENANT) as session:
            ours = (AuditLog.action == _ACTION) & AuditLog.actor.startswith(OURS)
            return list(session.scalars(select(AuditLog.actor).where(ours).order_by(AuditLog.id)))

    def _work(self) -> None:
        while not self._stop.wait(self._dice.expovariate(1 / self._pause_seconds)):
            away = self._dice.choice((ConnectorStatus.ERROR, ConnectorStatus.PENDING))
            connector_id = self._dice.choice(CONNECTORS)
            for status in (away, ConnectorStatus.ACTIVE):
                self._change(connector_id, status)

    def _change(self, connector_id: str, status: ConnectorStatus) -> None:
        self._number += 1
        actor = f"{OURS}{self._number:05d}"
        try:
            with unit_of_work(self._engine, tenant_id=TENANT) as session:
                differs = session.get_one(ChannelConnector, connector_id).status is not status
                change_status(session, connector_id, status, cause="chaos", actor=actor)
                session.commit()
        except (ChannelsError, SQLAlchemyError):
            self.ledger.unsure.append(actor)  # committed or not: the audit log tells
            return
        if differs:
            self.ledger.sure.append(actor)


def status_events(world: World) -> list[StatusEvent]:
    """What an independent reader finds. The first status of a new connector is no change."""
    return [
        StatusEvent(event.connector_id, event.old_status.value if event.old_status else None, event.new_status.value, event.actor)
        for event in world.events(Topic.CONNECTOR_STATUS_CHANGED)
    ]
