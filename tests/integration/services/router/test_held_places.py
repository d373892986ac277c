"""A held row that goes to the back of its conversation's queue gets a new place there, on a real PostgreSQL."""

from __future__ import annotations

from shared.adapters import held_rows
from shared.adapters.clock import new_uuid7
from shared.adapters.router_store import RouterStore
from shared.domain.enums import HoldReason
from shared.domain.holding import NewHold, Settlement, Waiting, WantedRows
from tests.pipeline import Pipeline

EPOCH = "00000000-0000-7000-8000-00000000e0c4"


def test_rows_stand_at_the_back_in_order_of_their_copies(pipeline: Pipeline) -> None:
    connector, account, conversation = new_uuid7(), new_uuid7(), new_uuid7()

    def hold(offset: int, waiting: Waiting) -> NewHold:
        return NewHold(
            position=(EPOCH, 0, offset, "m"),
            connector_id=connector,
            account_id=account,
            first_arrival_ms=1,
            expires_ms=2,
            waiting=waiting,
        )

    early = Waiting(reason=HoldReason.TARGET_UNKNOWN, due_ms=1, target="t")
    queued = Waiting(reason=HoldReason.QUEUED, due_ms=1, conversation_id=conversation)
    back = Waiting(reason=HoldReason.QUEUED, due_ms=1, conversation_id=conversation, target="t", at_the_back=True)
    store = RouterStore(pipeline.database.worker_url)
    try:
        with store.transaction() as cursor:
            held_rows.insert_holds(cursor, [hold(1, early), hold(2, early), hold(3, queued)])
        with store.transaction() as cursor:
            rows = {row.position[2]: row for row in held_rows.read_held(cursor, EPOCH, {0: (0, 9)}, WantedRows())}
            copies = [Settlement(row=rows[old], position=(EPOCH, 0, new, "m"), waiting=back) for old, new in ((2, 11), (1, 12))]
            held_rows.settle_held(cursor, copies)
        with store.transaction() as cursor:
            line = held_rows.read_held(cursor, EPOCH, {0: (0, 0)}, WantedRows(conversations={conversation: 9}))
        places = sorted(line, key=lambda row: row.seq)
        assert [row.position[2] for row in places] == [3, 11, 12]
        assert {row.target for row in places[1:]} == {"t"}
    finally:
        store.close()
