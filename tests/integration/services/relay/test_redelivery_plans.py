"""The statements of redelivery go through the indexes, however many rows one conversation has, with statistics and without."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import TextClause

from shared.adapters import redelivery_rows as statements
from tests.database_fixtures import DatabaseUnderTest

ROWS = 10_000

_FILL = """INSERT INTO held_record (id, connector_id, account_id, conversation_id, target, epoch, raw_partition, raw_offset, item,
    reason, blocks, due_at, expires_at, first_arrival_at)
SELECT gen_random_uuid(), md5('c')::uuid, md5('a')::uuid, CASE WHEN n <= {rows} THEN md5('line')::uuid ELSE gen_random_uuid() END,
    CASE WHEN n > 2 * {rows} THEN 'target' END, md5('e')::uuid, 0, n, '/0',
    CASE WHEN n > 2 * {rows} THEN 'target_unknown' ELSE 'paused' END, n <= 2 * {rows}, now(), now() + interval '7 days', now()
FROM generate_series(1, 3 * {rows}) AS n ORDER BY n"""


@pytest.fixture(params=["analysed", "never analysed"])
def connection(database: DatabaseUnderTest, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    """All rows are due: 10 000 in one conversation, as many in one each, as many that wait for one message."""
    with psycopg.connect(database.owner_url.replace("+psycopg", ""), autocommit=True) as owner:
        owner.execute("ALTER TABLE held_record SET (autovacuum_enabled = off)")
        owner.execute(_FILL.format(rows=ROWS))
        if request.param == "analysed":
            owner.execute("ANALYZE held_record")
    with psycopg.connect(database.worker_url.replace("+psycopg", "")) as worker:
        statements.prepare_session(worker, None)
        yield worker


def plan(connection: psycopg.Connection[Any], statement: TextClause, **values: object) -> list[dict[str, Any]]:
    """The nodes of the plan as it was executed."""
    compiled = str(statement.compile(dialect=postgresql.psycopg.dialect()))  # type: ignore[no-untyped-call]
    [[found]] = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled}", values).fetchall()  # type: ignore[arg-type]
    nodes: list[dict[str, Any]] = []
    _collect(found[0]["Plan"], nodes)
    print(json.dumps([(node["Node Type"], node.get("Index Name"), node["Actual Loops"]) for node in nodes]))
    return nodes


def _collect(node: dict[str, Any], into: list[dict[str, Any]]) -> None:
    into.append(node)
    for child in node.get("Plans", ()):
        _collect(child, into)


def indexes(nodes: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in nodes if "Index Name" in node}


def read_pages(nodes: list[dict[str, Any]]) -> int:
    return int(nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"])


def test_what_is_due_is_found_by_indexes_beside_a_long_line(connection: psycopg.Connection[Any]) -> None:
    nodes = plan(connection, statements.TAKE, rows=1_000)
    assert {"ix_held_record_due", "ix_held_record_conversation", "ix_held_record_target"} <= indexes(nodes)
    assert not [node for node in nodes if node["Node Type"] in ("Seq Scan", "Hash Join", "Merge Join", "Hash Anti Join")]
    for node in nodes:  # a line is not walked: one entry is read of it
        if node.get("Index Name") in ("ix_held_record_conversation", "ix_held_record_target"):
            assert node["Actual Rows"] <= 1
    found = connection.execute(
        "SELECT count(*), count(DISTINCT conversation_id) FROM held_record WHERE state = 'sent'"
    ).fetchone()
    assert found == (1_000, 1_000)


def test_what_is_noted_or_sent_again_is_found_by_indexes(connection: psycopg.Connection[Any]) -> None:
    connection.execute("UPDATE held_record SET state = 'sent' WHERE id IN (SELECT id FROM held_record ORDER BY seq LIMIT 1000)")
    connection.execute("UPDATE held_record SET sent_at = now() - interval '1 hour' WHERE state = 'sent'")
    rows = connection.execute(
        "SELECT array_agg(id), array_agg(epoch), array_agg(raw_partition), array_agg(raw_offset), max(sent_at)"
        " FROM held_record WHERE state = 'sent'"
    ).fetchone()
    assert rows is not None
    ids, epochs, partitions, offsets, sent_at = rows
    nodes = plan(
        connection,
        statements.NOTE,
        ids=ids,
        epochs=epochs,
        partitions=partitions,
        offsets=offsets,
        copies=offsets,
        sent_at=sent_at,
    )
    assert {"pk_held_record"} <= indexes(nodes)
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
    nodes = plan(connection, statements.TAKE_AGAIN, partitions=[0], passed=[100_000], ends=[200_000], rows=1_000)
    assert {"ix_held_record_sent"} <= indexes(nodes)
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]


def test_claims_are_deleted_page_by_page(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "INSERT INTO claim (key, raw_partition, raw_offset, item, epoch, claimed_at)"
        " SELECT decode(md5(n::text), 'hex'), 0, n, '/0', md5('e')::uuid, now() - interval '20 days'"
        " FROM generate_series(1, 50000) AS n"
    )
    nodes = plan(connection, statements.PRUNE_CLAIMS, first="(128,0)", last="(256,0)", age=dt.timedelta(days=10))
    assert [node["Node Type"] for node in nodes] == ["ModifyTable", "Tid Range Scan"]
    assert nodes[1]["Shared Hit Blocks"] + nodes[1]["Shared Read Blocks"] == 128
