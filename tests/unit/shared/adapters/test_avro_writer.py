from __future__ import annotations

import dataclasses
from enum import StrEnum
from io import BytesIO
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.avro import RECORD_TYPES, Codec
from shared.adapters.avro_writer import compile_writer
from shared.adapters.schema_files import current_schemas
from shared.domain.topics import Topic

CODEC = Codec()
SCHEMAS = {topic: current_schemas()[kind.__name__].parsed for topic, kind in RECORD_TYPES.items()}
WRITERS = {topic: compile_writer(schema) for topic, schema in SCHEMAS.items()}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=70)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=5_000),
    type(None): st.none(),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field of our records."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if origin in (Union, UnionType):
        return st.one_of(*map(values_of, arguments))
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, values_of(arguments[1]), max_size=3)
    if issubclass(kind, StrEnum):
        return st.sampled_from(kind)
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: values_of(hints[field.name]) for field in dataclasses.fields(kind)})


@pytest.mark.parametrize("topic", Topic)
@settings(deadline=None)  # of a busy machine, not of the writer
@given(data=st.data())
def test_the_bytes_are_those_of_fastavro(topic: Topic, data: st.DataObject) -> None:
    record = data.draw(values_of(RECORD_TYPES[topic]))
    wanted = BytesIO()
    schemaless_writer(wanted, SCHEMAS[topic], msgspec.to_builtins(record, builtin_types=(bytes,)), disable_tuple_notation=True)
    found: list[bytes] = []
    WRITERS[topic](found, record)
    assert b"".join(found) == wanted.getvalue()
    assert CODEC.decode(topic, CODEC.encode(topic, record)) == record


@dataclasses.dataclass(frozen=True)
class One:
    value: object


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 7),
        ("string", b"text"),
        ("string", None),
        ("string", "lone \ud800"),
        ("long", "7"),
        ("long", 1.0),
        ("long", 2**63),
        ("long", -(2**63) - 1),
        ("bytes", "text"),
        ("boolean", 1),
        ("double", "1.0"),
        (["null", "string"], 7),
        ({"type": "array", "items": "string"}, 7),
        ({"type": "map", "values": "string"}, ["a"]),
    ],
)
def test_what_does_not_fit_is_refused(kind: object, value: object) -> None:
    write = compile_writer(parse_schema({"type": "record", "name": "One", "fields": [{"name": "value", "type": kind}]}))
    with pytest.raises((TypeError, ValueError, OverflowError, AttributeError)):
        write([], One(value))


@pytest.mark.parametrize("kind", ["float", {"type": "fixed", "name": "F", "size": 2}, ["null", "string", "long"]])
def test_a_type_that_we_do_not_use_has_no_writer(kind: object) -> None:
    schema = parse_schema({"type": "record", "name": "One", "fields": [{"name": "value", "type": kind}]})
    with pytest.raises(ValueError, match="no writer"):
        compile_writer(schema)


def test_null_may_stand_second() -> None:
    schema = parse_schema({"type": "record", "name": "One", "fields": [{"name": "value", "type": ["string", "null"]}]})
    for value in (None, "text"):
        wanted, found = BytesIO(), list[bytes]()
        schemaless_writer(wanted, schema, {"value": value})
        compile_writer(schema)(found, One(value))
        assert b"".join(found) == wanted.getvalue()
