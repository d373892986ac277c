"""What the examples cannot show well: odd bodies, ids that must not meet, times that are not believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.items import MessageItem, PoisonItem
from shared.providers.contract import MAX_ITEMS, TooManyItems, UnparseableBody
from shared.providers.webchat import samples
from shared.providers.webchat.normalise import normalise

SERVER = {"dialect": "server"}


def items(document: Any, config: dict[str, Any] | None = None) -> list[Any]:
    return list(normalise(json.dumps(document).encode(), {}, config or {}))


def text(**more: Any) -> dict[str, Any]:
    return {"type": "text", "client_message_id": "m-1", "text": "a", **more}


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_unparseable(body: bytes) -> None:
    with pytest.raises(UnparseableBody):
        normalise(body, {})


def test_a_body_ends_somewhere() -> None:
    with pytest.raises(TooManyItems):
        items(samples.body([text()] * (MAX_ITEMS + 1)))


def test_a_sample_is_a_message() -> None:
    (item,) = items(samples.text_message(message_id="m-1"))
    assert isinstance(item, MessageItem)
    assert (item.account_refs, item.peer.aliases[0].key) == ((f"widget_id:{samples.WIDGET_ID}",), f"user:{samples.VISITOR_ID}")


def test_a_repeat_from_the_next_session_is_a_repeat() -> None:
    first, again = (items(samples.body([text()], session_id=session))[0] for session in ("s1", "s2"))
    assert first.dedup_key == again.dedup_key


def test_nobody_can_use_up_another_visitors_message_id() -> None:
    one, other = (items(samples.body([text()], visitor_id=visitor))[0] for visitor in ("v1", "v2"))
    assert one.provider_message_id == other.provider_message_id
    assert one.dedup_key != other.dedup_key
    assert (one.chat_scope, other.chat_scope) == ("v1", "v2")


def test_a_visitor_cannot_take_the_name_of_somebody_who_is_signed_in() -> None:
    (forged,) = items(samples.body([text()], visitor_id="external:c-1"))
    assert isinstance(forged, PoisonItem)
    (genuine,) = items(samples.body([text()], external_user_id="c-1"))
    assert genuine.peer.aliases[1].key == "user:external:c-1"


@pytest.mark.parametrize("name", ["widget_id", "visitor_id", "session_id"])
@pytest.mark.parametrize("value", [None, "", "a b", "é", "a" * 129, 7, ["x"]])
def test_a_body_must_say_whose_it_is(name: str, value: object) -> None:
    (item,) = items({**samples.body([text()]), name: value})
    assert isinstance(item, PoisonItem)
    assert item.reason in (f"{name}_missing", f"{name}_malformed")


@pytest.mark.parametrize(
    ("sent_at", "time_ms"),
    [
        ("2026-09-21T14:13:20Z", 1_790_000_000_000),
        ("2026-09-21T11:13:20.5-03:00", 1_790_000_000_500),
        ("2026-09-21T14:13:20", None),
        ("yesterday", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("", None),
        (None, None),
    ],
)
def test_a_servers_time_counts_and_a_browsers_does_not(sent_at: str | None, time_ms: int | None) -> None:
    document = samples.body([text(sent_at=sent_at)])
    assert items(document, SERVER)[0].provider_time_ms == time_ms
    assert items(document)[0].provider_time_ms is None


def test_text_stays_as_it_was_typed() -> None:
    (item,) = items(samples.body([text(text="<script>alert(1)</script> & Co")]))
    assert item.content.text == "<script>alert(1)</script> & Co"


NAMES = st.sampled_from(["type", "client_message_id", "text", "upload", "reply", "location", "form", "page", "message_id", "id"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=20)
    | st.sampled_from(["text", "image", "read", "typing", "edit"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.lists(VALUES | st.dictionaries(NAMES, VALUES, max_size=8), max_size=5))
def test_any_event_gives_one_item_and_raises_nothing(events: list[Any]) -> None:
    found = items({**samples.body([]), "events": events})
    assert len(found) == max(1, len(events))
    assert all(item.dedup_key for item in found)


@pytest.mark.parametrize(("size", "kept"), [(2**53 - 1, 2**53 - 1), (2**53, None), (10**30, None), (-1, None)])
def test_a_size_that_no_event_can_hold_costs_itself_and_not_the_message(size: int, kept: int | None) -> None:
    """A number beyond a long would fail the whole record, and the records settled with it would be settled anew."""
    upload = {"id": "up_1", "mime_type": "image/png", "size_bytes": size, "duration_seconds": 1e308 if kept is None else 2.5}
    (item,) = items(samples.body([{"type": "image", "client_message_id": "m-1", "upload": upload}]))
    assert item.content.media.provider_media_id == "up_1"
    assert (item.content.media.size_bytes, item.content.media.duration_seconds) == (kept, None if kept is None else 2.5)


def test_a_message_without_its_id_is_not_taken_for_something_told() -> None:
    """Its text would be gone without a word; as a dead letter it is kept and seen."""
    (item,) = items(samples.body([{"type": "text", "text": "a"}]))
    assert isinstance(item, PoisonItem)
    assert item.reason == "client_message_id_missing"
