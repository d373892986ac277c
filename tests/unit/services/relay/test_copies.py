"""What a held record's copy says, and when what is done about held records."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from services.relay.copies import Agenda, Task, copy_of, reaches, sort_rows, target_partition, without_body
from shared.adapters.avro import Codec
from shared.adapters.redelivery_rows import DueRow, PartitionReach
from shared.domain.enums import RecordSource
from shared.domain.records import RawPosition, Redrive, WebhookReceived
from shared.domain.topics import Topic

ROW = DueRow(
    id="0190a000-0000-7000-8000-000000000001",
    connector_id="0190a000-0000-7000-8000-00000000000c",
    epoch="e1",
    partition=2,
    offset=40,
    item="/m/0",
    first_arrival_at_ms=1_790_000_000_000,
    expired=False,
)
AT = RawPosition(epoch="e1", partition=2, offset=40, item="/m/0")
RECORD = WebhookReceived(
    record_id="r",
    source=RecordSource.MAILBOX,
    tenant_id="t",
    connector_id=ROW.connector_id,
    url_account_id="a",
    received_at_ms=5,
    headers={"h": "v"},
    secret_id="s",
    body_size_bytes=3,
    sealed_body=b"abc",
)


def test_a_copy_differs_in_what_it_stands_for_and_in_nothing_else() -> None:
    copy = copy_of(ROW, RECORD)
    assert copy == replace(RECORD, redelivery_of=AT, only_item="/m/0")


def test_a_copy_of_a_copy_names_the_copy_and_forgets_the_dead_letter() -> None:
    redrive = Redrive(origin=AT, attempt=2, tries=(1,), reason="r", account_id=None, first_arrival_at_ms=1)
    before = replace(RECORD, redelivery_of=replace(AT, offset=3), only_item="/m/0", redrive=redrive)
    assert copy_of(ROW, before) == replace(RECORD, redelivery_of=AT, only_item="/m/0")


def test_a_copy_without_body_names_the_item_and_whose_it_is() -> None:
    copy = without_body(ROW, "t")
    assert (copy.sealed_body, copy.body_reference, copy.body_size_bytes) == (None, None, 0)
    assert (copy.redelivery_of, copy.only_item, copy.record_id) == (AT, "/m/0", ROW.id)
    assert (copy.tenant_id, copy.connector_id, copy.received_at_ms) == ("t", ROW.connector_id, ROW.first_arrival_at_ms)
    codec = Codec()
    assert codec.decode(Topic.WEBHOOK_RECEIVED, codec.encode(Topic.WEBHOOK_RECEIVED, without_body(ROW, None))).tenant_id == ""


@pytest.mark.parametrize(
    ("epoch", "bounds", "expired", "expected"),
    [
        ("e1", (0, 41), False, "readable"),
        ("e1", (40, 41), False, "readable"),
        ("e1", (41, 90), False, "gone"),
        ("e1", (0, 40), False, "unseen"),
        ("e1", (0, 40), True, "gone"),
        ("e1", (0, 41), True, "readable"),
        ("e2", (0, 90), False, "gone"),
        ("e1", None, False, "gone"),
    ],
)
def test_a_record_is_gone_only_where_it_cannot_be_any_more(
    epoch: str, bounds: tuple[int, int] | None, expired: bool, expected: str
) -> None:
    row = replace(ROW, expired=expired)
    found = sort_rows([row], epoch, bounds)
    assert {one.name: getattr(found, one.name) for one in fields(found) if getattr(found, one.name)} == {expected: [row]}


def test_the_copy_goes_where_the_record_lies() -> None:
    assert target_partition(ROW, 6) == 2
    assert target_partition(ROW, 2) == 0  # a topic with fewer partitions now


def test_what_is_not_known_of_a_partition_makes_nothing_be_sent_again() -> None:
    found = reaches({0: 7}, {0: (2, 9), 1: (0, 3), 2: None})
    assert found[:2] == [PartitionReach(partition=0, passed=7, end=9), PartitionReach(partition=1, passed=0, end=3)]
    assert (found[2].passed, found[2].end > 10**15) == (0, True)


def test_all_is_looked_at_when_a_relay_begins_and_pruning_waits_a_little() -> None:
    agenda = Agenda(100.0)
    assert agenda.due(100.0) == [Task.RESEND, Task.SWEEP, Task.MEASURE]
    assert agenda.due(101.0) == list(Task)


def test_a_task_comes_again_after_its_time_or_at_once_while_there_is_more() -> None:
    agenda = Agenda(0.0)
    agenda.done(Task.SWEEP, 1.0, 0.01)
    assert Task.SWEEP not in agenda.due(30.9)
    assert Task.SWEEP in agenda.due(31.0)
    agenda.done(Task.SWEEP, 31.0, 0.01, more=True)
    assert Task.SWEEP in agenda.due(31.0)


def test_a_slow_task_comes_less_often() -> None:
    agenda = Agenda(0.0)
    agenda.done(Task.PRUNE_DONE, 10.0, 4.0)
    assert Task.PRUNE_DONE not in agenda.due(29.9)
    assert Task.PRUNE_DONE in agenda.due(30.0)
