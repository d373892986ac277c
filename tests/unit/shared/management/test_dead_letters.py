from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.adapters.avro import Codec
from shared.adapters.placed_records import Copy, PlacedRecord
from shared.domain.enums import RecordSource
from shared.domain.records import Redrive, WebhookReceived
from shared.domain.topics import Topic
from shared.management.dead_letter_changes import EXPLAINED, Answer, copy_of, foreseen
from shared.management.dead_letter_fragments import masked_detail, masked_fragment
from shared.management.dead_letters import Letter, LetterFilter, Raw
from tests.unit.shared.management.letters import LETTER, ORIGIN, letter

CODEC = Codec()
RECORD = WebhookReceived(
    record_id="r",
    source=RecordSource.WEBHOOK,
    tenant_id="t",
    connector_id="c",
    url_account_id=None,
    received_at_ms=5,
    headers={},
    secret_id=None,
    body_size_bytes=1,
    sealed_body=b"s",
)


def placed(record: WebhookReceived, offset: int = 10) -> PlacedRecord:
    return PlacedRecord(2, offset, b"c", CODEC.encode(Topic.WEBHOOK_RECEIVED, record), (("ce_id", b"r"),))


def written(copy: Copy | str) -> WebhookReceived:
    assert isinstance(copy, Copy)
    assert (copy.partition, copy.key, copy.headers) == (2, b"c", (("ce_id", b"r"),))
    record: WebhookReceived = CODEC.decode(Topic.WEBHOOK_RECEIVED, copy.value)
    return record


def test_a_copy_is_the_record_and_says_what_it_stands_for():
    record = written(copy_of(letter(), placed(RECORD), CODEC))
    redrive = Redrive(origin=ORIGIN, attempt=2, tries=(10,), reason="unknown_account", account_id="a", first_arrival_at_ms=5)
    assert record == replace(RECORD, redelivery_of=ORIGIN, only_item="/m/0", redrive=redrive)


def test_the_next_copy_is_of_the_last_one_and_names_all_that_tried():
    again = replace(LETTER, attempt=3, tries=(10, 14, 20))
    assert letter(again).place == (2, 20)
    before = written(copy_of(letter(), placed(RECORD), CODEC))
    record = written(copy_of(letter(again), placed(before, 20), CODEC))
    assert record.redelivery_of == replace(ORIGIN, offset=20)
    assert record.redrive is not None
    assert (record.redrive.origin, record.redrive.attempt, record.redrive.tries) == (ORIGIN, 4, (10, 14, 20))


def test_a_copy_of_what_was_held_may_take_the_claim_that_its_first_arrival_left():
    held = replace(RECORD, redelivery_of=replace(ORIGIN, offset=3), only_item="/m/0")
    record = written(copy_of(letter(), placed(held), CODEC))
    assert record.redrive is not None
    assert record.redrive.tries == (3, 10)


def test_a_letter_of_a_whole_record_is_copied_whole():
    whole = replace(LETTER, origin=replace(ORIGIN, item=""))
    record = written(copy_of(letter(whole), placed(RECORD), CODEC))
    assert record.only_item is None
    assert record.redelivery_of == replace(ORIGIN, item="")


def test_what_is_gone_or_unreadable_is_no_copy():
    assert copy_of(letter(), None, CODEC) == "raw_record_gone"
    assert copy_of(letter(), PlacedRecord(2, 10, b"", b"no avro", ()), CODEC) == "undecodable"


@pytest.mark.parametrize(
    ("one", "dropped_too", "refused"),
    [
        (letter(), False, None),
        (letter(raw=Raw.GONE), False, "raw_record_gone"),
        (letter(raw=Raw.RECREATED), False, "raw_topic_recreated"),
        (letter(mark="redriven"), True, "already_redriven"),
        (letter(mark="dropped"), False, "already_dropped"),
        (letter(mark="dropped"), True, None),
        (letter(mark="dropped", raw=Raw.GONE), True, "raw_record_gone"),
    ],
)
def test_refusals_are_foreseen(one: Letter, dropped_too: bool, refused: str | None):
    assert list(foreseen([one], dropped_too=dropped_too)) == [Answer(letter=one, refused=refused)]
    assert refused is None or EXPLAINED[refused]


AT = datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (LetterFilter(), True),
        (LetterFilter(tenant_id="t", connector_id="c", account_id="a", reasons=frozenset({"x", "unknown_account"})), True),
        (LetterFilter(tenant_id="u"), False),
        (LetterFilter(connector_id="d"), False),
        (LetterFilter(account_id="b"), False),
        (LetterFilter(reasons=frozenset({"x"})), False),
        (LetterFilter(since=AT), True),
        (LetterFilter(until=AT), False),
        (LetterFilter(since=datetime.fromtimestamp(1_700_000_001, UTC)), False),
    ],
)
def test_a_filter_takes_what_it_names(wanted: LetterFilter, taken: bool):
    assert wanted.takes(LETTER) is taken
    assert wanted.narrows is (wanted != LetterFilter())


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("no_id", "no_id"),
        ("", ""),
        ("phone_number_id:100000000000009", "phone_number_id:***0009"),
        ("phone_number_id:1234,display:5511900000009", "phone_number_id:***,display:***0009"),
        ("somebody wrote 5511900000009", "***"),
        ("mail:canary@example.com", "mail:***.com"),
    ],
)
def test_a_detail_shows_reasons_and_ends_of_names(detail: str, shown: str):
    assert masked_detail(detail) == shown


def test_a_fragment_shows_its_form_and_nothing_that_was_written():
    fragment = {
        "type": "text",
        "status": "canary with spaces",
        "from": "5511900000009",
        "text": {"body": "canary-text", "preview": True},
        "timestamp": 1_700_000_000,
        "list": ["canary-text", None],
        "5511900000009": "canary-key",
        "kind": "canary1",
    }
    form = masked_fragment(json.dumps(fragment).encode())
    assert form["type"] == "text"
    assert form["text"] == {"body": "*** (11 characters)", "preview": True}
    assert form["list"] == ["*** (11 characters)", None]
    assert "canary" not in json.dumps(form)
    assert "5511900000009" not in json.dumps(form)
    assert "1700000000" not in json.dumps(form)


def test_what_is_no_json_shows_its_size():
    assert masked_fragment(b"From: canary@example.com") == "*** (24 bytes that are no JSON)"
    assert masked_fragment(b"[" * 100_000).endswith("bytes that are no JSON)")
