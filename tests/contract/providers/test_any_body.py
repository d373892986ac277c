"""Whatever is posted, `normalise` of every provider gives storable items or says UnparseableBody; new fields change nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.enums import MessageKind
from shared.domain.items import AnyItem, ConnectorEventItem, PoisonItem
from shared.providers.contract import MAX_ITEMS, Provider, UnparseableBody
from tests.contract.providers.examples import Example, examples_in, items_of
from tests.contract.providers.test_examples import VOICE_IDS, VOICES

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
_LIMIT_BYTES = 900_000  # of an item as JSON: its event must fit one Kafka message

voices = pytest.mark.parametrize(
    ("provider", "examples"), [(provider, examples_in(folder, dialect)) for provider, dialect, folder in VOICES], ids=VOICE_IDS
)


def _read(provider: Provider, example: Example, body: bytes) -> list[AnyItem] | None:
    """The items, looked at as the router will need them; None for a body that is unparseable as a whole."""
    try:
        found = items_of(provider, Example(example.name, body, example.expected, example.dialect))
    except UnparseableBody:
        return None
    assert len(found) <= MAX_ITEMS
    for item in found:
        plain = msgspec.to_builtins(item)
        assert item.dedup_key
        assert len(msgspec.json.encode(plain)) < _LIMIT_BYTES
        for said in _texts(plain):
            assert b"\x00" not in said.encode("utf-8")  # storable, and nothing in it that an encoder refuses
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from _texts(inner)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from _places(inner, (*place, key))


def _at(document: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


def _one_of(data: st.DataObject, choices: Sequence[Any]) -> Any:
    return choices[data.draw(st.integers(0, 9_999)) % len(choices)]


def _documents(examples: list[Example]) -> list[tuple[Example, Any]]:
    found = []
    for example in examples:
        try:
            found.append((example, json.loads(example.body)))
        except ValueError:
            continue
    return [(example, document) for example, document in found if isinstance(document, dict)]


@voices
class TestAnyBody:
    @QUICK
    @given(data=st.data())
    def test_changed_bytes(self, provider: Provider, examples: list[Example], data: st.DataObject) -> None:
        example = _one_of(data, [example for example in examples if example.body])
        body = bytearray(example.body)
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        _read(provider, example, bytes(body))

    @QUICK
    @given(data=st.data())
    def test_any_bytes_and_any_json(self, provider: Provider, examples: list[Example], data: st.DataObject) -> None:
        body = data.draw(st.binary(max_size=200) | JSON.map(lambda document: json.dumps(document).encode()))
        _read(provider, examples[0], body)

    @QUICK
    @given(data=st.data())
    def test_any_value_in_any_place(self, provider: Provider, examples: list[Example], data: st.DataObject) -> None:
        documents = _documents(examples)
        if not documents:
            return
        example, document = _one_of(data, documents)
        document = copy.deepcopy(document)
        *parents, key = _one_of(data, [place for place in _places(document) if place])
        _at(document, tuple(parents))[key] = data.draw(JSON)
        _read(provider, example, json.dumps(document).encode())

    @QUICK
    @given(data=st.data())
    def test_a_field_of_the_next_release_changes_nothing(
        self, provider: Provider, examples: list[Example], data: st.DataObject
    ) -> None:
        documents = [(example, document) for example, document in _documents(examples) if example.expected.get("items")]
        if not documents:
            return
        example, document = _one_of(data, documents)
        before = _read(provider, example, json.dumps(document).encode())
        more = copy.deepcopy(document)
        objects = [place for place in _places(more) if isinstance(_at(more, place), dict)]
        _at(more, _one_of(data, objects))["a field of the next release"] = "new"
        after = _read(provider, example, json.dumps(more).encode())
        assert _said(before) == _said(after)


def _said(items: list[AnyItem] | None) -> list[AnyItem]:
    """What was understood. Events and poison are about their whole element, and a new field may name an unsupported kind."""
    assert items is not None
    understood = [item for item in items if not isinstance(item, ConnectorEventItem | PoisonItem)]
    return [item for item in understood if getattr(item, "kind", None) is not MessageKind.UNSUPPORTED]


ODD = (
    *(b"", b"null", b"[]", b"{}", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"1" * 5_000),
    *(b'"' + b"x" * 1_000_000 + b'"', b'{"a":"' + b"x" * 1_000_000 + b'"}'),
)


@voices
def test_odd_bodies(provider: Provider, examples: list[Example]) -> None:
    for body in ODD:
        _read(provider, examples[0], body)
