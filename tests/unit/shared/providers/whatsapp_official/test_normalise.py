"""Normalisation of Meta's bodies: the corners that no example shows, and properties of any body at all."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.enums import AliasKind, ConnectorEventName, ErrorClass, MessageKind
from shared.domain.items import Alias, AnyItem, ConnectorEventItem, MessageItem, PoisonItem, ReceiptItem
from shared.providers import provider_of
from shared.providers.contract import UnparseableBody
from shared.providers.whatsapp_official import samples
from shared.providers.whatsapp_official.errors import class_of
from shared.providers.whatsapp_official.normalise import normalise
from tests.contract.providers.examples import examples_in, folder_of

EXAMPLES = examples_in(folder_of(provider_of("whatsapp_official")))
LISTS = ("messages", "calls", "statuses", "errors", "message_echoes", "user_preferences", "user_id_update")


def items(document: object) -> list[AnyItem]:
    return list(normalise(json.dumps(document).encode(), {}))


def one(document: object) -> AnyItem:
    (item,) = items(document)
    return item


def text(**changed: Any) -> dict[str, Any]:
    """A text message with some fields of the message element set (None: taken away)."""
    document = samples.text_message(message_id="wamid.A")
    element = document["entry"][0]["changes"][0]["value"]["messages"][0]
    changes = {("from" if name == "sender" else name): value for name, value in changed.items()}
    element.update({name: value for name, value in changes.items() if value is not None})
    for name in changes.keys() - {name for name, value in changes.items() if value is not None}:
        element.pop(name, None)
    return document


def value_of(document: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = document["entry"][0]["changes"][0]["value"]
    return value


class TestUnparseable:
    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b" ", b"{", b"[]", b"1", b"null", b'"text"', b"\xff\xfe", b"{}x", b"{'a':1}", b'{"a":NaN}', b'{"a":Infinity}'),
            *(b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"), b'{"a":"\xed\xa0\x80"}', b'{"a":"\n"}', b'{"a":"\xff\\ud800"}'),
            *(b"[" * 200_000, b'{"a":' * 200_000, b'{"a":' + b"[" * 200_000 + b'"\\ud800"', b'{"a":' + b"9" * 5_000 + b"}"),
        ],
        ids=lambda body: repr(body[:16]),
    )
    def test_what_is_no_json_object_is_refused_as_a_whole(self, body: bytes) -> None:
        with pytest.raises(UnparseableBody):
            normalise(body, {})


class TestOddButReadable:
    def test_one_lone_surrogate_costs_no_neighbour(self) -> None:
        document = samples.batch([samples.text_message(message_id="wamid.A", text="\ud800"), text(id="wamid.B")])
        first, second = items(document)
        assert isinstance(first, MessageItem)
        assert first.content.text == "\ufffd"
        assert isinstance(second, MessageItem)

    @pytest.mark.parametrize("odd", ["\ud800", "a\x00b"])
    def test_an_id_that_cannot_be_stored_exactly_is_poison(self, odd: str) -> None:
        item = one(text(id=odd))
        assert isinstance(item, PoisonItem)
        assert item.reason == "id_malformed"
        assert json.loads(item.fragment)["id"] == odd

    def test_a_lone_surrogate_in_a_key_changes_nothing(self) -> None:
        assert one(text(**{"\ud800": 1})) == one(text())

    def test_of_a_key_written_twice_the_last_one_counts(self) -> None:
        body = json.dumps(text()).encode().replace(b'"type": "text"', b'"type": "image", "type": "text"')
        assert list(normalise(body, {})) == items(text())

    @pytest.mark.parametrize("number", [10**30, 10**4000, -1, 0, "1e999", "99999999999", "-5", "", "soon", "٣"])
    def test_an_impossible_time_is_no_time(self, number: object) -> None:
        item = one(text(timestamp=number))
        assert isinstance(item, MessageItem)
        assert item.provider_time_ms is None

    def test_a_number_out_of_range_costs_no_neighbour(self) -> None:
        body = json.dumps(samples.batch([text(), text(id="wamid.B")])).encode().replace(b'"wamid.A"', b"1e999", 1)
        first, second = normalise(body, {})
        assert isinstance(first, PoisonItem)
        assert isinstance(second, MessageItem)

    def test_deep_nesting_in_a_field_that_nobody_reads_changes_nothing(self) -> None:
        body = json.dumps(text(other=0)).encode().replace(b'"other": 0', b'"other": ' + b"[" * 400 + b"]" * 400)
        assert list(normalise(body, {})) == items(text())

    def test_an_event_nested_too_deep_to_be_hashed_is_poison_or_unparseable(self) -> None:
        for depth in range(0, 1_200, 7):
            body = b'{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"x","value":{"a":%s}}]}]}'
            try:
                found = normalise(body % (b"[" * depth + b"]" * depth), {})
            except UnparseableBody:
                continue
            assert len(found) == 1

    def test_the_fragment_of_a_huge_element_is_bounded(self) -> None:
        item = one(text(id=None, other="x" * 3_000_000))
        assert isinstance(item, PoisonItem)
        assert len(item.fragment) < 10_000
        assert json.loads(item.fragment)["left_out"] == "too_large"

    def test_text_is_cut_at_its_limit(self) -> None:
        item = one(text(text={"body": "é" * 100_000}))
        assert isinstance(item, MessageItem)
        assert item.content.text == "é" * 65_536

    @pytest.mark.parametrize(("cards", "reason"), [(258, "contacts_too_many"), (200, "contacts_too_large")])
    def test_more_contacts_than_an_event_can_carry_are_unsupported(self, cards: int, reason: str) -> None:
        card = {"name": {"formatted_name": "n" * 256}, "emails": [{"email": "e" * 320}]}
        self.unsupported(one(text(type="contacts", contacts=[card] * cards)), "contacts", reason)

    def test_a_form_that_would_have_to_be_cut_is_unsupported(self) -> None:
        form = {"type": "nfm_reply", "nfm_reply": {"response_json": "1" * 65_537}}
        self.unsupported(one(text(type="interactive", interactive=form)), "interactive", "nfm_reply: form_too_large")

    @pytest.mark.parametrize("lines", [[{"quantity": 1}], [{"product_retailer_id": "p"}] * 501])
    def test_an_order_that_cannot_be_shown_whole_is_unsupported(self, lines: list[Any]) -> None:
        reason = "product_missing" if len(lines) == 1 else "order_too_large"
        self.unsupported(one(text(type="order", order={"product_items": lines})), "order", reason)

    @pytest.mark.parametrize("latitude", ["91", "-90.5", "1e308"])
    def test_a_place_that_is_not_on_earth_is_unsupported(self, latitude: str) -> None:
        document = json.dumps(text(type="location", location={"latitude": 7, "longitude": 0}))
        item, *_ = normalise(document.replace('"latitude": 7', f'"latitude": {latitude}').encode(), {})
        self.unsupported(item, "location", "place_impossible")

    def unsupported(self, item: AnyItem, type_: str, detail: str) -> None:
        assert isinstance(item, MessageItem)
        assert item.kind is MessageKind.UNSUPPORTED
        assert item.content.unsupported is not None
        assert (item.content.unsupported.provider_type, item.content.unsupported.detail) == (type_, detail)


class TestMessages:
    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"id": None}, "id_missing"),
            ({"id": ""}, "id_missing"),
            ({"id": 5}, "wrong_type"),
            ({"id": "x" * 513}, "id_malformed"),
            ({"sender": None}, "peer_missing"),
            ({"sender": ""}, "peer_missing"),
            ({"sender": "somebody"}, "peer_missing"),
            ({"sender": "1" * 21}, "peer_missing"),
            ({"sender": None, "from_user_id": "x" * 257}, "peer_missing"),
            ({"sender": 5511900000001}, "wrong_type"),
            ({"text": "hello"}, "wrong_type"),
            ({"text": {"body": ["hello"]}}, "wrong_type"),
            ({"type": ["text"]}, "wrong_type"),
            ({"context": "wamid.B"}, "wrong_type"),
            ({"type": "location", "location": {"latitude": True, "longitude": 0}}, "wrong_type"),
            ({"type": "contacts", "contacts": {"name": "no list"}}, "wrong_type"),
        ],
    )
    def test_a_malformed_message_is_poison(self, changed: dict[str, Any], reason: str) -> None:
        item = one(text(**changed))
        assert isinstance(item, PoisonItem)
        assert (item.reason, item.path) == (reason, "/entry/0/changes/0/value/messages/0")

    def test_a_latitude_beyond_all_numbers_is_unsupported(self) -> None:
        document = text(type="location", location={"latitude": 7, "longitude": 0})
        item, *_ = normalise(json.dumps(document).encode().replace(b'"latitude": 7', b'"latitude": 1e999'), {})
        assert isinstance(item, MessageItem)
        assert item.kind is MessageKind.UNSUPPORTED

    def test_a_deletion_under_the_id_of_its_target_is_no_repeat_of_it(self) -> None:
        item = one(text(type="revoke", revoke={"original_message_id": "wamid.A"}))
        assert isinstance(item, MessageItem)
        assert (item.dedup_key, item.provider_message_id) == ("wamid.A:revoke", "wamid.A:revoke")

    def test_an_edit_under_the_id_of_its_target_is_no_repeat_of_it(self) -> None:
        new = {"original_message_id": "wamid.A", "message": {"type": "text", "text": {"body": "new"}}}
        item = one(text(type="edit", edit=new, timestamp="1790000000"))
        assert isinstance(item, MessageItem)
        assert item.dedup_key == "wamid.A:edit:1790000000000"

    @pytest.mark.parametrize("to", ["Y2FwaV9ncm91cDox", "120363000000000001", None])
    def test_an_echo_into_a_group_is_to_the_group(self, to: str | None) -> None:
        document = text(group_id="Y2FwaV9ncm91cDox", to=to, sender="551140000001")
        value = value_of(document)
        value["message_echoes"] = value.pop("messages")
        document["entry"][0]["changes"][0]["field"] = "smb_message_echoes"
        item = one(document)
        assert isinstance(item, MessageItem)
        assert [alias.key for alias in item.peer.aliases] == ["group:Y2FwaV9ncm91cDox"]

    @pytest.mark.parametrize(
        "changed",
        [
            {"text": None},
            {"text": {}},
            {"type": "image"},
            {"type": "image", "image": {"caption": "no reference"}},
            {"type": "location", "location": {"name": "nowhere"}},
            {"type": "contacts", "contacts": []},
            {"type": "button", "button": {}},
            {"type": "interactive", "interactive": {"type": "button_reply"}},
            {"type": "reaction", "reaction": {"emoji": "!"}},
            {"type": None},
            {"type": ""},
            {"type": "x" * 5_000},
        ],
    )
    def test_a_message_without_its_content_is_kept_as_unsupported(self, changed: dict[str, Any]) -> None:
        item = one(text(**changed))
        assert isinstance(item, MessageItem)
        assert item.kind is MessageKind.UNSUPPORTED
        assert item.content.unsupported is not None
        assert 0 < len(item.content.unsupported.provider_type) <= 128

    def test_the_id_stays_exact(self) -> None:
        exact = "wamid.HBg+/=é" + "x" * 499
        item = one(text(id=exact))
        assert isinstance(item, MessageItem)
        assert (item.provider_message_id, item.dedup_key) == (exact, exact)

    def test_a_placeholder_is_no_reference(self) -> None:
        item = one(text(context={"id": "M0"}))
        assert isinstance(item, MessageItem)
        assert item.reply_to_provider_message_id is None

    def test_the_same_phone_under_another_id_gives_no_name(self) -> None:
        document = text(from_user_id="BR.NEW")
        value_of(document)["contacts"][0]["user_id"] = "BR.OLD"
        item = one(document)
        assert isinstance(item, MessageItem)
        assert item.peer.name is None
        assert item.peer.aliases == (
            Alias(kind=AliasKind.PHONE, value=samples.SENDER),
            Alias(kind=AliasKind.BSUID, value="BR.NEW"),
        )

    def test_malformed_contacts_cost_no_message(self) -> None:
        for contacts in (5, [5], [{"profile": 5}], {"wa_id": 1}, [{"wa_id": samples.SENDER, "profile": {"name": 5}}]):
            document = text()
            value_of(document)["contacts"] = contacts
            item = one(document)
            assert isinstance(item, MessageItem)
            assert item.peer.name is None

    @pytest.mark.parametrize("metadata", [None, 5, {}, {"phone_number_id": 5}, {"phone_number_id": ""}])
    def test_a_message_to_no_number_is_poison(self, metadata: object) -> None:
        document = text()
        value_of(document)["metadata"] = metadata
        item = one(document)
        assert isinstance(item, PoisonItem)
        assert item.reason == "account_missing"

    def test_every_kind_of_sample_has_its_kind(self) -> None:
        for kind in samples.KINDS:
            item = one(samples.message(samples.content(kind, "a text", "wamid.B"), message_id="wamid.A"))
            assert isinstance(item, MessageItem)
            assert item.kind == ("unsupported" if kind == "something_new" else kind)


class TestStatuses:
    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"status": "archived"}, "status_unknown"),
            ({"status": None}, "status_unknown"),
            ({"status": 1}, "wrong_type"),
            ({"id": ""}, "id_missing"),
            ({"id": "x" * 513}, "id_malformed"),
            ({"pricing": []}, "wrong_type"),
            ({"errors": {}}, "wrong_type"),
        ],
    )
    def test_a_malformed_status_is_poison(self, changed: dict[str, Any], reason: str) -> None:
        document = samples.status(message_id="wamid.A")
        value_of(document)["statuses"][0] |= changed
        item = one(document)
        assert isinstance(item, PoisonItem)
        assert item.reason == reason

    def test_callback_data_that_we_cannot_have_sent_is_left_out(self) -> None:
        item = one(samples.status(message_id="wamid.A", callback_data="x" * 513))
        assert isinstance(item, ReceiptItem)
        assert item.callback_data is None

    @pytest.mark.parametrize(
        ("code", "error_class"),
        [
            *((190, ErrorClass.AUTH), (0, ErrorClass.AUTH), (10, ErrorClass.ACCOUNT_BLOCKED), (200, ErrorClass.ACCOUNT_BLOCKED)),
            *((299, ErrorClass.ACCOUNT_BLOCKED), (300, None), (131031, ErrorClass.ACCOUNT_BLOCKED)),
            *((130429, ErrorClass.RATE_LIMITED), (131056, ErrorClass.RATE_LIMITED), (131000, ErrorClass.RETRYABLE)),
            *((131047, ErrorClass.WINDOW_CLOSED), (131026, ErrorClass.RECIPIENT_PERMANENT)),
            *((131049, ErrorClass.RECIPIENT_PERMANENT), (132015, ErrorClass.CONTENT_PERMANENT)),
            *(("131047", ErrorClass.WINDOW_CLOSED), ("x", None), (999999, None), (10**4000, None), ("9" * 4000, None)),
        ],
    )
    def test_a_code_has_its_class(self, code: int | str, error_class: ErrorClass | None) -> None:
        assert class_of(code) is error_class
        document = samples.status(message_id="wamid.A", status="failed", error_code=1)
        value_of(document)["statuses"][0]["errors"][0]["code"] = code
        item = one(document)
        assert isinstance(item, ReceiptItem)
        assert item.error_class is error_class
        assert item.error_code is not None
        assert item.error_code == str(code)[:32]


class TestConnectorEvents:
    def event(self, **value: Any) -> AnyItem:
        change = {"field": "account_update", "value": value}
        return one({"object": "whatsapp_business_account", "entry": [{"id": "2", "time": 1_790_000_000, "changes": [change]}]})

    def test_equal_events_are_repeats_whatever_the_order_of_their_keys(self) -> None:
        first, second = self.event(event="X", a=1), self.event(a=1, event="X")
        assert first.dedup_key == second.dedup_key
        assert self.event(event="Y", a=1).dedup_key != first.dedup_key

    def test_only_short_codes_are_kept(self) -> None:
        item = self.event(event="E" * 500, decision=True, reason={"a": 1}, ban_info=5, restriction_info=[], alert_info=[5])
        assert isinstance(item, ConnectorEventItem)
        assert item.values == {"event": "E" * 128}

    def test_another_product_is_accounted(self) -> None:
        item = one({"object": "page", "entry": [{}, {}]})
        assert isinstance(item, ConnectorEventItem)
        assert item.name is ConnectorEventName.FOREIGN
        assert isinstance(one({}), PoisonItem)


def elements_of(document: dict[str, Any]) -> Iterator[str]:
    """Paths of the source elements that must each give one item, found without the normaliser's help."""
    entries = document.get("entry")
    for i, entry in enumerate(entries if isinstance(entries, list) else ()):
        changes = entry.get("changes") if isinstance(entry, dict) else None
        if not isinstance(changes, list):
            yield f"/entry/{i}" if not isinstance(entry, dict) else f"/entry/{i}/changes"
            continue
        for j, change in enumerate(changes):
            yield from _elements_of_change(f"/entry/{i}/changes/{j}", change)


