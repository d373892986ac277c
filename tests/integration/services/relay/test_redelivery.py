"""Held records that are due: what is copied, in which order, and what becomes of it when steps fail."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from services.relay.raw_copies import RawCopies
from services.relay.redelivery import Redelivery
from shared.adapters.clock import new_uuid7
from shared.adapters.kafka import client_config
from shared.adapters.placed_records import PlacedRecords
from shared.adapters.redelivery_rows import RedeliveryRows
from shared.domain.errors import Unavailable
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.relay.held import NOT_OURS, Held, Holding, counts
from tests.pipeline import Pipeline
from tests.waiting import eventually

PARTITIONS = 2


@pytest.fixture
def holding(kafka_bootstrap: str, topic_prefix: str, database: DatabaseUnderTest, tmp_path: Path) -> Holding:
    return Holding(Pipeline.create(kafka_bootstrap, topic_prefix, database, tmp_path / "pipeline", partitions=PARTITIONS))


@contextmanager
def leading(redelivery: Redelivery) -> Iterator[Redelivery]:
    redelivery.start()
    redelivery.lead()
    try:
        yield redelivery
    finally:
        redelivery.stop()
        redelivery.check()


def test_a_copy_is_the_record_again_and_says_what_it_stands_for(holding: Holding) -> None:
    places = [*holding.post(3), *holding.post(2, partition=1)]
    second = "/entry/0/changes/0/value/messages/1"
    ids = holding.insert(
        Held(place=places[1]), Held(place=places[4]), Held(place=places[4], item=second), Held(place=places[0], due=600)
    )
    registry = CollectorRegistry()
    with leading(holding.redelivery(registry)):
        copies = holding.copies(3)
        eventually(lambda: holding.noted() == 3)
    originals = holding.originals()
    assert Counter((holding.place_of(copy), copy.event.only_item) for copy in copies) == Counter(
        [(places[1], Held.item), (places[4], Held.item), (places[4], second)]
    )
    for copy in copies:
        original = originals[holding.place_of(copy)]
        assert copy.partition == original.partition
        assert (copy.key, copy.headers) == (original.key, original.headers)
        at = copy.event.redelivery_of
        assert (at.epoch, at.item) == (holding.epoch, copy.event.only_item)
        for name in ("record_id", "source", "tenant_id", "connector_id", "received_at_ms", "headers", "sealed_body", "redrive"):
            assert getattr(copy.event, name) == getattr(original.event, name)
    row = holding.row(ids[0])
    assert (row["state"], row["copy_offset"]) == ("sent", copies[0].offset)
    assert holding.row(ids[3])["state"] == "waiting"
    assert counts(registry) == {"sent": 3}


def test_a_row_behind_an_unfinished_one_of_its_line_is_never_sent(holding: Holding) -> None:
    places = holding.post(9)
    line = new_uuid7()
    blocking = holding.insert(*(Held(place=place, conversation=line) for place in places[:4]))
    targeted = holding.insert(*(Held(place=place, target="account:wamid.1", reason="target_unknown") for place in places[4:7]))
    # a row stands in one line at a time: what waits for its target does not wait for the conversation as well
    aside = holding.insert(Held(place=places[7], conversation=line, target="account:wamid.2", reason="target_unknown"))
    other = holding.insert(Held(place=places[8]))
    with leading(holding.redelivery(CollectorRegistry())):
        first = {holding.place_of(copy): copy for copy in holding.copies(4)}
        assert set(first) == {places[0], places[4], places[7], places[8]}
        eventually(lambda: holding.noted() == 4)
        # held again: it keeps its place in the line
        holding.settle(blocking[0], first[places[0]], "waiting")
        again = {holding.place_of(copy): copy for copy in holding.copies(5)}
        [moved] = set(again) - set(first)
        eventually(lambda: holding.noted() == 4)
        assert holding.states() == {"sent": 4, "waiting": 5}
        holding.settle(blocking[0], again[moved])
        holding.settle(targeted[0], first[places[4]])
        found = {holding.place_of(copy): copy for copy in holding.copies(7)}
        assert set(found) - set(again) == {places[1], places[5]}
        for number in (1, 2, 3):
            eventually(lambda: holding.noted() == 4)
            holding.settle(blocking[number], found[places[number]])
            found = {holding.place_of(copy): copy for copy in holding.copies(min(7 + number, 9))}
    assert [place for place in map(holding.place_of, holding.copies(9)) if place in places[:4]] == places[:4]
    assert places[6] not in found  # the one before it has not ended
    assert holding.row(aside[0])["state"] == holding.row(other[0])["state"] == "sent"


def test_two_that_work_at_once_send_each_row_once_and_keep_the_lines(holding: Holding) -> None:
    places = holding.post(400)
    lines = [new_uuid7() for _ in range(300)]
    holding.insert(*(Held(place=place, conversation=lines[number % 300]) for number, place in enumerate(places)))
    registries = CollectorRegistry(), CollectorRegistry()
    with leading(holding.redelivery(registries[0], batch=7)), leading(holding.redelivery(registries[1], batch=7)):
        eventually(lambda: holding.noted() == 300, 30)
    assert sorted(holding.place_of(copy) for copy in holding.copies(300)) == places[:300]
    assert all(counts(registry) for registry in registries)


class Broken(Exception):
    pass


class NeverCopies(RawCopies):
    def copy(self, rows, tenants):
        raise Broken


class CopiesAndDies(RawCopies):
    def copy(self, rows, tenants):
        super().copy(rows, tenants)
        raise Broken


class NotesAndDies(RedeliveryRows):
    def note_copies(self, sending, copies):
        super().note_copies(sending, copies)
        raise Broken


@pytest.mark.parametrize(("fault", "written", "noted"), [("marked", 0, 0), ("written", 5, 0), ("noted", 5, 5)])
def test_what_fails_between_two_steps_is_sent_again_and_not_before(
    holding: Holding, fault: str, written: int, noted: int
) -> None:
    places = holding.post(5)
    ids = holding.insert(*(Held(place=place) for place in places))
    raw = {"marked": NeverCopies, "written": CopiesAndDies}.get(fault, RawCopies)
    rows = NotesAndDies(holding.pipeline.database.worker_url) if fault == "noted" else None
    registry = CollectorRegistry()
    with leading(holding.redelivery(registry, raw=holding.raw_copies(raw), rows=rows)) as broken:
        eventually(lambda: holding.states() == {"sent": 5})
        eventually(lambda: broken.readiness == (False, "held records: redelivery away"))
        eventually(lambda: len(holding.copies(0)) == written)
    assert holding.noted() == noted
    registry = CollectorRegistry()
    with leading(holding.redelivery(registry)):
        holding.wait_for_resending()
        assert len(holding.copies(0)) == written  # not within 30 s
        holding.age_sent()
        if noted:
            holding.wait_for_resending()
            assert len(holding.copies(0)) == written  # the router has not come to the copies
            holding.commit({0: 100, 1: 0})
        copies = holding.copies(written + 5)
        eventually(lambda: holding.noted() == 5)
    assert Counter(holding.place_of(copy) for copy in copies) == dict.fromkeys(places, 1 + written // 5)
    assert counts(registry)["resent"] == 5 + 1 + noted // 5  # and the rows that were waited for
    last = {holding.place_of(copy): copy.offset for copy in copies}
    assert [holding.row(one)["copy_offset"] for one in ids] == [last[place] for place in places]


def test_a_copy_is_sent_again_only_once_the_router_has_passed_it_unfinished(holding: Holding) -> None:
    places = holding.post(4)
    ids = holding.insert(*(Held(place=place) for place in places))
    with leading(holding.redelivery(CollectorRegistry())):
        copies = {holding.place_of(copy): copy for copy in holding.copies(4)}
        eventually(lambda: holding.noted() == 4)
        holding.settle(ids[0], copies[places[0]])
        holding.age_sent()
        holding.commit({0: copies[places[2]].offset})  # it has passed the first two; the first is settled
        holding.copies(5)
        holding.wait_for_resending()
        again = holding.copies(5)
        assert Counter(map(holding.place_of, again)) == {places[0]: 1, places[1]: 2, places[2]: 1, places[3]: 1}
        eventually(lambda: holding.noted() == 3)
        holding.commit({0: again[-1].offset + 10})  # at most once every 30 s, though it has passed the second copy, too
        holding.age_sent(20)
        final = Counter(map(holding.place_of, holding.copies(7)))
        holding.wait_for_resending()
        assert (
            Counter(map(holding.place_of, holding.copies(7)))
            == final
            == {
                places[0]: 1,
                places[1]: 2,
                places[2]: 2,
                places[3]: 2,
            }
        )


def test_a_copy_that_lies_nowhere_is_sent_again(holding: Holding) -> None:
    [place] = holding.post(1)
    [row] = holding.insert(Held(place=place))
    with leading(holding.redelivery(CollectorRegistry())):
        holding.copies(1)
        eventually(lambda: holding.noted() == 1)
        # as in a topic that was created anew: the place is beyond its end
        holding.pipeline.sql("UPDATE held_record SET copy_offset = 10 ^ 9 WHERE id = %s", row)
        holding.age_sent()
        holding.copies(2)


def test_where_no_copy_can_be_made_one_without_body_ends_the_row(holding: Holding, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [*holding.post(3), *holding.post(3, partition=1)]
    admin = AdminClient(client_config(holding.pipeline.bootstrap, "test"))
    for future in admin.delete_records([TopicPartition(holding.topic, 0, 2)]).values():
        future.result(10)
    holding.pipeline.producer.produce(holding.topic, NOT_OURS, b"k", 1)
    holding.pipeline.flush()
    lost, undecodable = new_uuid7(), (1, 3)
    holding.insert(Held(place=places[0]), Held(place=places[2]), Held(place=undecodable))
    holding.insert(Held(place=(1, 0)), Held(place=(9, 7)), epoch=lost)  # of a topic that is no more, with more partitions
    holding.insert(Held(place=(1, 99), expires=-1), Held(place=(1, 100)))  # beyond the end: the one can wait, the other not
    stranger = holding.pipeline.sql("SELECT id FROM held_record WHERE raw_offset = 2")[0][0]
    registry = CollectorRegistry()
    with leading(holding.redelivery(registry)):
        copies = {holding.place_of(copy): copy for copy in holding.copies(6)}
        eventually(lambda: holding.noted() == 6)
    assert counts(registry) == {"sent": 1, "gone": 4, "unfit": 1, "failed": 1}
    assert stranger
    whole = copies.pop(places[2])
    assert whole.event.sealed_body
    assert {place: copy.partition for place, copy in copies.items()} == {
        places[0]: 0,
        (1, 0): 1,
        (9, 7): 1,
        (1, 99): 1,
        undecodable: 1,
    }
    for copy in copies.values():
        event = copy.event
        assert (event.sealed_body, event.body_reference, event.only_item) == (None, None, Held.item)
        assert (event.tenant_id, event.connector_id) == (holding.pipeline.tenant_id, holding.pipeline.connector_id)
        assert copy.key == holding.pipeline.connector_id
    assert copies[(1, 0)].event.redelivery_of.epoch == lost


def test_a_record_that_is_too_large_to_be_copied_holds_up_nobody(holding: Holding) -> None:
    places = holding.post(3)
    admin = AdminClient(client_config(holding.pipeline.bootstrap, "test"))
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    holding.pipeline.post(b"x" * 200_000)
    large = max(place for place in holding.originals() if place not in places)
    entry = ConfigEntry("max.message.bytes", "100000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, holding.topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)
    holding.insert(*(Held(place=place) for place in [*places, large]))
    registry = CollectorRegistry()
    with leading(holding.redelivery(registry)):
        copies = {holding.place_of(copy): copy for copy in holding.copies(4)}
        eventually(lambda: holding.noted() == 4)
    assert counts(registry) == {"sent": 3, "unfit": 1}
    assert {place for place, copy in copies.items() if copy.event.sealed_body is None} == {large}


class OneSilent(PlacedRecords):
    def bounds_of(self, partition):
        if partition == 1:
            raise Unavailable("no leader")
        return super().bounds_of(partition)


class OneUnreadable(PlacedRecords):
    def each(self, places, bounds):
        if 1 in bounds:
            raise Unavailable("it stopped sending")
        yield from super().each(places, bounds)


@pytest.mark.parametrize("kind", [OneSilent, OneUnreadable])
def test_a_partition_without_leader_holds_up_only_itself(
    holding: Holding, monkeypatch: pytest.MonkeyPatch, kind: type[PlacedRecords]
) -> None:
    places = [*holding.post(2), *holding.post(2, partition=1)]
    holding.insert(*(Held(place=place) for place in places))
    registry = CollectorRegistry()
    with monkeypatch.context() as patch:
        patch.setattr("services.relay.raw_copies.PlacedRecords", kind)
        with leading(holding.redelivery(registry)) as redelivery:
            eventually(lambda: holding.noted() == 2)
            eventually(lambda: redelivery.readiness == (False, "held records: no answer for raw partitions [1]"))
            more = holding.post(1)
            holding.insert(Held(place=more[0]))
            eventually(lambda: holding.noted() == 3)
    assert counts(registry) == {"sent": 3, "failed": 2}
    holding.age_sent()
    with leading(holding.redelivery(CollectorRegistry())) as redelivery:
        eventually(lambda: holding.noted() == 5)
        assert redelivery.readiness == (True, "")


def test_a_full_queue_is_waited_for(holding: Holding, monkeypatch: pytest.MonkeyPatch) -> None:
    import confluent_kafka

    def small(config, **more):
        return confluent_kafka.Producer({**config, "queue.buffering.max.messages": 3}, **more)

    monkeypatch.setattr("shared.adapters.placed_records.Producer", small)
    places = holding.post(60)
    holding.insert(*(Held(place=place) for place in places))
    with leading(holding.redelivery(CollectorRegistry())):
        eventually(lambda: holding.noted() == 60)
    assert [holding.place_of(copy) for copy in holding.copies(60)] == places


def test_what_waits_for_nothing_or_has_expired_is_swept(holding: Holding) -> None:
    places = holding.post(6)
    line = new_uuid7()
    holding.insert(
        Held(place=places[0], conversation=line, due=600),
        Held(place=places[1], conversation=line, reason="queued", due=600),  # behind the first
        Held(place=places[2], reason="queued", due=600),  # its head has ended
        Held(place=places[3], target="t", reason="behind_target", due=600),
        Held(place=places[4], reason="paused", due=600, expires=-1),  # whatever it waits for, its time is over
        Held(place=places[5], reason="paused", due=600),
    )
    with leading(holding.redelivery(CollectorRegistry())):
        eventually(lambda: holding.noted() == 3)
    assert {holding.place_of(copy) for copy in holding.copies(3)} == {places[2], places[3], places[4]}


def test_a_new_snapshot_of_an_account_wakes_what_waited_for_it(holding: Holding) -> None:
    places = holding.post(4)
    reasons = ("paused", "flow_unusable", "intake", "target_unknown")
    rows = [Held(place=place, reason=why, due=600) for place, why in zip(places, reasons, strict=True)]
    rows[3].target = "t"
    ids = holding.insert(*rows)
    with leading(holding.redelivery(CollectorRegistry(), batch=1)) as redelivery:
        redelivery.wake({str(uuid4())})
        redelivery.wake({holding.pipeline.unit_account_id})
        eventually(lambda: holding.noted() == 2)
    assert {holding.place_of(copy) for copy in holding.copies(2)} == set(places[:2])
    woken = holding.row(ids[0])
    assert woken["sent_at"] - woken["due_at"] >= dt.timedelta(0)


def test_what_is_done_and_old_claims_are_deleted(holding: Holding, request: pytest.FixtureRequest) -> None:
    sql: Callable[..., list[object]] = holding.pipeline.sql
    sql(
        "INSERT INTO claim (key, raw_partition, raw_offset, item, epoch, claimed_at)"
        " SELECT decode(md5(n::text), 'hex'), 0, n, '/0', gen_random_uuid(),"
        " now() - CASE WHEN mod(n, 2) = 0 THEN interval '10 days 1 hour' ELSE interval '9 days 23 hours' END"
        " FROM generate_series(1, 40000) AS n"
    )
    places = holding.post(3)
    ids = holding.insert(*(Held(place=place, due=600) for place in places))
    sql("UPDATE held_record SET state = 'sent' WHERE id <> %s", ids[2])
    sql("UPDATE held_record SET state = 'done' WHERE state = 'sent'")
    import psycopg

    with psycopg.connect(_owner(holding), autocommit=True) as connection:
        connection.execute("ALTER TABLE held_record DISABLE TRIGGER USER")
        connection.execute("UPDATE held_record SET done_at = now() - interval '49 hours' WHERE id = %s", (ids[0],))
        connection.execute("UPDATE held_record SET done_at = now() - interval '47 hours' WHERE id = %s", (ids[1],))
        connection.execute("ALTER TABLE held_record ENABLE TRIGGER USER")
    registry = CollectorRegistry()
    with leading(holding.redelivery(registry)):
        eventually(lambda: sql("SELECT count(*) FROM claim") == [(20_000,)], 30)
        eventually(lambda: holding.states() == {"waiting": 1, "done": 1})
    assert sql("SELECT count(*) FROM claim WHERE mod(raw_offset, 2) = 1") == [(20_000,)]
    pruned = {
        table: registry.get_sample_value("channels_relay_pruned_rows_total", {"table": table})
        for table in ("claim", "held_record")
    }
    assert pruned == {"claim": 20_000.0, "held_record": 1.0}


def _owner(holding: Holding) -> str:
    return holding.pipeline.database.owner_url.replace("+psycopg", "")
