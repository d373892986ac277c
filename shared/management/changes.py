"""What every change of the configuration does beside changing: lock the connector first, count a version, leave a notice in
the outbox, and write who did it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session, SessionTransaction

from shared.adapters.clock import new_uuid7
from shared.adapters.pipelined_work import send_later
from shared.adapters.plain_rows import write_changes, write_new
from shared.adapters.tables import Base, ChannelConnector
from shared.domain.enums import ConnectorStatus
from shared.domain.errors import InvalidInput, NotFound
from shared.domain.topics import Topic
from shared.management.change_statements import COUNT_ACCOUNTS, COUNT_AND_NOTE, LOG, NOTE_ACCOUNTS, NOTE_STATUS
from shared.management.masking import columns_of, masked
from shared.management.rules import flush, rules_enforced

_MADE = "changes_made"
_HELD = "held_for_the_next"
_NAMES = ("nome", "identidade", "evento", "feature", "kind", "destino", "name")
_SNAPSHOTS = {"connector": Topic.CONNECTOR_SNAPSHOT, "account": Topic.ACCOUNT_SNAPSHOT}

Row = TypeVar("Row", bound=Base)


@dataclass(slots=True)
class Trace:
    """Whether the block of `audited` changed anything; known after the block."""

    changed: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A locked connector and a row of it (or itself), read under the lock of this transaction."""

    transaction: SessionTransaction | None
    connector: ChannelConnector
    row: Base


@dataclass(frozen=True, slots=True)
class Change:
    """One change that this session made, as the audit log has it; values are masked, None where there was or is no row.

    `name` is what people know the row by, `parent_id` the connector or account that it belongs to.
    """

    action: str
    subject_type: str
    subject_id: str
    name: str
    parent_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def changes_made(session: Session) -> tuple[Change, ...]:
    """What the use cases changed in this session so far, in order; empty if everything was so already."""
    return tuple(session.info.get(_MADE, ()))


def id_of(row: Base) -> str:
    """The row's own id, as text."""
    (found,) = inspect(row).identity or ("",)
    return str(found)


def name_of(row: Base) -> str:
    """What people know a row by; empty where it has no name."""
    return str(next((value for name in _NAMES if (value := getattr(row, name, None)) is not None), ""))


def lock_connector(session: Session, connector_id: str) -> ChannelConnector:
    """The connector, locked until the end of the transaction; every use case does this first. Raises NotFound.

    The lock stops other use cases and activations, not the router, which only refers to the row.
    """
    held = _held(session)
    if held is not None and held.connector.id == connector_id:
        return held.connector
    return find(session, ChannelConnector, connector_id, lock=True)


def hold(session: Session, connector: ChannelConnector, row: Base) -> None:
    """Say that the connector was just locked, and the row read under this lock: the use case that comes next need not again."""
    session.info[_HELD] = Held(session.get_nested_transaction() or session.get_transaction(), connector, row)


def _held(session: Session) -> Held | None:
    # For one use case only: it may change rows, also through triggers, and what was read is old then.
    held: Held | None = session.info.pop(_HELD, None)
    now = session.get_nested_transaction() or session.get_transaction()
    return held if held is not None and held.transaction is now else None


def find(session: Session, table: type[Row], row_id: str, *, lock: bool = False) -> Row:
    """A row as it is now, by its id; raises NotFound, also for text that is no id."""
    try:
        canonical = str(UUID(row_id))
    except ValueError:
        raise NotFound(f"{table.__tablename__} has no row of this id") from None
    with rules_enforced():
        row = session.get(table, canonical, with_for_update={"key_share": True} if lock else None, populate_existing=True)
    if row is None:
        raise NotFound(f"{table.__tablename__} {canonical} does not exist")
    return row


def lock_connector_of(session: Session, table: type[Row], row_id: str) -> tuple[ChannelConnector, Row]:
    """The locked connector of a row that has a `connector_id`, and the row as it is under the lock."""
    held = _held(session)
    if held is not None and isinstance(held.row, table) and id_of(held.row) == row_id:
        return held.connector, held.row
    connector_id: str = find(session, table, row_id).connector_id  # type: ignore[attr-defined]  # the caller's table has it
    connector = lock_connector(session, connector_id)
    return connector, find(session, table, row_id)


