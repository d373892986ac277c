"""A held row that goes to the back of its conversation's queue gets a new place there, on a real PostgreSQL."""

from __future__ import annotations

from shared.adapters import held_rows
from shared.adapters.clock import new_uuid7
from shared.adapters.router_store import RouterStore
from shared.domain.enums import HoldReason
from shared.domain.holding import NewHold, Settlement, Waiting, WantedRows
from tests.database_fixtures import DatabaseUnderTest

EPOCH = "00000000-0000-7000-8000-00000000e0c4"


def test_rows_stand_at_the_back_in_order_of_their_copies(database: DatabaseUnderTest) -> None:
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
    store = RouterStore(database.worker_url)
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


def test_a_row_that_waits_again_rests_for_a_second_whatever_the_clocks_say(database: DatabaseUnderTest) -> None:
    past = Waiting(reason=HoldReason.TARGET_UNKNOWN, due_ms=1, target="t")  # by PostgreSQL's clock its deadline has passed
    first = NewHold(
        position=(EPOCH, 0, 1, "m"),
        connector_id=new_uuid7(),
        account_id=new_uuid7(),
        first_arrival_ms=1,
        expires_ms=2,
        waiting=past,
    )
    store = RouterStore(database.worker_url)
    try:
        with store.transaction() as cursor:
            held_rows.insert_holds(cursor, [first])
            (row,) = held_rows.read_held(cursor, EPOCH, {0: (0, 9)}, WantedRows())
            held_rows.settle_held(cursor, [Settlement(row=row, position=(EPOCH, 0, 2, "m"), waiting=past)])
            cursor.execute("SELECT due_at - now() FROM held_record")
            [[rest]] = cursor.fetchall()
            held_rows.wake_heads(cursor, (), {(first.connector_id, "t")})
            cursor.execute("SELECT due_at <= now() FROM held_record")
            [[woken]] = cursor.fetchall()
        assert rest.total_seconds() == 1.0
        assert woken  # but not when what it waits for has just come
    finally:
        store.close()
