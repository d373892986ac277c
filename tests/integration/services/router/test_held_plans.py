"""What the router reads of held rows costs the same however long the lines are, with statistics and without."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from shared.adapters import held_rows, intake_rows
from shared.adapters.binary_arrays import ints, register_arrays, texts, uuids
from shared.domain.holding import WantedRows
from tests.database_fixtures import DatabaseUnderTest

ROWS = 20_000
ANSWERS = 20
_FILL = """INSERT INTO held_record (id, connector_id, account_id, conversation_id, target, request_id, epoch, raw_partition,
    raw_offset, item, reason, blocks, due_at, expires_at, first_arrival_at)
SELECT gen_random_uuid(), md5('c')::uuid, md5('a')::uuid, CASE WHEN n <= {rows} THEN md5('line')::uuid END,
    CASE WHEN n > {rows} OR n = 77 THEN 'target' END, md5(n::text)::uuid, md5('e')::uuid, 0, n, '/0',
    CASE WHEN n > {rows} THEN 'target_unknown' ELSE 'queued' END, n <= {rows}, now(), now() + interval '7 days', now()
FROM generate_series(1, 2 * {rows}) AS n ORDER BY n"""

# Of one tenant, which a database that was just filled or restored knows nothing of.
_ESTATE = """INSERT INTO tenant (id, name) VALUES (md5('t')::uuid, 'Acme');
INSERT INTO org_unit (id, tenant_id, name) SELECT md5('u' || n)::uuid, md5('t')::uuid, n FROM generate_series(1, 70) n;
INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)
    SELECT CASE n WHEN 1 THEN md5('c')::uuid ELSE gen_random_uuid() END, md5('t')::uuid, 'telegram', n, '{}', 'pending'
    FROM generate_series(1, 2000) n"""


def named(text: str) -> str:
    return str(uuid.UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()))


WANTED = WantedRows(
    copies_of={(named("e"), 0, 5, "/0")},
    conversations={named("line"): 3},
    targets={(named("c"), "target"): 2},
    messages={named("500")},
    edits={(named("line"), "target")},
)


@pytest.fixture(params=["analysed", "never analysed"])
def connection(database: DatabaseUnderTest, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    """20 000 rows wait in one conversation, as many for one message."""
    with psycopg.connect(database.owner_url.replace("+psycopg", ""), autocommit=True) as owner:
        owner.execute("ALTER TABLE held_record SET (autovacuum_enabled = off)")
        owner.execute(_FILL.format(rows=ROWS))
        if request.param == "analysed":
            owner.execute("ANALYZE held_record")
    with psycopg.connect(database.worker_url.replace("+psycopg", "")) as worker:
        register_arrays(worker)
        yield worker


def test_of_a_long_line_the_first_rows_are_read(connection: psycopg.Connection[Any]) -> None:
    ranges = {0: (100, 102)}
    with connection.cursor() as cursor:
        rows = held_rows.read_held(cursor, named("e"), ranges, WANTED)
        offsets = sorted({row.position[2] for row in rows})
        assert offsets == [1, 2, 3, 5, 77, 100, 101, 500, ROWS + 1, ROWS + 2]
    nodes = plan(connection, held_rows.READ, held_rows.read_values(named("e"), ranges, WANTED))
    first_only = [node for node in nodes if node.get("Index Name") == "ix_held_record_target"]
    assert first_only
    assert all(node["Actual Rows"] <= 2 for node in first_only)
    assert "ix_held_record_conversation" in {node.get("Index Name") for node in nodes}
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]


@pytest.mark.parametrize(
    ("statement", "values", "first"),
    [
        (held_rows.WAKE_CONVERSATIONS, (uuids([named("line")]),), 1),
        (held_rows.WAKE_TARGETS, (uuids([named("c")]), texts(["target"])), ROWS + 1),
    ],
)
def test_of_a_long_line_the_first_row_is_woken(
    connection: psycopg.Connection[Any], statement: str, values: tuple[Any, ...], first: int
) -> None:
    connection.execute("UPDATE held_record SET due_at = now() + interval '1 hour' WHERE raw_offset = %s", (first,))
    nodes = plan(connection, statement, values)
    lines = ("ix_held_record_conversation", "ix_held_record_target")
    assert [node["Actual Rows"] for node in nodes if node.get("Index Name") in lines] == [1]
    assert not [node for node in nodes if node["Node Type"] in ("Seq Scan", "Hash Join", "Merge Join")]
    [[late]] = connection.execute("SELECT count(*) FROM held_record WHERE due_at > now()").fetchall()
    assert late == 0


def test_of_all_that_waits_what_an_answer_is_about_is_read(
    connection: psycopg.Connection[Any], database: DatabaseUnderTest
) -> None:
    with psycopg.connect(database.owner_url.replace("+psycopg", ""), autocommit=True) as owner:
        owner.execute(_ESTATE)
    requests = [named(str(number)) for number in range(1, ANSWERS + 1)]
    held = [
        str(row) for (row,) in connection.execute("SELECT id FROM held_record WHERE request_id = ANY(%s::uuid[])", (requests,))
    ]
    looked = plan(connection, intake_rows.LOOK, (uuids(requests), uuids([named("u1")] * ANSWERS)))
    taken = plan(connection, intake_rows.TAKE, (uuids(held), texts([None] * ANSWERS), ints([1] * ANSWERS)))
    for nodes in (looked, taken):
        assert {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} <= {"org_unit"}
        assert max(node["Actual Rows"] for node in nodes) <= ANSWERS
    [[number, *_, known]] = connection.execute(intake_rows.LOOK, (uuids(requests[:1]), uuids([named("u1")]))).fetchall()
    assert (number, known) == (1, True)


def plan(connection: psycopg.Connection[Any], statement: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    """The nodes of the plan as it was executed."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)  # type: ignore[arg-type]
        [[found]] = cursor.fetchall()
    nodes: list[dict[str, Any]] = []
    _collect(found[0]["Plan"], nodes)
    print(json.dumps([(node["Node Type"], node.get("Index Name"), node["Actual Rows"]) for node in nodes]))
    return nodes


def _collect(node: dict[str, Any], into: list[dict[str, Any]]) -> None:
    into.append(node)
    for child in node.get("Plans", ()):
        _collect(child, into)
