"""The router's statements on a real PostgreSQL: who owns a claim afterwards, whose id a key keeps, and what is left untouched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.adapters import mapping_rows, router_store
from shared.adapters.clock import new_uuid7
from shared.adapters.mapping_rows import MappingInsert
from shared.adapters.router_store import ClaimRow, RecordRejected, RouterStore
from tests.pipeline import Pipeline

EPOCH = "00000000-0000-7000-8000-00000000e0c4"
KEY, OTHER = b"k" * 16, b"o" * 16


@pytest.fixture
def store(pipeline: Pipeline) -> Iterator[RouterStore]:
    made = RouterStore(pipeline.database.worker_url)
    yield made
    made.close()


def owners(store: RouterStore, *rows: ClaimRow) -> dict[bytes, int]:
    """key -> offset of its owner after these claims."""
    with store.transaction() as cursor:
        return {key: owner[2] for key, owner in router_store.claim(cursor, EPOCH, rows).items()}


def versions(store: RouterStore, table: str) -> list[Any]:
    """Which transaction wrote each row, and where it lies: another pair is another version of the row."""
    with store.transaction() as cursor:
        cursor.execute(f"SELECT xmin, ctid FROM {table} ORDER BY ctid")
        return cursor.fetchall()


def at(offset: int) -> str:
    return f"{EPOCH}/0/{offset}/m"


def test_the_first_to_claim_owns_and_a_replay_finds_its_own(store: RouterStore) -> None:
    assert owners(store, ClaimRow(KEY, 0, 5, "m")) == {KEY: 5}
    before = versions(store, "claim")
    assert owners(store, ClaimRow(KEY, 0, 5, "m")) == {KEY: 5}
    assert owners(store, ClaimRow(KEY, 0, 9, "m"), ClaimRow(OTHER, 0, 9, "n")) == {KEY: 5, OTHER: 9}
    assert before[0] in versions(store, "claim")  # locked, not written anew


@pytest.mark.parametrize(
    ("taken_from", "owner"),
    [(at(5), 9), (at(4), 5), (f"{at(3)}\n{at(5)}", 9), (f"{at(3)}\n{at(4)}", 5), (None, 5), ("", 5), (f"{at(5)}x", 5)],
)
def test_a_copy_takes_over_from_an_owner_that_it_names_and_from_nobody_else(
    store: RouterStore, taken_from: str | None, owner: int
) -> None:
    owners(store, ClaimRow(KEY, 0, 5, "m"))
    assert owners(store, ClaimRow(KEY, 0, 9, "m", taken_from), ClaimRow(OTHER, 0, 9, "n")) == {KEY: owner, OTHER: 9}
    assert owners(store, ClaimRow(KEY, 0, 9, "m", taken_from)) == {KEY: owner}  # its replay finds the same


def test_a_key_keeps_the_id_it_was_given_first(store: RouterStore, pipeline: Pipeline) -> None:
    first, second, conversation = new_uuid7(), new_uuid7(), new_uuid7()
    account, connector = pipeline.unit_account_id, pipeline.connector_id

    def insert(*rows: tuple[str, str]) -> dict[tuple[str, str], tuple[str, str | None]]:
        with store.transaction() as cursor:
            made = [MappingInsert(connector, account, key, entity, conversation) for key, entity in rows]
            return mapping_rows.insert_mappings(cursor, "message", made)

    assert insert(("a", first)) == {(connector, "a"): (first, conversation)}
    before = versions(store, "channel_mapping")
    kept, added = (connector, "a"), (connector, "é\n")
    assert insert(("a", second), ("é\n", second)) == {kept: (first, conversation), added: (second, conversation)}
    assert before[0] in versions(store, "channel_mapping")
    with store.transaction() as cursor:
        found = mapping_rows.find_mappings(cursor, "message", [kept, added, (connector, "absent")])
        assert found == {kept: (first, conversation), added: (second, conversation)}
        assert mapping_rows.find_mappings(cursor, "contact", [kept]) == {}
        by_id = mapping_rows.find_messages_by_id(cursor, [(connector, first), (connector, new_uuid7())])
        assert by_id == {(connector, first): (first, conversation)}


@pytest.mark.parametrize("bad", ["no-uuid", "00000000-0000-7000-8000-00000000e0cz", "", "0" * 36])
def test_an_id_that_is_none_is_the_records_fault(store: RouterStore, pipeline: Pipeline, bad: str) -> None:
    with pytest.raises(RecordRejected), store.transaction() as cursor:
        mapping_rows.insert_mappings(cursor, "message", [MappingInsert(pipeline.connector_id, None, "a", bad)])


def test_a_nul_is_the_records_fault(store: RouterStore, pipeline: Pipeline) -> None:
    with pytest.raises(RecordRejected), store.transaction() as cursor:
        mapping_rows.find_mappings(cursor, "message", [(pipeline.connector_id, "a\0b")])


def test_a_worker_that_lost_its_partition_is_stale_though_its_offset_still_fits(pipeline: Pipeline) -> None:
    topic, epoch = "raw", new_uuid7()
    frozen, other = (RouterStore(pipeline.database.worker_url) for _ in range(2))

    def settle(one: RouterStore) -> None:
        with one.transaction() as cursor:
            router_store.assert_progress(cursor, topic, epoch, {0: (0, 5)}, one.holder)

    try:
        frozen.start_progress(topic, epoch, 0, 0)
        settle(frozen)
        other.hold(topic, [0])
        settle(other)  # just the batch that the frozen one has in hand: `first_offset` is what that one knows
        with pytest.raises(router_store.Stale):
            settle(frozen)
        frozen.hold(topic, [0])
        settle(frozen)
    finally:
        frozen.close()
        other.close()


def test_each_wait_for_the_server_is_told_while_it_lasts_and_a_refusal_ends_it(store: RouterStore) -> None:
    steps: list[str] = []

    @contextmanager
    def around() -> Iterator[None]:
        steps.append("waits")
        try:
            yield
        finally:
            steps.append("goes on")

    store.wait_in(around)
    with store.transaction() as cursor:
        before = len(steps)
        cursor.execute("SELECT 1")
        assert steps[before:] == ["waits", "goes on"]
    with pytest.raises(RecordRejected), store.transaction() as cursor:
        cursor.execute("SELECT 1 / 0")
    assert steps[::2] == ["waits"] * (len(steps) // 2)
    assert steps[1::2] == ["goes on"] * (len(steps) // 2)
