from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from services.router.debounce import Debounce
from services.router.fragments import fragment_at
from services.router.keys import claim_key, position_id
from shared.domain.enums import DeliveryStatus
from tests.unit.services.router.builders import message, receipt


def test_message_and_receipt_of_one_id_have_different_claims():
    assert claim_key("c", "a", message("x")) != claim_key("c", "a", receipt(DeliveryStatus.READ, dedup_key="x"))


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_parts_never_run_into_each_other(one, two, three, four):
    same = (one, two) == (three, four)
    assert (claim_key(one, two, message("x")) == claim_key(three, four, message("x"))) is same


def test_position_ids_are_stable_uuids():
    assert position_id("e", 0, 1, "/a", "audit") == position_id("e", 0, 1, "/a", "audit")
    assert position_id("e", 0, 1, "/a", "audit") != position_id("e", 0, 1, "/a", "dead_letter")
    assert uuid.UUID(position_id("e", 0, 1, "/a", "audit")).version == 8


def test_a_fragment_is_found_by_its_pointer():
    body = b'{"entry":[{"a/b":{"x":"\\ud83d\\ude00"}}]}'
    assert fragment_at(body, "/entry/0/a~1b") == b'{"x":"\\ud83d\\ude00"}'
    assert fragment_at(body, "/entry/1") is None
    assert fragment_at(b"[" * 100_000, "/0") is None


def test_a_key_passes_once_per_interval():
    gate = Debounce(100)
    assert [gate.due(("c", "r"), now) for now in (0, 50, 99, 100, 150)] == [True, False, False, True, False]
    assert gate.due(("c", "other"), 50)
