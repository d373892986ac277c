"""Carries orders out: one transaction per run of one tenant, which also holds how far the topic was read."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from services.sync.decide import Forget, Order, Refuse, Step, Take
from shared.adapters.consumer_offsets import advance_offset, begin_offset
from shared.adapters.database import DatabaseFault, classify, create_engine_for, unit_of_work
from shared.adapters.database_errors import translated
from shared.adapters.lost_targets import count_lost_targets
from shared.adapters.tables import AutomationFlow, OrgUnit
from shared.domain.errors import InvalidInput
from shared.domain.snapshots import OrgUnitSnapshot
from shared.domain.topics import Topic
from shared.management.reference_feed import Taken, forget_flow, forget_unit, take_flow, take_unit

CONSUMER = "sync"
_LOOKS = 3  # a taken id may be our own tenant's or unit's, written by hand since we looked: now it is there to be changed
_ACTORS = {Topic.ORG_UNIT_SNAPSHOT: "organization", Topic.FLOW_SNAPSHOT: "automation"}

Effect = Taken | Refuse


class ReferenceWriter:
    """Writes as the role of the API, for one tenant at a time; looks up whose a row is as the role of the workers."""

    def __init__(self, api_url: str, worker_url: str) -> None:
        self._api = create_engine_for(api_url, pool_size=1, application_name="channels-sync")
        self._worker = create_engine_for(worker_url, pool_size=1, application_name="channels-sync")

    def close(self) -> None:
        """Close what is open."""
        self._api.dispose()
        self._worker.dispose()

    def begin(self, topic: str, partition: int, topic_id: str) -> int:
        """Where to read on. Raises Unavailable, ConfigError."""
        with translated(), unit_of_work(self._api) as session:
            offset = begin_offset(session, CONSUMER, topic, partition, topic_id)
            session.commit()
        return offset

    def owner_of(self, topic: Topic, subject_id: str) -> str | None:
        """The tenant of a unit or a flow; None for one that was never here."""
        table = OrgUnit if topic is Topic.ORG_UNIT_SNAPSHOT else AutomationFlow
        with translated(), self._worker.connect() as connection:
            return connection.execute(select(table.tenant_id).where(table.id == subject_id)).scalar()

    def lost_targets(self) -> dict[str, int]:
        """How many accounts have a target now that cannot be used, by target."""
        with translated(), self._worker.connect() as connection:
            return count_lost_targets(connection)

    def write(
        self, kind: Topic, topic: str, partition: int, topic_id: str, tenant_id: str | None, run: Sequence[Step], *, start: int
    ) -> list[Effect]:
        """Carry out a run and move the offset from `start` behind its last record, all or nothing.

        Raises Fenced (somebody else has read on), Unavailable, ConfigError.
        """
        with translated(), unit_of_work(self._api, tenant_id=tenant_id) as session:
            advance_offset(session, CONSUMER, topic, partition, topic_id, start=start, end=run[-1].offset + 1)
            effects = [_carry_out(session, kind, step.order) for step in run]
            session.commit()
        return effects


def _carry_out(session: Session, kind: Topic, order: Order) -> Effect:
    """One order behind a savepoint: what the database cannot hold costs itself only."""
    if isinstance(order, Refuse):
        return order
    reason = ""
    for _ in range(_LOOKS):
        try:
            with session.begin_nested():
                return _effect(session, kind, order)
        except InvalidInput as error:
            reason = error.reason
            if reason != "id_taken":
                break
        except DBAPIError as error:
            if classify(error) is DatabaseFault.BAD_DATA:
                return Refuse("value_invalid")
            raise
    return Refuse(reason)


def _effect(session: Session, kind: Topic, order: Take | Forget) -> Taken:
    actor = _ACTORS[kind]
    if isinstance(order, Forget):
        forget = forget_unit if kind is Topic.ORG_UNIT_SNAPSHOT else forget_flow
        return forget(session, order.subject_id, actor=actor)
    if isinstance(order.snapshot, OrgUnitSnapshot):
        return take_unit(session, order.snapshot, actor=actor)
    return take_flow(session, order.snapshot, actor=actor)