def _elements_of_change(path: str, change: Any) -> Iterator[str]:
    value = change.get("value") if isinstance(change, dict) else None
    field = change.get("field") if isinstance(change, dict) else None
    names = {
        "messages": ("messages", "statuses", "errors"),
        "smb_message_echoes": ("message_echoes", "errors"),
        "user_preferences": ("user_preferences",),
        "user_id_update": ("user_id_update",),
        "calls": ("calls", "statuses", "errors"),
    }
    found = []
    if isinstance(value, dict) and isinstance(field, str):
        for name in names.get(field, ()):
            elements = value.get(name)
            if isinstance(elements, list):
                found += [f"{path}/value/{name}/{k}" for k in range(len(elements))]
            elif elements is not None:
                found.append(f"{path}/value/{name}")
    yield from found or [path]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = [json.loads(example.body) for example in EXAMPLES]
OBJECTS = [document for document in DOCUMENTS if isinstance(document, dict)]
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from _places(inner, (*place, key))


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """An example with one to three of its values replaced by something else or taken away."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(_places(document))))
        if not place:
            continue
        container = document
        for key in place[:-1]:
            container = container[key]
        if draw(st.booleans()):
            container[place[-1]] = draw(JSON)
        else:
            del container[place[-1]]
    return document


class TestAnyBody:
    @QUICK
    @given(st.binary(max_size=200))
    def test_bytes(self, body: bytes) -> None:
        self.read(body)

    @QUICK
    @given(JSON)
    def test_json(self, document: Any) -> None:
        self.read(json.dumps(document).encode())

    @QUICK
    @given(mutated())
    def test_mutated_examples(self, document: Any) -> None:
        found = self.read(json.dumps(document).encode())
        if isinstance(document, dict) and document.get("object") == "whatsapp_business_account":
            assert found is not None
            expected = list(elements_of(document)) if isinstance(document.get("entry"), list) else ["/entry"]
            assert [item.path for item in found] == expected

    @QUICK
    @given(st.sampled_from(EXAMPLES), st.data())
    def test_mutated_bytes(self, example: Any, data: st.DataObject) -> None:
        body = bytearray(example.body)
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        self.read(bytes(body))

    @QUICK
    @given(st.sampled_from(OBJECTS), st.data())
    def test_unknown_fields_change_nothing(self, document: dict[str, Any], data: st.DataObject) -> None:
        events = (ConnectorEventItem, PoisonItem)  # these are about their whole element, so their keys may change
        more = copy.deepcopy(document)
        objects = [place for place in _places(more) if isinstance(_at(more, place), dict)]
        _at(more, data.draw(st.sampled_from(objects)))["a field of the next release"] = data.draw(JSON)
        before, after = items(document), items(more)
        assert [item.path for item in before] == [item.path for item in after]
        assert [i for i in before if not isinstance(i, events)] == [i for i in after if not isinstance(i, events)]

    @staticmethod
    def read(body: bytes) -> list[AnyItem] | None:
        try:
            found = list(normalise(body, {}))
        except UnparseableBody:
            return None
        for item in found:
            assert item.dedup_key
            for said in _texts(msgspec.to_builtins(item)):
                assert b"\x00" not in said.encode("utf-8")  # storable, and nothing in it that an encoder refuses
            if isinstance(item, PoisonItem):
                json.loads(item.fragment)
        return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def _at(document: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.expected.get("items")], ids=lambda e: e.name)
def test_a_batch_split_into_single_posts_gives_the_same_items(example: Any) -> None:
    document = json.loads(example.body)
    together = [_without_path(item) for item in normalise(example.body, {})]
    alone = [_without_path(item) for part in _single_posts(document) for item in items(part)]
    assert alone == together


def _without_path(item: AnyItem) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__dataclass_fields__ if name != "path"}


def _single_posts(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One document per element; what only explains (contacts, and errors beside a message) goes along."""
    entries = document.get("entry")
    if document["object"] != "whatsapp_business_account" or not isinstance(entries, list):
        yield document
        return
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("changes"), list):
            yield document | {"entry": [entry]}
            continue
        for change in entry["changes"]:
            for part in _single_changes(change):
                yield document | {"entry": [entry | {"changes": [part]}]}


def _single_changes(change: Any) -> Iterator[Any]:
    value = change["value"] if isinstance(change, dict) else {}
    counted = {name: value[name] for name in LISTS if isinstance(value.get(name), list) and value[name]}
    if sum(map(len, counted.values())) < 2 or "errors" in counted:  # errors explain messages: they stay together
        yield change
        return
    rest = {name: content for name, content in value.items() if name not in counted}
    for name, elements in counted.items():
        for element in elements:
            yield change | {"value": rest | {name: [element]}}
