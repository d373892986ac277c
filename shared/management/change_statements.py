"""The statements that every change ends with: a version counted, a notice left in the outbox, an entry in the audit log.

They are written once: to build them anew at each change would cost more than to run them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ColumnElement, Insert, Select, bindparam, cast, extract, func, insert, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.adapters.tables import AuditLog, ChannelAccount, Outbox, SnapshotVersion, stored_in
from shared.domain.topics import Topic


def _accounts_of_connector() -> Select[str]:
    """Their ids, in order; `connector` is the connector's."""
    of = ChannelAccount.connector_id == bindparam("connector", type_=ChannelAccount.connector_id.type)
    return select(ChannelAccount.id).where(of).order_by(ChannelAccount.id)


def _count_and_note() -> Insert:
    # Both in one statement. Only the outbox's rows have columns that the database fills in; nothing is read back.
    subject = bindparam("subject", type_=SnapshotVersion.subject_id.type)
    count = upsert(SnapshotVersion).values(subject_id=subject, kind=bindparam("counted_kind"), version=literal_column("1"))
    count = count.on_conflict_do_update(index_elements=["subject_id"], set_={"version": SnapshotVersion.version + 1})
    notice = insert(Outbox).values(topic=bindparam("snapshot"), subject_id=subject)
    return notice.inline().add_cte(count.cte("counted"))


def _count_accounts() -> Insert:
    named = _accounts_of_connector().add_columns(literal_column("'account'"), literal_column("1"))
    count = upsert(stored_in(SnapshotVersion)).from_select(["subject_id", "kind", "version"], named)
    return count.on_conflict_do_update(index_elements=["subject_id"], set_={"version": SnapshotVersion.version + 1})


def _note_accounts() -> Insert:
    named = _accounts_of_connector().add_columns(literal_column(f"'{Topic.ACCOUNT_SNAPSHOT.value}'"))
    return insert(stored_in(Outbox)).inline().from_select(["subject_id", "topic"], named)


def _note(topic: Topic, timed: str) -> Insert:
    """A notice about `subject` with what is `told`, and in `timed` when: the database's own time, in ms, for the clocks of those
    who change something differ."""
    at = cast(func.floor(extract("epoch", func.clock_timestamp()) * 1000), BigInteger)
    detail = bindparam("told", type_=JSONB).concat(func.jsonb_build_object(literal_column(f"'{timed}'"), at))
    named: ColumnElement[str] = literal_column(f"'{topic.value}'")
    return insert(stored_in(Outbox)).inline().values(topic=named, subject_id=bindparam("subject"), detail=detail)


COUNT_AND_NOTE = _count_and_note()
COUNT_ACCOUNTS, NOTE_ACCOUNTS = _count_accounts(), _note_accounts()
NOTE_STATUS = _note(Topic.CONNECTOR_STATUS_CHANGED, "changed_at_ms")
NOTE_SYNC = _note(Topic.SYNC_REQUIRED, "requested_at_ms")
NOTE_SYNC_AND_TELL = NOTE_SYNC.returning(cast(stored_in(Outbox).c.detail["requested_at_ms"], BigInteger).label("requested_at_ms"))
_LOGGED = ("tenant_id", "actor", "action", "subject_type", "subject_id", "before", "after")
LOG = insert(stored_in(AuditLog)).values({name: bindparam(name) for name in _LOGGED}).inline()
