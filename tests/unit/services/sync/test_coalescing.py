"""Which jobs a run of requests is about."""

from __future__ import annotations

from typing import Any

import pytest

from services.sync.coalescing import Asking, Unusable, coalesce, read_request
from shared.adapters.avro import Codec
from shared.adapters.clock import new_uuid7
from shared.adapters.sync_rows import MAX_CAUSES, Subject
from shared.domain.enums import ConnectorType
from shared.domain.records import SyncRequired
from shared.domain.topics import Topic

SPREAD = frozenset({ConnectorType.WHATSAPP_UNOFFICIAL})


def asking(connector: str, account: str | None = None, cause: str = "config_changed") -> Asking:
    return Asking(tenant_id="t", connector_id=connector, account_id=account, cause=cause)


def subject(connector: str, account: str | None, tipo: ConnectorType = ConnectorType.TELEGRAM, *, works: bool = True) -> Subject:
    return Subject(connector_id=connector, tipo=tipo, account_id=account, works=works)


def told(askings: list[Asking], known: list[Subject]) -> tuple[dict[Any, int], int]:
    requests, lost = coalesce(askings, known, SPREAD)
    return {(one.connector_id, one.account_id): one.requests for one in requests}, lost


@pytest.mark.req(70)
def test_a_thousand_are_one() -> None:
    requests, lost = coalesce([asking("c", None, f"cause_{n % 3}") for n in range(1_000)], [subject("c", None)], SPREAD)
    [one] = requests
    assert (one.requests, one.causes, lost) == (1_000, ("cause_0", "cause_1", "cause_2"), 0)


def test_a_request_for_an_account_is_one_for_its_connector_where_that_has_the_registration() -> None:
    assert told([asking("c", "a"), asking("c")], [subject("c", "a")]) == ({("c", None): 2}, 0)


def test_a_request_for_the_whole_is_one_for_each_account_that_is_on_where_these_have_it() -> None:
    whatsapp = ConnectorType.WHATSAPP_UNOFFICIAL
    known = [subject("c", "a", whatsapp), subject("c", "b", whatsapp), subject("c", "off", whatsapp, works=False)]
    assert told([asking("c"), asking("c", "a")], known) == ({("c", "a"): 2, ("c", "b"): 1}, 0)
    assert told([asking("c", "off")], known) == ({}, 0)
    assert told([asking("c")], [subject("c", None, whatsapp)]) == ({}, 0)


def test_what_is_not_there_is_counted_as_such() -> None:
    assert told([asking("gone"), asking("c", "gone")], [subject("c", None)]) == ({}, 2)


def test_causes_are_bounded_and_a_persons_is_kept() -> None:
    askings = [asking("c", None, f"x{n:02}") for n in range(MAX_CAUSES * 2)] + [asking("c", None, "requested")]
    [one], _ = coalesce(askings, [subject("c", None)], SPREAD)
    assert len(one.causes) == MAX_CAUSES
    assert one.causes[0] == "requested"


def test_records_that_ask_for_nothing_are_refused_by_name() -> None:
    codec, topic = Codec(), Topic.SYNC_REQUIRED
    ids = [new_uuid7() for _ in range(3)]
    good = SyncRequired(tenant_id=ids[0], connector_id=ids[1], account_id=ids[2], cause="x" * 99, detail="", requested_at_ms=1)
    found = read_request(topic, codec.encode(topic, good), codec.decode)
    assert isinstance(found, Asking)
    assert (found.account_id, len(found.cause)) == (ids[2], 64)
    bad = SyncRequired(tenant_id="t", connector_id=ids[1], account_id=None, cause="x", detail="", requested_at_ms=1)
    assert read_request(topic, codec.encode(topic, bad), codec.decode) == Unusable("id_invalid")
    assert read_request(topic, None, codec.decode) == Unusable("empty")
    assert read_request(topic, b"no record", codec.decode) == Unusable("corrupt_data")
