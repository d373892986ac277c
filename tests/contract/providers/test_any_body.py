"""Whatever a body holds: nothing but UnparseableBody is raised, nothing is lost, and every element gives one item."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import decide
from services.simulator.people import person
from services.simulator.utterances import Utterance
from services.simulator.wire import Post
from shared.domain.items import AnyItem
from shared.providers.contract import MAX_ITEMS, Request, UnparseableBody
from tests.contract.providers.schemes import scheme_of
from tests.contract.providers.voices import VOICES, Speaker, Voice, items_of, with_body

EXAMPLES = int(os.environ.get("CHANNELS_TEST_EXAMPLES", "25"))  # per property and voice: there are dozens of those
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
# names that stand in the providers' documents, so that objects look like theirs half-way
_NAMES = st.sampled_from(
    [
        *("id", "type", "text", "message", "body", "from", "from_user_id", "key", "remoteJid", "fromMe", "chat", "date", "data"),
        *("event", "payload", "status", "timestamp", "entry", "changes", "value", "messages", "statuses", "contacts", "image"),
        *("url", "media", "momment", "phone", "ids", "update_id", "callback_query", "edited_message", "photo", "location"),
        *("reaction", "Message", "Type", "mail", "content", "headers", "From", "Headers", "Name", "Value", "signature", "email"),
    ]
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES | st.text(max_size=8), inner, max_size=6),
    max_leaves=30,
)
_OBJECTS = st.dictionaries(_NAMES | st.text(max_size=8), _JSON, max_size=8)


def _meta(elements: list[Any]) -> Any:
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "1"}, "messages": elements}
    return {"object": "whatsapp_business_account", "entry": [{"id": "2", "changes": [{"field": "messages", "value": value}]}]}


# stand-in → a body with these elements; providers that put one thing into a body are not here
CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {"meta": _meta, "sendgrid": lambda elements: elements}
# the content type under which such a body comes, where it decides
_JSON_TYPE = ("Content-Type", "application/json")


def understood_or_unparseable(voice: Voice, post: Post) -> list[AnyItem] | None:
    """Items, or None for a body that as a whole is not what the provider documents."""
    try:
        return items_of(voice, post)
    except UnparseableBody:
        return None


def _genuine(voice: Voice, kind: str) -> Post:
    return Speaker(voice).says(person(1), Utterance(kind=kind, text="oi", target="91"))[1]  # type: ignore[arg-type]


GENUINE = {voice.name: [_genuine(voice, kind) for kind in sorted(voice.says)] for voice in VOICES}


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
class TestAnyBody:
    @given(
        body=st.binary(max_size=300)
        | _JSON.map(lambda value: json.dumps(value).encode())
        | _OBJECTS.map(lambda value: json.dumps(value).encode())
    )
    @settings(max_examples=EXAMPLES, deadline=None)
    def test_any_body_gives_items_or_is_unparseable(self, voice: Voice, body: bytes) -> None:
        headers = tuple(header for header in GENUINE[voice.name][0].headers if header[0] != "Content-Type")
        for content_type in ({"Content-Type": "application/json"}, dict(GENUINE[voice.name][0].headers)):
            post = Post(url="", headers=(*headers, ("Content-Type", content_type["Content-Type"])), body=body)
            items = understood_or_unparseable(voice, post)
            assert items is None or len(items) <= MAX_ITEMS
            assert items or items is None or _has_empty_list(body), "what was there is lost"

    @given(data=st.data())
    @settings(max_examples=EXAMPLES, deadline=None)
    def test_a_genuine_body_with_something_changed_gives_items_or_is_unparseable(self, voice: Voice, data: st.DataObject) -> None:
        post = data.draw(st.sampled_from(GENUINE[voice.name]))
        try:
            body = json.dumps(data.draw(_altered(json.loads(post.body)))).encode()
        except ValueError:
            at = data.draw(st.integers(0, len(post.body)))
            body = post.body[:at] + data.draw(st.binary(max_size=8)) + post.body[at + data.draw(st.integers(0, 40)) :]
        items = understood_or_unparseable(voice, with_body(post, body))
        assert items is None or len(items) <= MAX_ITEMS
        assert items or items is None or _has_empty_list(body), "what was there is lost"

    @given(elements=st.lists(_OBJECTS | _SCALARS, min_size=1, max_size=12))
    @settings(max_examples=EXAMPLES, deadline=None)
    def test_every_element_gives_one_item(self, voice: Voice, elements: list[Any]) -> None:
        if voice.stand_in not in CONTAINERS:
            return
        body = json.dumps(CONTAINERS[voice.stand_in](elements)).encode()
        items = items_of(voice, Post(url="", headers=(_JSON_TYPE,), body=body))
        assert len(items) == len(elements)
        assert len({item.path for item in items}) == len(items)

    @given(
        headers=st.dictionaries(
            st.sampled_from(["authorization", "x-hub-signature-256", "content-type", "x-webhook-hmac", "x-channels-timestamp"])
            | st.text(alphabet="abcdefghijklmnopqrstuvwxyz-", max_size=12),
            st.binary(max_size=80),
            max_size=4,
        ),
        query=st.text(max_size=40),
        body=st.binary(max_size=200) | _OBJECTS.map(lambda value: json.dumps(value).encode()),
    )
    @settings(max_examples=EXAMPLES, deadline=None)
    def test_any_request_is_refused_and_none_raises(
        self, voice: Voice, headers: dict[str, bytes], query: str, body: bytes
    ) -> None:
        scheme = _scheme(voice.name)
        request = Request(
            method="POST", query=query, headers=headers, body=body, received_at_ms=scheme.now_ms, settings=dict(voice.settings)
        )
        verdict = decide.judge(scheme.caller, request, scheme.known, scheme.now_ms)
        assert type(verdict).__name__ != "Verified"


def _has_empty_list(body: bytes) -> bool:
    return b"[]" in body.replace(b" ", b"")


_SCHEMES: dict[str, Any] = {}


def _scheme(name: str) -> Any:
    if name not in _SCHEMES:
        _SCHEMES[name] = scheme_of(name)
    return _SCHEMES[name]


def _altered(value: Any) -> st.SearchStrategy[Any]:
    """The value with parts left out, or put in the place of others, or of another type."""
    if isinstance(value, dict) and value:
        parts = st.fixed_dictionaries({}, optional={name: _altered(part) for name, part in value.items()})
        whole = st.fixed_dictionaries({name: _altered(part) for name, part in value.items()})
        return whole | whole | parts | _JSON
    if isinstance(value, list) and value:
        return st.tuples(*(_altered(part) for part in value)).map(list) | st.just([]) | _JSON
    return st.just(value) | st.just(value) | st.just(value) | _SCALARS
