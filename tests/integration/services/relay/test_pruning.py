"""What is deleted of `held_record`: old rows that are done, but never one that a router may still ask for."""

from __future__ import annotations

import datetime as dt
from contextlib import closing

import psycopg
import pytest

from shared.adapters.redelivery_rows import RedeliveryRows
from tests.database_fixtures import DatabaseUnderTest

_ROWS = """INSERT INTO held_record (id, connector_id, account_id, conversation_id, epoch, raw_partition, raw_offset, item, reason,
    blocks, state, due_at, expires_at, first_arrival_at, done_at)
SELECT gen_random_uuid(), md5('c')::uuid, md5('a')::uuid, md5('l')::uuid, md5('e')::uuid, 0, n, '/0', 'intake', true, 'done',
    now(), now(), now(), now() - interval '3 days' FROM generate_series(1, 9) AS n"""
_PROGRESS = """INSERT INTO router_progress (topic, partition, topic_id, first_offset, end_offset)
VALUES ('raw', 0, md5('e')::uuid, 6, 10)"""


@pytest.mark.req(67)
def test_rows_of_a_batch_that_kafka_may_not_know_of_are_kept(database: DatabaseUnderTest) -> None:
    with psycopg.connect(database.worker_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(_ROWS)
        connection.execute(_PROGRESS)
        with closing(RedeliveryRows(database.worker_url)) as rows:
            assert rows.prune_done(dt.timedelta(days=2), 100) == 5
            assert [row[0] for row in connection.execute("SELECT raw_offset FROM held_record ORDER BY 1")] == [6, 7, 8, 9]
            connection.execute("UPDATE router_progress SET first_offset = 10")
            assert rows.prune_done(dt.timedelta(days=2), 100) == 4
