"""What a record of another module's snapshot topic asks for. Pure: a record in, an order or a refusal out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from shared.domain.errors import CorruptData
from shared.domain.snapshots import FlowSnapshot, OrgUnitSnapshot
from shared.domain.topics import Topic

MAX_NAME_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Take:
    """Bring the tables up to this snapshot."""

    snapshot: OrgUnitSnapshot | FlowSnapshot

    @property
    def tenant_id(self) -> str:
        """Whose it is."""
        return self.snapshot.tenant_id

    @property
    def subject_id(self) -> str:
        """The unit or the flow."""
        return self.snapshot.org_unit_id if isinstance(self.snapshot, OrgUnitSnapshot) else self.snapshot.flow_id


@dataclass(frozen=True, slots=True)
class Forget:
    """The original is gone. Whose it was, only the tables know."""

    subject_id: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The record cannot be used; the name of its fault, never its values."""

    reason: str


Order = Take | Forget | Refuse


def read_order(topic: Topic, key: str | None, value: bytes | None, decode: Callable[[Topic, bytes], Any]) -> Order:
    """The order in one record. `decode` may raise CorruptData (refused here) and Unavailable (passes)."""
    subject = _uuid(key)
    if subject is None:
        return Refuse("key_invalid")
    if value is None:
        return Forget(subject)
    try:
        snapshot: OrgUnitSnapshot | FlowSnapshot = decode(topic, value)
    except CorruptData as error:
        return Refuse(error.code)
    take = Take(snapshot)
    reason = _fault(take, subject)
    return take if reason is None else Refuse(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One record of one partition: where it lies, whose it is (None: nobody's that we know), and what to do."""

    offset: int
    tenant_id: str | None
    order: Order


def runs_of_one_tenant(steps: Iterable[Step]) -> Iterator[tuple[str | None, list[Step]]]:
    """Neighbours of one tenant together, in order: each run is one transaction, which acts for that tenant."""
    for tenant_id, run in groupby(steps, key=lambda step: step.tenant_id):
        yield tenant_id, list(run)


def _fault(take: Take, subject: str) -> str | None:
    if take.subject_id != subject:
        return "key_mismatch"
    if _uuid(take.tenant_id) is None:
        return "tenant_invalid"
    name = take.snapshot.name
    return "name_invalid" if not name.strip() or len(name) > MAX_NAME_CHARACTERS or "\0" in name else None


def _uuid(text: str | None) -> str | None:
    try:
        return text if text is not None and text == str(UUID(text)) else None
    except ValueError:
        return None
