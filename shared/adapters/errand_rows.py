"""`sync_errand`: single calls that connectors wait for, as requests name them; kept in the transaction that moves the offset."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, delete, select, text, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from shared.adapters.tables import SyncErrand
from shared.domain.sync_causes import ERRANDS

# Of one connector and cause: more than that nobody asks for in good faith. By cause, because a stranger may name certificates,
# and a confirmation, which only a proven message asks for, is not to find the places taken.
MOST_WAITING = 32
_MAX_DETAIL = 512

Errand = tuple[str, str]  # cause, detail

_KEEP = text("""
INSERT INTO sync_errand (connector_id, cause, detail)
SELECT g.connector_id, g.cause, g.detail
FROM (
    SELECT *, row_number() OVER (PARTITION BY connector_id, cause ORDER BY detail) AS place
    FROM jsonb_to_recordset(:rows) AS one (connector_id uuid, cause text, detail text)
) g
WHERE g.place + (SELECT count(*) FROM sync_errand e WHERE e.connector_id = g.connector_id AND e.cause = g.cause) <= :most
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
""").bindparams(bindparam("rows", type_=JSONB))


def keep_errands(session: Session, askings: Collection[tuple[str, str, str]]) -> None:
    """Keep those of the askings (connector, cause, detail) that are errands; one that waits already is the same."""
    wanted = {one for one in askings if one[1] in ERRANDS and one[2] and len(one[2]) <= _MAX_DETAIL and one[2].isprintable()}
    rows = [{"connector_id": connector, "cause": cause, "detail": detail} for connector, cause, detail in sorted(wanted)]
    if rows:
        session.execute(_KEEP, {"rows": rows, "most": MOST_WAITING})


def waiting_errands(session: Session, connector_id: str) -> Sequence[Errand]:
    """(cause, detail) of what the connector waits for, the oldest first."""
    wanted = select(SyncErrand.cause, SyncErrand.detail).where(SyncErrand.connector_id == connector_id)
    return [(row.cause, row.detail) for row in session.execute(wanted.order_by(SyncErrand.asked_at, SyncErrand.detail))]


def drop_errands(session: Session, connector_id: str, errands: Collection[Errand]) -> None:
    """These are done, or cannot be."""
    gone = tuple_(SyncErrand.cause, SyncErrand.detail).in_(list(errands))
    session.execute(delete(SyncErrand).where(SyncErrand.connector_id == connector_id, gone))
