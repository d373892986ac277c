"""What the examples cannot show well: odd bodies, ids that must not meet, and speed's price in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.enums import MessageKind
from shared.domain.items import ConnectorEventItem, MessageItem, PoisonItem
from shared.providers.contract import UnparseableBody
from shared.providers.telegram import samples
from shared.providers.telegram.normalise import normalise


def items(document: Any) -> list[Any]:
    return list(normalise(json.dumps(document).encode(), {}))


def message(content: dict[str, Any], **more: Any) -> MessageItem:
    (item,) = items(samples.message(content, update_id=1, message_id=7, **more))
    assert isinstance(item, MessageItem)
    return item


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b'"x"', b"{", b"\xff", b'{"update_id":NaN}', b"[" * 100_000])
def test_what_is_no_json_object_is_unparseable(body: bytes) -> None:
    with pytest.raises(UnparseableBody):
        normalise(body, {})


@pytest.mark.parametrize("update_id", [None, "1", 1.5, True, [], {}])
def test_an_update_without_a_number_is_poison(update_id: object) -> None:
    (item,) = items({"update_id": update_id, "message": {}})
    assert isinstance(item, PoisonItem)
    assert item.reason == "update_id_missing"


def test_an_update_without_a_kind_is_told() -> None:
    (item,) = items({"update_id": 5})
    assert isinstance(item, ConnectorEventItem)
    assert (item.name.value, item.path) == ("nothing", "/update_id")


def test_a_new_field_beside_the_update_does_not_hide_it() -> None:
    update = samples.text_message(update_id=1, message_id=7)
    (item,) = items({"something_new": {"a": 1}, **update})
    assert (type(item), item.path) == (MessageItem, "/message")


def test_a_repeat_has_the_same_key_whatever_its_update_says() -> None:
    first, again = (items(samples.text_message(update_id=number, message_id=7))[0] for number in (1, 2))
    assert first.dedup_key == again.dedup_key == f"{samples.SENDER}:7"


def test_message_numbers_of_two_chats_do_not_meet() -> None:
    one, other = message({"text": "a"}, sender=1), message({"text": "a"}, sender=2)
    assert one.provider_message_id == other.provider_message_id
    assert one.chat_scope != other.chat_scope
    assert one.dedup_key != other.dedup_key


def test_a_business_account_has_numbers_of_its_own_in_the_same_chat() -> None:
    plain, business = message({"text": "a"}), message({"text": "a", "business_connection_id": "B1"}, field="business_message")
    assert (plain.chat_scope, business.chat_scope) == (str(samples.SENDER), f"business:B1:{samples.SENDER}")


def test_a_business_connection_cannot_forge_a_scope() -> None:
    (item,) = items(samples.message({"text": "a", "business_connection_id": "B:1"}, update_id=1, message_id=7))
    assert isinstance(item, PoisonItem)
    assert item.reason == "business_connection_malformed"


def test_two_edits_within_one_second_are_two() -> None:
    update = samples.text_message(update_id=1, message_id=7)
    edits = [
        items(samples.edited(update, update_id=number, text=str(number), timestamp=samples.TIMESTAMP))[0] for number in (2, 3)
    ]
    assert edits[0].dedup_key != edits[1].dedup_key
    assert edits[0].provider_message_id != edits[1].provider_message_id
    assert {edit.content.edit.target_provider_message_id for edit in edits} == {"7"}


def test_a_strangers_contact_does_not_become_the_senders_phone() -> None:
    own = message({"contact": {"phone_number": "5511900000001", "first_name": "A", "user_id": samples.SENDER}})
    other = message({"contact": {"phone_number": "5511900000001", "first_name": "A", "user_id": 99}})
    nobody = message({"contact": {"phone_number": "5511900000001", "first_name": "A"}})
    assert [alias.key for alias in own.peer.aliases] == [f"user:{samples.SENDER}", "phone:5511900000001"]
    assert [len(one.peer.aliases) for one in (other, nobody)] == [1, 1]


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ("/start abc", "abc"),
        ("/start@example_bot A-b_9", "A-b_9"),
        ("/start", None),
        ("/start ", None),
        ("/start a b", None),
        ("/start " + "a" * 65, None),
        ("/started abc", None),
        (" /start abc", None),
        ("/start é", None),
    ],
)
def test_a_deep_link_is_told_by_its_exact_form(text: str, payload: str | None) -> None:
    item = message({"text": text})
    assert item.content.text == text
    assert (item.content.referral.payload if item.content.referral else None) == payload


def test_a_fault_in_what_is_quoted_costs_only_the_quotation() -> None:
    item = message({"text": "yes", "reply_to_message": {"message_id": 3, "date": "not a date", "text": ["x"]}})
    assert (item.content.text, item.reply_to_provider_message_id) == ("yes", "3")
    assert item.content.quoted is not None
    assert item.content.quoted.text is None


@pytest.mark.parametrize("latitude", [91, -91, "x", None])
def test_a_place_that_is_none_is_never_shown(latitude: object) -> None:
    (item,) = items(samples.message({"location": {"latitude": latitude, "longitude": 0}}, update_id=1, message_id=7))
    assert isinstance(item, PoisonItem) or item.kind is MessageKind.UNSUPPORTED


@pytest.mark.parametrize("kind", samples.KINDS)
def test_every_sample_is_a_message(kind: str) -> None:
    item = message(samples.content(kind, "text", 3))
    expected = {"reply": "text", "something_new": "unsupported"}.get(kind, kind)
    assert item.kind.value == expected


def test_a_pressed_button_and_a_block_are_told() -> None:
    (pressed,) = items(samples.callback(update_id=1, query_id="44", data="k7", message_id=9, title="Sim"))
    assert (pressed.content.choice.id, pressed.content.choice.title, pressed.reply_to_provider_message_id) == ("k7", "Sim", "9")
    (blocked,) = items(samples.blocked(update_id=2))
    assert blocked.values["state"] == "blocked"


def test_samples_are_posted_in_ascii() -> None:
    assert samples.encode(samples.text_message(update_id=1, message_id=2, text="é")).isascii()


KINDS = st.sampled_from(
    (
        *("message", "edited_message", "callback_query", "message_reaction", "poll_answer", "my_chat_member"),
        *("business_connection", "deleted_business_messages", "inline_query", "something_new"),
    )
)
NAMES = st.sampled_from(["message_id", "chat", "from", "text", "id", "date", "user", "type", "photo", "message_ids", "data"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)


@given(kind=KINDS, element=st.dictionaries(NAMES, VALUES, max_size=8) | VALUES, update_id=st.integers(-(2**63), 2**63 - 1))
def test_any_update_gives_items_and_raises_nothing(kind: str, element: object, update_id: int) -> None:
    found = items({"update_id": update_id, kind: element})
    assert found
    assert all(item.dedup_key and item.account_refs for item in found)


@pytest.mark.parametrize("size", [10**30, -1])
def test_a_size_that_no_event_can_hold_costs_itself_and_not_the_message(size: int) -> None:
    item = message({"document": {"file_id": "f", "file_size": size, "duration": size, "width": size, "length": size}})
    media = item.content.media
    assert media is not None
    assert media.provider_media_id == "f"
    assert (media.size_bytes, media.duration_seconds, media.width_pixels, media.height_pixels) == (None,) * 4


def test_numbers_beyond_64_bits_are_no_ids() -> None:
    huge = 10**400
    assert items({"update_id": huge, "poll": {}})[0].reason == "update_id_missing"
    update = samples.message({"text": "a", "reply_to_message": {"message_id": huge}}, update_id=1, message_id=7)
    assert items(update)[0].reply_to_provider_message_id is None
    update["message"]["from"] = {"id": huge}
    assert items(update)[0].reason == "peer_malformed"
    chat = {"id": 5, "type": "private"}
    deleted = {
        "update_id": 2,
        "deleted_business_messages": {"business_connection_id": "b", "chat": chat, "message_ids": [8, huge]},
    }
    first, second = items(deleted)
    assert (first.provider_message_id, second.reason) == ("8:revoke", "wrong_type")