def lock_connectors_of(session: Session, tenant_id: str) -> list[ChannelConnector]:
    """Every connector of a tenant, locked in one order, for changes that reach across them."""
    statement = select(ChannelConnector).where(ChannelConnector.tenant_id == tenant_id).order_by(ChannelConnector.id)
    with rules_enforced():
        return list(session.scalars(statement.with_for_update(key_share=True).execution_options(populate_existing=True)))


def announce_connector(session: Session, connector_id: str) -> None:
    """Count a version of the connector's snapshot and ask the relay to publish it."""
    _announce(session, "connector", connector_id)


def announce_account(session: Session, account_id: str) -> None:
    """The same for one account."""
    _announce(session, "account", account_id)


def announce_accounts(session: Session, connector_id: str) -> None:
    """The same for every account of a connector, in two statements: it may have a hundred thousand."""
    flush(session)
    with rules_enforced():
        send_later(session, COUNT_ACCOUNTS, {"connector": connector_id})
        send_later(session, NOTE_ACCOUNTS, {"connector": connector_id})


def announce_status(
    session: Session, connector_id: str, old: ConnectorStatus | None, new: ConnectorStatus, *, cause: str, actor: str
) -> None:
    """Ask the relay for one `channel.connector.status_changed`; `old` is None for a new connector."""
    detail = {
        "change_id": new_uuid7(),
        "tenant_id": session.get_one(ChannelConnector, connector_id).tenant_id,  # the row may be gone by then
        "old_status": old.value if old else None,
        "new_status": new.value,
        "cause": cause,
        "actor": actor,
    }
    send_later(session, NOTE_STATUS, {"subject": connector_id, "told": detail})


@contextmanager
def audited(session: Session, row: Base, action: str, *, tenant_id: str, actor: str) -> Iterator[Trace]:
    """Flush the changes that the block makes to `row`, and log what differs, masked; no difference leaves no trace."""
    trace = Trace()
    before = columns_of(row)
    yield trace
    after = columns_of(row)
    changed = [name for name in after if before[name] != after[name]]
    if changed:
        with rules_enforced():
            write_changes(session, row, changed)
        trace.changed = True
        values = masked({name: before[name] for name in changed}), masked({name: after[name] for name in changed})
        _log(session, row, action, values, tenant_id=tenant_id, actor=actor)


def audit_new(session: Session, row: Base, action: str, *, tenant_id: str, actor: str) -> None:
    """Insert a row and log it, masked."""
    with rules_enforced():
        write_new(session, row)
    _log(session, row, action, (None, masked(columns_of(row))), tenant_id=tenant_id, actor=actor)


def audit_gone(session: Session, row: Base, action: str, *, tenant_id: str, actor: str) -> None:
    """Delete a row and log what it was, masked."""
    was = masked(columns_of(row))
    session.delete(row)
    flush(session)
    _log(session, row, action, (was, None), tenant_id=tenant_id, actor=actor)


def audit_note(session: Session, row: Base, action: str, facts: Mapping[str, Any], *, tenant_id: str, actor: str) -> None:
    """Log what happened to a row that nobody changed."""
    _log(session, row, action, (None, masked(dict(facts))), tenant_id=tenant_id, actor=actor)


def allowed_changes(changes: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Refuse names that a caller may not set; raises InvalidInput with a pointer."""
    for name in changes:
        if name not in allowed:
            raise InvalidInput(f"{name[:64]} cannot be set", reason="field_unknown", pointer=f"/{name[:64]}")


def _announce(session: Session, kind: str, subject_id: str) -> None:
    flush(session)
    values = {"subject": subject_id, "counted_kind": kind, "snapshot": _SNAPSHOTS[kind].value}
    with rules_enforced():
        send_later(session, COUNT_AND_NOTE, values)


def _log(
    session: Session,
    row: Base,
    action: str,
    values: tuple[dict[str, Any] | None, dict[str, Any] | None],
    *,
    tenant_id: str,
    actor: str,
) -> None:
    before, after = values
    change = Change(
        action=action,
        subject_type=row.__tablename__,
        subject_id=id_of(row),
        name=name_of(row),
        parent_id=getattr(row, "connector_id", None) or getattr(row, "account_id", None),
        before=before,
        after=after,
    )
    values_of_entry = {
        "tenant_id": tenant_id,
        "actor": actor,
        "action": change.action,
        "subject_type": change.subject_type,
        "subject_id": change.subject_id,
        "before": before,
        "after": after,
    }
    send_later(session, LOG, values_of_entry)
    session.info.setdefault(_MADE, []).append(change)
