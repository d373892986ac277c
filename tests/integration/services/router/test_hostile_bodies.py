"""What a tenant can sign with its own secret must not stop the worker that serves all the others."""

from __future__ import annotations

import json

import pytest

from shared.domain.topics import Topic
from shared.providers.contract import MAX_ITEMS
from tests.pipeline import UNIT_NUMBER, messages_value, meta_body, text_item

LARGEST_BODY = 4 * 1024 * 1024


def good(pipeline) -> None:
    """A neighbour's message behind the hostile one comes out."""
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.good")])))
    assert [read.event.message.provider_message_id for read in pipeline.read(Topic.MESSAGE_RECEIVED, 1, 60)] == ["wamid.good"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"object":"whatsapp_business_account","entry":[' + b"1," * (LARGEST_BODY // 2 - 100) + b"1]}",
        meta_body(messages_value(UNIT_NUMBER, [text_item(str(number)) for number in range(MAX_ITEMS + 1)])),
    ],
    ids=["entries", "messages"],
)
def test_a_body_of_too_many_items_is_one_dead_letter(pipeline, router, body):
    pipeline.post(body)
    good(pipeline)
    assert pipeline.books(10, 2) == {("dead_lettered", "too_many_items"): 1, ("emitted", "org_unit"): 1}


def test_as_many_unknown_items_as_a_body_may_hold_are_settled(pipeline, router):
    pipeline.post(meta_body(messages_value("100000000000009", [text_item(f"w.{number}") for number in range(MAX_ITEMS)])))
    good(pipeline)
    assert pipeline.books(10, MAX_ITEMS + 1) == {("dead_lettered", "unknown_account"): MAX_ITEMS, ("emitted", "org_unit"): 1}
    assert all(letter.event.sealed_fragment for letter in pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, MAX_ITEMS))


def test_unsupported_messages_beside_many_errors_are_settled(pipeline, router):
    value = messages_value(UNIT_NUMBER, [text_item(f"w.{number}") | {"type": "odd"} for number in range(3_000)])
    pipeline.post(meta_body(value | {"errors": [{"code": 131051, "title": "odd"}] * (MAX_ITEMS - 3_000)}))
    assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 3_000, 60)) == 3_000


@pytest.mark.parametrize("text", ["\x00", "\ud800", "x" * 200_000, "\u0800" * 65_536], ids=["nul", "surrogate", "long", "wide"])
def test_any_text_in_any_place_leaves_its_neighbours_alone(pipeline, router, text):
    places = [
        text_item("wamid.1", text),
        text_item(f"wamid.2{text}"),
        text_item("wamid.3", sender=text),
        text_item("wamid.4", context={"id": text}, group_id=text),
        text_item("wamid.5", from_user_id=text) | {"type": text, text: {"type": text}, "errors": [{"code": text, "title": text}]},
        text_item("wamid.6")
        | {"type": "document", "document": {"id": "1", "filename": text, "caption": text, "mime_type": text}},
        text_item("wamid.7") | {"type": "reaction", "reaction": {"message_id": text, "emoji": text}},
        text_item("wamid.8") | {"type": "location", "location": {"latitude": 1e308, "longitude": -1, "name": text}},
    ]
    value = messages_value(UNIT_NUMBER, places, [{"id": "w", "status": "sent", "biz_opaque_callback_data": text}])
    contact = {"wa_id": "5511900000009", "user_id": text, "profile": {"name": text}}
    pipeline.post(meta_body(value | {"contacts": [contact]}))
    pipeline.post(json.dumps({"object": text, "entry": [{"id": text, "changes": [{"field": text, "value": {}}]}]}).encode())
    good_id = "wamid.good"
    pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item(good_id)])))
    books = pipeline.books(30, len(places) + 3)
    assert sum(books.values()) == len(places) + 3
    assert ("dead_lettered", "database_rejected") not in books
    assert ("dead_lettered", "own_exception") not in books
    found = pipeline.read(Topic.MESSAGE_RECEIVED, sum(n for key, n in books.items() if key == ("emitted", "org_unit")))
    assert found[-1].event.message.provider_message_id == good_id
