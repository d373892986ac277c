"""How far each mailbox was read, and who may read it now (`mailbox_position`).

A lease belongs to one holder until a time that the database's clock decides, so that the clocks of the machines do not
matter. Each taking counts the epoch up, and progress is a compare-and-set on it: a holder that was stopped for a while and
lost its lease cannot move anything, however late its statement arrives.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, String, TextClause, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from shared.adapters.configuration_rows import read_configuration
from shared.adapters.database_errors import translated
from shared.domain.configuration import ConfigurationRows
from shared.domain.errors import Fenced

_WHO = "the mailbox service"
_IDS = ARRAY(Uuid(as_uuid=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far one folder was read. `server` names host, user and folder that it is true of; `uid_validity` None: never read.

    While `resync_until_uid` is set, mails up to it are read only if they arrived since `resync_since`. `moved_at`: last progress.
    """

    server: str = ""
    uid_validity: int | None = None
    last_uid: int = 0
    resync_since: dt.date | None = None
    resync_until_uid: int | None = None
    moved_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to read one mailbox, and where to go on."""

    account_id: str
    epoch: int
    position: Position


class MailboxPositions:
    """The table, for one process called `holder`. Safe for threads; all calls block and raise Unavailable or ConfigError."""

    def __init__(self, engine: Engine, holder: str, lease_seconds: float) -> None:
        self._engine = engine
        self._holder = holder
        self._lease = dt.timedelta(seconds=lease_seconds)

    def configured(self) -> ConfigurationRows:
        """Every connector of type e-mail in the dialect `imap`, and its accounts, of one instant."""
        with translated(_WHO), self._engine.connect() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            connectors = connection.execute(_CONNECTORS).scalars().all()
            accounts = connection.execute(_ACCOUNTS, {"connectors": connectors}).scalars().all()
            return read_configuration(connection, connectors, accounts)

    def take(self, account_ids: Collection[str], limit: int) -> list[Lease]:
        """Take up to `limit` of these mailboxes that nobody holds; a mailbox seen for the first time gets its row."""
        if not account_ids or limit <= 0:
            return []
        with translated(_WHO), self._engine.begin() as connection:
            ids = sorted(account_ids)
            missing = set(ids) - set(connection.execute(_KNOWN, {"ids": ids}).scalars())
            if missing:
                connection.execute(_ADD, {"ids": sorted(missing)})
            taken = connection.execute(_TAKE, {"ids": ids, "limit": limit, "holder": self._holder, "lease": self._lease})
            return [
                Lease(
                    account_id=row.account_id,
                    epoch=row.lease_epoch,
                    position=Position(
                        server=row.server,
                        uid_validity=row.uid_validity,
                        last_uid=row.last_uid,
                        resync_since=row.resync_since,
                        resync_until_uid=row.resync_until_uid,
                        moved_at=row.moved_at,
                    ),
                )
                for row in taken
            ]

    def renew(self, held: Mapping[str, int]) -> set[str]:
        """Renew the leases (account id → epoch); returns the accounts that are still ours."""
        if not held:
            return set()
        values = {"ids": list(held), "epochs": list(held.values()), "holder": self._holder, "lease": self._lease}
        with translated(_WHO), self._engine.begin() as connection:
            return set(connection.execute(_RENEW, values).scalars())

    def release(self, account_id: str, epoch: int) -> None:
        """Give a lease back, if it is still ours: the next one need not wait for its end."""
        with translated(_WHO), self._engine.begin() as connection:
            connection.execute(_RELEASE, {"id": account_id, "epoch": epoch, "holder": self._holder})

    def move(self, lease: Lease, position: Position) -> None:
        """Write down how far the mailbox was read. Raises Fenced when the lease is another's by now; nothing changes then."""
        values = {
            "id": lease.account_id,
            "epoch": lease.epoch,
            "holder": self._holder,
            "server": position.server,
            "uid_validity": position.uid_validity,
            "last_uid": position.last_uid,
            "resync_since": position.resync_since,
            "resync_until_uid": position.resync_until_uid,
        }
        with translated(_WHO), self._engine.begin() as connection:
            if connection.execute(_MOVE, values).rowcount != 1:
                raise Fenced(f"mailbox of account {lease.account_id}: another process reads it now")


def _ids(statement: str, *names: str) -> TextClause:
    return text(statement).bindparams(*(bindparam(name, type_=_IDS) for name in names))


_CONNECTORS = text("SELECT id::text FROM channel_connector WHERE tipo = 'email' AND config ->> 'dialect' = 'imap'")
_ACCOUNTS = _ids("SELECT id::text FROM channel_account WHERE connector_id = ANY(:connectors)", "connectors")
_KNOWN = _ids("SELECT account_id::text FROM mailbox_position WHERE account_id = ANY(:ids)", "ids")
# An account that was deleted meanwhile is left out by the join, not an error.
_ADD = _ids(
    "INSERT INTO mailbox_position (account_id) SELECT id FROM channel_account WHERE id = ANY(:ids) ON CONFLICT DO NOTHING", "ids"
)
_TAKE = _ids(
    """
    UPDATE mailbox_position SET lease_holder = :holder, lease_epoch = lease_epoch + 1, lease_until = now() + :lease
    WHERE account_id IN (
        SELECT account_id FROM mailbox_position
        WHERE account_id = ANY(:ids) AND (lease_until IS NULL OR lease_until < now())
        ORDER BY lease_until NULLS FIRST LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING account_id::text, lease_epoch, server, uid_validity, last_uid, resync_since, resync_until_uid, moved_at
    """,
    "ids",
)
_RENEW = _ids(
    """
    UPDATE mailbox_position SET lease_until = now() + :lease
    FROM unnest(:ids, CAST(:epochs AS bigint[])) AS held (id, epoch)
    WHERE account_id = held.id AND lease_epoch = held.epoch AND lease_holder = :holder
    RETURNING account_id::text
    """,
    "ids",
)
_RELEASE = text(
    "UPDATE mailbox_position SET lease_holder = NULL, lease_until = NULL"
    " WHERE account_id = :id AND lease_epoch = :epoch AND lease_holder = :holder"
)
_MOVE = text(
    """
    UPDATE mailbox_position SET server = :server, uid_validity = :uid_validity, last_uid = :last_uid,
        resync_since = :resync_since, resync_until_uid = :resync_until_uid, moved_at = now()
    WHERE account_id = :id AND lease_epoch = :epoch AND lease_holder = :holder
    """
).bindparams(bindparam("server", type_=String))
