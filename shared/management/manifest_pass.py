"""What one application of a manifest carries along: who applies, the faults so far, the report so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.orm import Session

from shared.adapters.tables import Base
from shared.adapters.vault import Vault
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType
from shared.domain.errors import Conflict, InvalidInput, NotFound
from shared.management.changes import Change, id_of
from shared.management.manifest_check import Checked, SecretSources, pointed
from shared.management.manifest_diff import Difference, Unnamed
from shared.management.manifest_text import Place

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """Who applies, and with what. `public_url`: where providers reach the edge."""

    vault: Vault
    sources: SecretSources
    public_url: str
    actor: str


@dataclass(frozen=True, slots=True)
class AppliedAccount:
    """An account as it stands now."""

    id: str
    identidade: str
    status: AccountStatus
    webhook_url: str | None


@dataclass(frozen=True, slots=True)
class AppliedConnector:
    """A connector as it stands now; `webhook_url` is what the provider is to be told."""

    id: str
    tenant_id: str
    nome: str
    tipo: ConnectorType
    status: ConnectorStatus
    webhook_url: str
    accounts: tuple[AppliedAccount, ...]


@dataclass(frozen=True, slots=True)
class AppliedTenant:
    """A tenant of the file."""

    id: str
    name: str


@dataclass(slots=True)
class Report:
    """What was changed (empty: everything was so already), what stands now, and what a person should know.

    `unchanged` counts the objects that the file names and that were so already; `unnamed` are those in force that it does not
    name; `invented` are the ids that the file did not give: they hold only if this application is committed.
    """

    tenants: list[AppliedTenant] = field(default_factory=list)
    connectors: list[AppliedConnector] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    changes: tuple[Change, ...] = ()
    differences: list[Difference] = field(default_factory=list)
    unchanged: int = 0
    unnamed: list[Unnamed] = field(default_factory=list)
    invented: frozenset[str] = frozenset()


@dataclass(slots=True)
class Pass:
    """One pass over the file: the session, who applies, the faults so far, the report so far."""

    session: Session
    applier: Applier
    checked: Checked
    report: Report = field(default_factory=Report)
    seen: set[tuple[str, str]] = field(default_factory=set)  # table and id of what the file speaks of
    references: dict[tuple[str, str, str], str] = field(default_factory=dict)  # table, tenant, name or id -> id

    def saw(self, row: Base) -> None:
        """Note a row that the file speaks of."""
        self.seen.add((row.__tablename__, id_of(row)))

    @contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """Do the block in a savepoint; what a use case refuses becomes a fault, and the pass goes on."""
        try:
            with self.session.begin_nested():
                yield
        except (InvalidInput, Conflict, NotFound) as error:
            pointer = error.pointer if isinstance(error, InvalidInput) else ""
            self.checked.faults.append(self.checked.text.fault(pointed(place, pointer), str(error)))

    def sound(self, place: Place) -> bool:
        """Whether nothing at or below the place is at fault so far."""
        start = self.checked.text.fault(place, "").place
        return not any(
            fault.place == start or fault.place.startswith((f"{start}.", f"{start}[")) for fault in self.checked.faults
        )


def one_of(found: Sequence[Found]) -> Found | None:
    """The only one, or None; raises Conflict where there are several."""
    if len(found) > 1:
        raise Conflict("several go by this name; give the id", reason="name_ambiguous")
    return found[0] if found else None
